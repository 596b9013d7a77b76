/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One request being answered: what a handler is given beside the decoded
 * message, and where its answer goes. */
#ifndef NB_SERVER_CALL_H
#define NB_SERVER_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/rpc_code.h"
#include "server/request/outq.h"
#include "server/request/service.h"

/* When a request got where. */
struct call_times {
    uint64_t begun_ns;
    uint64_t decoded_ns; /* 0: it was not */
    uint64_t answered_ns;
};

/* What becomes of a request that is too large to be answered at once. */
enum call_if_large {
    CALL_WHOLE, /* it is, nevertheless */
    CALL_PIECES,
    CALL_LATER /* call->is_later is set, and it is to be asked again */
};

struct call {
    struct service *service;
    struct outq *out;
    uint16_t method;
    uint32_t request_id;
    uint64_t arrived_ns;
    uint64_t deadline_ns;     /* UINT64_MAX: none */
    uint32_t timeout_ms;      /* that it follows from */
    struct call_times *times; /* NULL: nobody wants to know */
    bool may_put_off;         /* until pages are read: cold_read.h */
    uint64_t queued_ns;       /* since when it stood in line; 0: it did not */
    struct cold_read *cold;   /* what it is put off for; NULL: it is not */
    enum call_if_large if_large;
    bool is_later;
    bool has_more;       /* rpc_continue() does the next piece */
    struct work *work;   /* that it comes to, once the reply is reserved */
    struct arena *arena; /* its memory */
    uint8_t *frame;      /* of the reply, reserved in out */
    uint32_t body_bytes;
    uint32_t code;     /* enum rpc_code, set by call_fail() */
    char message[256]; /* the last: the only one not zeroed before a call */
};

/* Says why the request is answered with an error. Always returns -1, so that a
 * failing handler ends in `return call_fail(...)`. */
int call_fail(struct call *call, enum rpc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Counts timeout_ms from the arrival of the frame; 0 means none. Fails if that
 * is already over. */
int call_set_timeout(struct call *call, uint32_t timeout_ms);

/* Fails if the deadline has passed; asked between pieces of work. */
int call_check_deadline(struct call *call);

/* Memory until the request is answered, zeroed. Fails if the arena is used
 * up. */
int call_array(struct call *call, size_t n, size_t bytes, void **memory);

/* The body of the reply, of exactly that many bytes, in the outgoing buffer.
 * Fails if that is over --max-reply-bytes, or memory is out. */
int call_reserve(struct call *call, uint64_t body_bytes, void **body);

/* Queues the reserved body as the reply, or what call_fail() was told as an
 * error. False: there is no memory even for the error. */
bool call_send_reply(struct call *call);
bool call_send_error(struct call *call);

#endif
