/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* From the frame of a request to the frame of its answer. */
#ifndef NB_SERVER_RPC_H
#define NB_SERVER_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/request/call.h"

/* handle_<name>.c: answers a request of that method. 0: the reply is written
 * to the body of call_reserve(); -1: call_fail() says why not. `message` is
 * the decoded nibble.v1.<Name>Request, valid for the call.
 * 1: so far; work_continue() goes on. */
typedef int rpc_handler_fn(struct call *call, const void *message);

#define METHOD(id, name, max_request_bytes) rpc_handler_fn handle_##name;
#include "proto/methods.def"
#undef METHOD

/* Answers a whole request, and counts it; unless it is put off, call->cold or
 * call->is_later says so, and it is to be asked again. False: there is no
 * memory even for an error, so the connection must end.
 *
 * call->has_more: it is one for rpc_continue(), again and again until that is
 * false, or for rpc_abandon(); of a service, one at a time. The body is not
 * needed for that, and the call may be moved. If call->cold is set then, the
 * pages are to be read first. */
bool rpc_answer(struct call *call, const void *body, size_t bytes);
bool rpc_continue(struct call *call);
void rpc_abandon(struct call *call);

/* The same for a request that call_fail() has already refused. */
bool rpc_refuse(struct call *call);

/* Most bytes that a request of a method may have, whatever the frame limit. */
uint32_t rpc_max_request_bytes(uint16_t method);

#endif
