/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Holds a request to the limits before it is decoded: walks its fields and
 * counts, touching no memory but the body. */
#ifndef NB_SERVER_REQUEST_SCAN_H
#define NB_SERVER_REQUEST_SCAN_H

#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "server/request/call.h"

/* Fails the call if the body is malformed, a string holds a NUL, or features,
 * ids or bags are over the limits. `request` describes the message. */
int request_scan(struct call *call, const ProtobufCMessageDescriptor *request,
                 const void *body, size_t bytes);

#endif
