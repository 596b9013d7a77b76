/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/turns.h"

#include "server/request/rpc.h"

/* A request of so much body keeps the loop busy for a good part of a
 * millisecond. */
#define LARGE_BODY_BYTES ((uint32_t)64 << 10)

void turns_join(struct session *session)
{
    struct session **at = &session->service->waiting;
    while (*at != NULL) {
        at = &(*at)->next_waiting;
    }
    session->waiting = true;
    counter_add(&session->service->counters->in_line, 1);
    if (session->queued_ns == 0) {
        session->queued_ns = session->service->now_ns();
    }
    session->next_waiting = NULL;
    *at = session;
}

void turns_leave(struct session *session)
{
    struct session **at = &session->service->waiting;
    while (*at != NULL && *at != session) {
        at = &(*at)->next_waiting;
    }
    if (*at != NULL) {
        *at = session->next_waiting;
        counter_add(&session->service->counters->in_line, -(uint64_t)1);
    }
    session->waiting = false;
}

void turns_begin_pieces(struct session *session)
{
    session->service->in_pieces = session;
    counter_add(&session->service->counters->in_pieces, 1);
}

void turns_end_pieces(struct session *session)
{
    session->service->in_pieces = NULL;
    counter_add(&session->service->counters->in_pieces, -(uint64_t)1);
}

bool turns_in_pieces(const struct session *session)
{
    return session->service->in_pieces == session;
}

void turns_give_up(struct session *session)
{
    if (turns_in_pieces(session)) {
        rpc_abandon(session->service->large);
        turns_end_pieces(session);
    }
}

struct session *turns_next_piece(const struct service *service)
{
    struct session *session = service->in_pieces;
    return session != NULL && session->cold == NULL ? session : NULL;
}

struct session *turns_next_waiting(const struct service *service)
{
    return service->in_pieces == NULL ? service->waiting : NULL;
}

/* Does a whole, large frame stand at the front? */
static bool is_large(const uint8_t *data, size_t bytes)
{
    struct frame_header header;
    return bytes > LARGE_BODY_BYTES &&
           frame_header_get(data, UINT32_MAX, &header, NULL) == 0 &&
           header.body_bytes >= LARGE_BODY_BYTES &&
           bytes - FRAME_HEADER_BYTES >= header.body_bytes;
}

bool turns_must_wait(struct session *session, const uint8_t *data, size_t bytes)
{
    struct service *service = session->service;
    if (!service->takes_turns || session->skip_bytes != 0 ||
        service->from_line == session || !is_large(data, bytes)) {
        return false;
    }
    if (service->large_done || service->in_pieces != NULL) {
        turns_join(session);
        return true;
    }
    service->large_done = true;
    return false;
}

enum call_if_large turns_if_large(const struct session *session)
{
    const struct service *service = session->service;
    if (!service->takes_turns) {
        return CALL_WHOLE;
    }
    bool next = service->waiting == NULL || service->from_line == session;
    return service->in_pieces == NULL && next ? CALL_PIECES : CALL_LATER;
}

struct session *turns_overdue(const struct service *service)
{
    const struct session *first = service->waiting;
    uint64_t limit_ns = service->options->max_backlog_ms * 1000000u;
    return first != NULL && limit_ns != 0 &&
                   service->now_ns() - first->queued_ns > limit_ns
               ? service->waiting
               : NULL;
}
