/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A connection of a closed loop over gRPC, HTTP/2 by hand: the least that the
 * protocol asks for, acknowledgements and windows, is done. Of the server's
 * headers nothing is looked at but that they end a stream that has had its
 * reply. A request has to fit the window that the server gives a stream. */
#ifndef NB_BENCH_H2_CONNECTION_HH
#define NB_BENCH_H2_CONNECTION_HH

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/bench/grpc/h2_frame.hh"
#include "tests/bench/grpc/load_requests.hh"

namespace bench
{

struct Slot {
    uint32_t stream;
    size_t request;
    size_t bytes;      /* of the reply, and the prefix, so far */
    std::string reply; /* of those to be checked */
};

class Connection
{
  public:
    Connection(const Settings &settings, Requests *requests);
    Connection(const Connection &) = delete;
    int fd() const
    {
        return fd_;
    }
    /* Reads once, starts as many requests as were answered, and sends. */
    void Proceed();

    uint64_t n_replies = 0;

  private:
    void Connect(const char *server);
    bool Read();
    void ParseAll();
    void OnFrame(uint8_t type, uint8_t flags, uint32_t stream,
                 const uint8_t *payload, size_t n);
    void OnSettings(const uint8_t *payload, size_t n);
    void OnData(Slot *slot, const uint8_t *payload, size_t n);
    void OnEnd(Slot *slot);
    Slot *Find(uint32_t stream);
    void StartWaiting();
    void Send();

    Requests *requests_;
    const std::string first_headers_;
    int fd_;
    std::vector<Slot> slots_;
    std::deque<Slot *> waiting_; /* for the window */
    uint32_t next_stream_ = 1;
    bool ready_ = false;               /* the server has said its settings */
    uint32_t max_frame_ = kFrameLeast; /* and windows, to send: */
    int64_t window_ = 65535;
    int64_t stream_window_ = 65535;
    uint32_t consumed_ = 0; /* of what we let the server send */
    std::string out_;
    std::vector<uint8_t> in_;
    size_t in_bytes_ = 0;
};

} // namespace bench

#endif
