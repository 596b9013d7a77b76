/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The 16-byte header in front of every message; PROTOCOL.md, "Frames". */
#ifndef NB_PROTO_FRAME_H
#define NB_PROTO_FRAME_H

#include <stdint.h>

#include "quant/nibble.h"

#define FRAME_HEADER_BYTES 16

enum frame_kind {
    FRAME_REQUEST = 0,
    FRAME_REPLY = 1,
    FRAME_ERROR = 2
};

enum frame_method {
#define METHOD(id, name, max_request_bytes) FRAME_METHOD_##name = (id),
#include "proto/methods.def"
#undef METHOD
};

struct frame_header {
    uint8_t kind; /* enum frame_kind */
    uint16_t method;
    uint32_t request_id;
    uint32_t body_bytes;
};

/* Writes 16 bytes. */
void frame_header_put(void *to, const struct frame_header *header);

/*
 * Reads and checks 16 bytes: magic, version, reserved byte, kind, and
 * body_bytes <= max_body_bytes. An unknown method is not an error here.
 * NB_ERR_FRAME: not this protocol, or not this version of it;
 * NB_ERR_TOO_LARGE: *header is filled all the same, so that the peer can be
 * told. *err names the field and its value.
 */
int frame_header_get(const void *from, uint32_t max_body_bytes,
                     struct frame_header *header, struct nb_errctx *err);

/* Name of a method id, for logs and counters; NULL if there is none. */
const char *frame_method_name(uint32_t method);

#endif
