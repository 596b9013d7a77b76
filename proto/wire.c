/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/wire.h"

#include "quant/bytes.h"

#define FIELD_NUMBER_MAX ((1u << 29) - 1)

/* Tags and lengths have 32 bits; as protobuf-c reads them, whose view of a
 * message must be ours. */
#define SHORT_MAX_BYTES 5

/* Reads a varint of at most max_bytes bytes. */
static int read_varint(struct wire *wire, unsigned max_bytes, uint64_t *value)
{
    uint64_t sum = 0;
    const uint8_t *at = wire->at;
    for (unsigned shift = 0; shift < 7 * max_bytes && at < wire->end;
         shift += 7) {
        uint64_t byte = *at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        sum |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            wire->at = at;
            *value = sum;
            return 0;
        }
    }
    return NB_ERR_MESSAGE;
}

int wire_varint(struct wire *wire, uint64_t *value)
{
    return read_varint(wire, WIRE_VARINT_MAX, value);
}

static int read_bytes(struct wire *wire, struct wire_field *field)
{
    uint64_t bytes;
    if (read_varint(wire, SHORT_MAX_BYTES, &bytes) != 0 ||
        bytes > (uint64_t)(wire->end - wire->at)) {
        return NB_ERR_MESSAGE;
    }
    field->data = wire->at;
    field->bytes = (size_t)bytes;
    wire->at += bytes;
    return 1;
}

static int read_fixed(struct wire *wire, struct wire_field *field,
                      ptrdiff_t bytes)
{
    if (wire->end - wire->at < bytes) {
        return NB_ERR_MESSAGE;
    }
    field->value = bytes == 8 ? get_u64(wire->at) : get_u32(wire->at);
    wire->at += bytes;
    return 1;
}

static int read_field(struct wire *wire, struct wire_field *field)
{
    uint64_t tag;
    if (read_varint(wire, SHORT_MAX_BYTES, &tag) != 0 || tag >> 3 == 0 ||
        tag >> 3 > FIELD_NUMBER_MAX) {
        return NB_ERR_MESSAGE;
    }
    field->number = (uint32_t)(tag >> 3);
    field->type = (uint32_t)(tag & 7);
    switch (field->type) {
    case WIRE_VARINT:
        return wire_varint(wire, &field->value) == 0 ? 1 : NB_ERR_MESSAGE;
    case WIRE_FIXED64:
        return read_fixed(wire, field, 8);
    case WIRE_BYTES:
        return read_bytes(wire, field);
    case WIRE_FIXED32:
        return read_fixed(wire, field, 4);
    default:
        return NB_ERR_MESSAGE;
    }
}

int wire_next(struct wire *wire, struct wire_field *field)
{
    if (wire->at == wire->end) {
        return 0;
    }
    struct wire ahead = *wire;
    int rv = read_field(&ahead, field);
    if (rv > 0) {
        *wire = ahead;
    }
    return rv;
}
