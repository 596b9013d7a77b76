/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Walks the fields of an encoded protobuf message without decoding it: what a
 * message will cost is known before memory is spent on it. */
#ifndef NB_PROTO_WIRE_H
#define NB_PROTO_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define WIRE_VARINT_MAX 10 /* bytes of the longest varint */

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5
};

/* A message being walked. Initialise with both ends. */
struct wire {
    const uint8_t *at;
    const uint8_t *end;
};

struct wire_field {
    uint32_t number;
    uint32_t type;       /* enum wire_type */
    uint64_t value;      /* of a varint or a fixed field */
    const uint8_t *data; /* WIRE_BYTES: points into the message */
    size_t bytes;        /* WIRE_BYTES: its length */
};

/* Reads one varint and steps over it. NB_ERR_MESSAGE: cut short, or longer
 * than 64 bits. */
int wire_varint(struct wire *wire, uint64_t *value);

/* Reads the next field and steps over it. 1: there was one; 0: the end;
 * NB_ERR_MESSAGE: malformed, or a group, which proto3 does not have; then
 * wire->at stays where the field begins. */
int wire_next(struct wire *wire, struct wire_field *field);

/* Bytes of `value` as a varint, 1..WIRE_VARINT_MAX. */
static inline size_t wire_varint_bytes(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

/* Writes a varint; returns the byte after it. */
static inline uint8_t *wire_put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* Writes a tag; returns the byte after it. */
static inline uint8_t *wire_put_tag(uint8_t *to, uint32_t number,
                                    enum wire_type type)
{
    return wire_put_varint(to, (uint64_t)number << 3 | (uint64_t)type);
}

#endif
