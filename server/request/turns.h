/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Large requests of a loop, which must not keep small ones waiting. In a turn
 * of the loop one is begun, and what is not done within WORK_PIECE_NS is done
 * in pieces, one a turn, with sockets looked at in between. While one is in
 * pieces other large ones stand in line: each would take its memory, and none
 * would be done sooner.
 */
#ifndef NB_SERVER_TURNS_H
#define NB_SERVER_TURNS_H

#include "server/request/call.h"
#include "server/request/session.h"

/* The session whose request is in pieces, of which the next can be done; or the
 * first in line, if it can be begun; NULL: none. */
struct session *turns_next_piece(const struct service *service);
struct session *turns_next_waiting(const struct service *service);

/* One that is in line longer than --max-backlog allows, so that it is to be
 * told now; NULL: none. */
struct session *turns_overdue(const struct service *service);

/* Does a large frame stand at the front, that is not to be begun in this turn?
 * Then the session is in line. */
bool turns_must_wait(struct session *session, const uint8_t *data,
                     size_t bytes);

/* What becomes of a request of the session that turns out to be large: it does
 * not overtake those in line. */
enum call_if_large turns_if_large(const struct session *session);

void turns_join(struct session *session);
void turns_leave(struct session *session);

/* Its request is in pieces, where nobody's is; it is no longer, as it is
 * answered. */
void turns_begin_pieces(struct session *session);
void turns_end_pieces(struct session *session);

/* Is its request in pieces? turns_give_up() ends that, if so. */
bool turns_in_pieces(const struct session *session);
void turns_give_up(struct session *session);

#endif
