/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A connection without its socket: the input is a script of chunks. A byte
 * says how much is read next, or that some is sent, or that time passes; what
 * is sent must be whole frames. */
#include <stdlib.h>
#include <string.h>

#include "server/request/session.h"
#include "tests/lib/service_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint8_t sent[1 << 20];

static void open_once(void)
{
    static bool is_open;
    if (!is_open) {
        fixture_open("--max-ids 1000 --max-bags 200 --max-features 8 "
                     "--max-frame-bytes 4096 --max-reply-bytes 8192 "
                     "--max-in-flight 3 --write-high 2000 --write-low 100");
        atexit(fixture_close);
        is_open = true;
    }
}

static size_t send_some(struct session *session, size_t n_sent, size_t most)
{
    struct iovec vector;
    while (most > 0 && outq_gather(&session->out, &vector, 1) == 1) {
        size_t n = vector.iov_len < most ? vector.iov_len : most;
        if (n > sizeof(sent) - n_sent) {
            return SIZE_MAX; /* frames are then not checked */
        }
        memcpy(sent + n_sent, vector.iov_base, n);
        outq_consume(&session->out, n);
        n_sent += n;
        most -= n;
    }
    session_resume(session);
    return n_sent;
}

static size_t feed(struct session *session, const uint8_t *data, size_t n)
{
    void *window;
    size_t room;
    if (!session_wants_input(session) ||
        session_window(session, &window, &room) != 0) {
        return 0;
    }
    n = n < room ? n : room;
    memcpy(window, data, n);
    session_received(session, n, fixture_now_ns);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    open_once();
    if (n > 60000) {
        return 0;
    }
    struct session session;
    session_init(&session, &fixture_service);
    size_t n_sent = 0;
    for (size_t at = 0; at < n && n_sent != SIZE_MAX;) {
        uint8_t step = data[at++];
        if (step >= 224) {
            n_sent = send_some(&session, n_sent, (size_t)step * step);
        } else if (step >= 216) {
            fixture_now_ns += UINT64_C(1000000000) << (step - 216);
            session_check_time(&session, fixture_now_ns);
        } else {
            size_t part = (size_t)step + 1 < n - at ? (size_t)step + 1 : n - at;
            feed(&session, data + at, part);
            at += part;
        }
    }
    while (n_sent != SIZE_MAX && session.out.bytes != 0) {
        n_sent = send_some(&session, n_sent, SIZE_MAX);
    }
    const uint8_t *at = sent;
    struct fixture_frame frame;
    while (n_sent != SIZE_MAX &&
           fixture_next_frame(&at, sent + n_sent, &frame)) {
        if (frame.header.kind == FRAME_REQUEST) {
            abort();
        }
    }
    session_fini(&session);
    return 0;
}
