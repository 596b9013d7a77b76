/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/blocks.h"

#include <string.h>

#include "quant/bytes.h"
#include "quant/checked.h"

/* Field numbers of nibble.proto. */
enum {
    REPLY_VERSION = 1,
    REPLY_BLOCKS = 2
};
enum {
    BLOCK_ROWS = 1,
    BLOCK_DIM,
    BLOCK_DTYPE,
    BLOCK_ROW_BYTES,
    BLOCK_CODEC,
    BLOCK_UNSEEN,
    BLOCK_SCALES,
    BLOCK_PARAMS,
    BLOCK_VALUES = 15
};

/* Varints of a fixed width, any 32-bit value: the last byte may be a zero that
 * says nothing, which every decoder takes. */
#define PADDED_BYTES 5

static void put_padded(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < PADDED_BYTES - 1; i++) {
        to[i] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[PADDED_BYTES - 1] = (uint8_t)value;
}

/* ---- writing --------------------------------------------------------- */

/* As proto3 has it, a field of value zero is not written. */
static size_t field_bytes(uint64_t value)
{
    return value == 0 ? 0 : 1 + wire_varint_bytes(value);
}

static uint8_t *put_field(uint8_t *at, uint32_t number, uint64_t value)
{
    if (value == 0) {
        return at;
    }
    return wire_put_varint(wire_put_tag(at, number, WIRE_VARINT), value);
}

#define FIXED64_BYTES (1 + sizeof(uint64_t))

static uint8_t *put_fixed64(uint8_t *at, uint32_t number, uint64_t value)
{
    if (value == 0) {
        return at;
    }
    at = wire_put_tag(at, number, WIRE_FIXED64);
    put_u64(at, value);
    return at + sizeof(value);
}

/* 32 bits by 32 bits: cannot overflow. */
static uint64_t values_bytes(const struct block_head *head)
{
    return (uint64_t)head->rows * head->row_bytes;
}

/* Of everything in a block but the values themselves. */
static size_t head_bytes(const struct block_head *head)
{
    return field_bytes(head->rows) + field_bytes(head->dim) +
           field_bytes(head->dtype) + field_bytes(head->row_bytes) +
           field_bytes(head->codec) + field_bytes(head->scales) +
           (head->params != 0 ? FIXED64_BYTES : 0) + 1 + PADDED_BYTES + 1 +
           wire_varint_bytes(values_bytes(head));
}

int blocks_bytes(const struct block_head *heads, size_t n_blocks,
                 uint64_t version, uint64_t max_bytes, uint64_t *bytes)
{
    uint64_t total = field_bytes(version);
    for (size_t i = 0; i < n_blocks; i++) {
        uint64_t body;
        if (!checked_add(values_bytes(&heads[i]), head_bytes(&heads[i]),
                         &body) ||
            !checked_add(total, body, &total) ||
            !checked_add(total, 1 + wire_varint_bytes(body), &total) ||
            total > max_bytes) {
            return NB_ERR_TOO_LARGE;
        }
    }
    if (total > max_bytes) {
        return NB_ERR_TOO_LARGE;
    }
    *bytes = total;
    return 0;
}

void blocks_begin(struct blocks_writer *writer, void *buffer, uint64_t version)
{
    writer->at = put_field(buffer, REPLY_VERSION, version);
    writer->unseen = NULL;
}

void *blocks_add(struct blocks_writer *writer, const struct block_head *head)
{
    uint64_t bytes = values_bytes(head);
    uint8_t *at = wire_put_tag(writer->at, REPLY_BLOCKS, WIRE_BYTES);
    at = wire_put_varint(at, head_bytes(head) + bytes);
    at = put_field(at, BLOCK_ROWS, head->rows);
    at = put_field(at, BLOCK_DIM, head->dim);
    at = put_field(at, BLOCK_DTYPE, head->dtype);
    at = put_field(at, BLOCK_ROW_BYTES, head->row_bytes);
    at = put_field(at, BLOCK_CODEC, head->codec);
    at = put_field(at, BLOCK_SCALES, head->scales);
    at = put_fixed64(at, BLOCK_PARAMS, head->params);
    at = wire_put_tag(at, BLOCK_UNSEEN, WIRE_VARINT);
    writer->unseen = at;
    put_padded(at, 0);
    at = wire_put_tag(at + PADDED_BYTES, BLOCK_VALUES, WIRE_BYTES);
    at = wire_put_varint(at, bytes);
    writer->at = at + bytes;
    return at;
}

void blocks_end(struct blocks_writer *writer, uint32_t unseen)
{
    put_padded(writer->unseen, unseen);
}

/* ---- reading --------------------------------------------------------- */

int blocks_open(struct blocks_reader *reader, const void *body, size_t bytes,
                struct nb_errctx *err)
{
    struct wire wire = {body, (const uint8_t *)body + bytes};
    struct blocks_reader found = {.wire = wire};
    struct wire_field field;
    int rv;
    while ((rv = wire_next(&wire, &field)) > 0) {
        if (field.number == REPLY_VERSION && field.type == WIRE_VARINT) {
            found.version = field.value;
        } else if (field.number == REPLY_BLOCKS && field.type == WIRE_BYTES) {
            found.n_blocks++;
        } else if (field.number <= REPLY_BLOCKS) {
            return nb_fail(err, NB_ERR_MESSAGE,
                           "reply: field %u has wire type %u", field.number,
                           field.type);
        }
    }
    if (rv < 0) {
        return nb_fail(err, rv, "reply: malformed at byte %zu",
                       (size_t)(wire.at - (const uint8_t *)body));
    }
    *reader = found;
    return 0;
}

/* Stores a field of a block. False if it is of the wrong wire type. */
static bool take_field(struct block_view *block, size_t *n_values,
                       const struct wire_field *field)
{
    uint32_t *const numbers[] = {
        [BLOCK_ROWS] = &block->head.rows,
        [BLOCK_DIM] = &block->head.dim,
        [BLOCK_DTYPE] = &block->head.dtype,
        [BLOCK_ROW_BYTES] = &block->head.row_bytes,
        [BLOCK_CODEC] = &block->head.codec,
        [BLOCK_UNSEEN] = NULL,
        [BLOCK_SCALES] = &block->head.scales,
    };
    if (field->number == BLOCK_VALUES) {
        block->values = field->data;
        *n_values = field->bytes;
        return field->type == WIRE_BYTES;
    }
    if (field->number == BLOCK_PARAMS) {
        block->head.params = field->value;
        return field->type == WIRE_FIXED64;
    }
    if (field->number > BLOCK_SCALES) {
        return true; /* of a newer peer */
    }
    if (field->number == BLOCK_UNSEEN) {
        block->unseen = field->value;
    } else {
        *numbers[field->number] = (uint32_t)field->value;
    }
    return field->type == WIRE_VARINT;
}

/* Do the sizes of a block agree? */
static int check_block(const struct block_head *head, size_t n_values,
                       struct nb_errctx *err)
{
    if (head->dtype > NB_PACKED) {
        return nb_fail(err, NB_ERR_MESSAGE, "dtype: %u is not known",
                       head->dtype);
    }
    uint64_t bytes = (uint64_t)head->dim * nb_dtype_bytes(head->dtype);
    if (head->dtype != NB_PACKED && bytes != head->row_bytes) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "row_bytes: %u, but dim %u takes %llu", head->row_bytes,
                       head->dim, (unsigned long long)bytes);
    }
    if (values_bytes(head) != n_values) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "values: %zu bytes, but %u rows of %u", n_values,
                       head->rows, head->row_bytes);
    }
    return 0;
}

static int read_block(struct wire wire, struct block_view *block,
                      struct nb_errctx *err)
{
    struct block_view found = {.values = wire.at};
    size_t n_values = 0;
    struct wire_field field;
    int rv;
    while ((rv = wire_next(&wire, &field)) > 0) {
        if (!take_field(&found, &n_values, &field)) {
            return nb_fail(err, NB_ERR_MESSAGE, "field %u has wire type %u",
                           field.number, field.type);
        }
    }
    if (rv < 0) {
        return nb_fail(err, rv, "malformed");
    }
    rv = check_block(&found.head, n_values, err);
    if (rv == 0) {
        *block = found;
    }
    return rv;
}

int blocks_next(struct blocks_reader *reader, struct block_view *block,
                struct nb_errctx *err)
{
    struct wire_field field;
    int rv;
    while ((rv = wire_next(&reader->wire, &field)) > 0) {
        if (field.number != REPLY_BLOCKS || field.type != WIRE_BYTES) {
            continue;
        }
        struct wire wire = {field.data, field.data + field.bytes};
        struct nb_errctx inner;
        rv = read_block(wire, block, &inner);
        if (rv != 0) {
            return nb_fail(err, rv, "reply: blocks[%zu]: %.200s", reader->next,
                           inner.text);
        }
        reader->next++;
        return 1;
    }
    return rv;
}
