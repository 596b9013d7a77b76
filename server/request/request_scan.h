/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Holds a request to the limits before it is decoded: walks its fields and
 * counts, touching no memory but the body. */
#ifndef NB_SERVER_REQUEST_SCAN_H
#define NB_SERVER_REQUEST_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "server/request/call.h"

/* Fails the call if the body is malformed, a string holds a NUL, or features,
 * ids or bags are over the limits. `request` describes the message. */
int request_scan(struct call *call, const ProtobufCMessageDescriptor *request,
                 const void *body, size_t bytes);

enum request_array_kind {
    REQUEST_IDS64,
    REQUEST_IDS32,
    REQUEST_WEIGHTS,
    REQUEST_TIMEOUT, /* one number, as a varint */
    REQUEST_ARRAY_KINDS
};

/* Ids or weights of a feature, packed, in a body; or the value of timeout_ms,
 * which belongs to none. */
struct request_array {
    size_t at; /* bytes from the start of the body */
    size_t bytes;
    size_t feature;
    uint8_t kind; /* enum request_array_kind */
};

/* Those of a body that request_scan() has found well-formed, in their order.
 * Returns how many there are, of which at most `max` are told. */
size_t request_arrays(const ProtobufCMessageDescriptor *request,
                      const uint8_t *body, size_t bytes,
                      struct request_array *arrays, size_t max);

#endif
