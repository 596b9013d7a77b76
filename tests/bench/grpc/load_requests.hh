/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What is asked of a gRPC server and how: the bodies of the requests that
 * `nibble bench` makes of the same options, and what their replies should be.
 */
#ifndef NB_BENCH_LOAD_REQUESTS_HH
#define NB_BENCH_LOAD_REQUESTS_HH

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" {
#include "client/bench/reply_reader.h"
#include "client/bench/request_set.h"
#include "client/bench/workload.h"
}

namespace bench
{

/* Of the command line. */
struct Settings {
    const char *server = nullptr;
    const char *repo = nullptr;
    const char *model = nullptr;
    const char *profile = nullptr;
    const char *ids = "zipf:0.9";
    uint32_t dtype = NB_FP32;
    uint32_t request_mib = 64;
    uint32_t connections = 16;
    uint32_t depth = 1;
    uint32_t warm_up_ms = 300;
    uint32_t ms = 1500;
    uint32_t check = 64;
};

/* "--name value" pairs; ends the program if they are not right. */
Settings ParseSettings(int argc, char **argv);

[[noreturn]] void Die(const char *why);

class Requests
{
  public:
    explicit Requests(const Settings &settings);

    /* The next one, in turn: which it will be, and to take it. */
    size_t Peek() const
    {
        return next_;
    }
    size_t Next()
    {
        size_t request = next_;
        next_ = next_ + 1 == set_.n ? 0 : next_ + 1;
        return request;
    }
    struct request_body Body(size_t request) const
    {
        return set_.bodies[request];
    }
    std::string Path() const; /* of HTTP */

    /* Replies are held against the repository before anything else: so many
     * of them, and the length of all others against theirs. */
    bool IsToBeChecked() const
    {
        return n_to_check_ > 0;
    }
    void Check(size_t request, const uint8_t *reply, size_t bytes);
    void CheckLength(size_t bytes) const
    {
        if (reply_bytes_ != 0 && bytes != reply_bytes_) {
            Die("a reply of another length");
        }
    }

  private:
    void CountRows(const Settings &settings);

    struct workload workload_;
    struct id_choice choice_;
    struct request_set set_;
    struct reply_check *check_;
    struct reply_reader reader_;
    struct load_result result_ = {};
    size_t next_ = 0;
    uint32_t n_to_check_;
    size_t reply_bytes_ = 0; /* of all, as requests differ in their ids only */
};

/* What a time of load was: since it was made. */
class Stopwatch
{
  public:
    Stopwatch();
    double Seconds() const;
    /* Replies a second, the share of a processor that this program took, and
     * replies with those before, as a line of JSON. */
    void Print(uint64_t n_replies, uint64_t n_before) const;

  private:
    double start_;
    double processor_start_;
};

} // namespace bench

#endif
