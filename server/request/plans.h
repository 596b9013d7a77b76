/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests that come again with other ids. Those of a ranking service differ in
 * little else, so what an earlier one was resolved to is kept, and one that
 * equals it in every byte but ids, weights and timeout is neither scanned,
 * decoded nor resolved again. Kept is what came twice running of a length, is
 * not large without its ids, and was answered; two at a time of a length.
 */
#ifndef NB_SERVER_PLANS_H
#define NB_SERVER_PLANS_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "server/request/call.h"
#include "server/request/work.h"

/* Of one loop, for one catalog. */
struct plans;

/* NULL: no memory. */
struct plans *plans_create(void);
void plans_destroy(struct plans *plans);

/* The catalog is another one: nothing that was kept holds. */
void plans_forget(struct plans *plans);

/* The request resolved, in the call's arena, as decoding it and its handler
 * would have it; NULL: it has to be decoded, or there is no room. */
struct work *plans_recall(struct plans *plans, struct call *call,
                          const uint8_t *body, size_t bytes,
                          uint32_t *timeout_ms);

/* The body may be asked for next: has the processor fetch the rows of its ids,
 * if these are few, as if it were like the first that was kept of its length.
 */
void plans_prefetch(const struct plans *plans, uint16_t method,
                    const uint8_t *body, size_t bytes);

/* The request, a message of that kind, was answered from call->work: it may
 * come again. */
void plans_keep(struct plans *plans, const struct call *call,
                const ProtobufCMessageDescriptor *request, const uint8_t *body,
                size_t bytes);

#endif
