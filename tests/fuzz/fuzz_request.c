/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Any body, for the method that the first byte chooses, gives one whole
 * frame; and the same one whenever it comes again. */
#include <stdlib.h>
#include <string.h>

#include "server/request/rpc.h"
#include "tests/lib/service_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void open_once(void)
{
    static bool is_open;
    if (!is_open) {
        fixture_open("--max-ids 1000 --max-bags 200 --max-features 8 "
                     "--max-frame-bytes 8192 --max-reply-bytes 16384");
        atexit(fixture_close);
        is_open = true;
    }
}

static const char unnamed[] = "request: not a nibble";

/* Answers the request that the first byte and the rest make, into `out`. */
static struct fixture_frame ask(const uint8_t *data, size_t n, struct outq *out)
{
    struct call call = {
        .service = &fixture_service,
        .out = out,
        .method = data[0] % 6,
        .request_id = 5,
        .arrived_ns = fixture_now_ns,
        .deadline_ns = UINT64_MAX,
    };
    struct iovec vector;
    struct fixture_frame frame;
    if (!rpc_answer(&call, data + 1, n - 1) ||
        outq_gather(out, &vector, 1) != 1) {
        abort();
    }
    const uint8_t *at = vector.iov_base;
    const uint8_t *end = at + vector.iov_len;
    if (!fixture_next_frame(&at, end, &frame) || at != end ||
        frame.header.request_id != 5 || frame.header.body_bytes > 16384 + 300) {
        abort();
    }
    return frame;
}

/* It comes again, and again; the last time, what it is may be known. Status
 * counts, the rest says the same. */
static void ask_again(const uint8_t *data, size_t n, struct fixture_frame first)
{
    for (int i = 0; i < 2; i++) {
        struct outq out;
        outq_init(&out, &fixture_service.pool);
        struct fixture_frame frame = ask(data, n, &out);
        if (first.header.method != FRAME_METHOD_status &&
            (frame.header.kind != first.header.kind ||
             frame.header.body_bytes != first.header.body_bytes ||
             memcmp(frame.body, first.body, first.header.body_bytes) != 0)) {
            abort();
        }
        outq_fini(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    open_once();
    if (n == 0 || n > 8192) {
        return 0;
    }
    struct outq out;
    outq_init(&out, &fixture_service.pool);
    struct fixture_frame frame = ask(data, n, &out);
    ask_again(data, n, frame);
    /* What protobuf-c refuses, the scan has refused by name. Names that an
     * error repeats may say anything. */
    if (memmem(data, n, unnamed, sizeof(unnamed) - 1) == NULL &&
        memmem(frame.body, frame.header.body_bytes, unnamed,
               sizeof(unnamed) - 1) != NULL) {
        abort();
    }
    outq_fini(&out);
    return 0;
}
