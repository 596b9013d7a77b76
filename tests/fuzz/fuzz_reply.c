/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What a hostile server can send: the bytes are a stream of frames, read in
 * chunks whose size the first byte says; bodies are read as the reply to a
 * fixed lookup, to a fixed pool and as an error; what passes is placed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/remote_error.h"
#include "client/lib/reply_blocks.h"
#include "client/lib/reply_buffer.h"
#include "client/lib/reply_place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BODY (1u << 16)

static const uint32_t ids[] = {1, 2, 3};
static const uint32_t lengths[] = {1, 2};
static const struct nb_feature feature = {
    .table = "t", .ids = {.u32 = ids, .n = 3}, .lengths = lengths, .n_bags = 2};

/* Every byte that a block claims to have must be there. */
static void touch(const struct nb_reply *reply)
{
    volatile uint8_t sink = 0;
    for (size_t i = 0; i < reply->n_blocks; i++) {
        const struct nb_block *block = &reply->blocks[i];
        const uint8_t *values = block->values;
        for (size_t j = 0; j < (size_t)block->rows * block->row_bytes; j++) {
            sink = values[j];
        }
    }
    (void)sink;
}

/* To memory that may be too small, with parameters that may not fit. */
static void place(struct reply_blocks *blocks, const struct nb_reply *reply)
{
    static const float means[NB_DIM_MAX];
    static const struct nb_params params = {.column_mean = means};
    const size_t bytes = 96;
    uint8_t *memory = malloc(bytes);
    const struct nb_target to = {memory, memory != NULL ? bytes : 0};
    for (int i = 0; i < 4; i++) {
        const struct reply_target target = {
            .targets = i < 2 ? &to : NULL,
            .matrix = i < 2 ? NULL : &to,
        };
        const struct nb_block first = blocks->blocks[0];
        struct nb_errctx err;
        (void)reply_place(blocks->blocks, reply->n_blocks, 0, &target,
                          i % 2 == 0 ? &params : NULL, &err);
        if (i < 3) {
            blocks->blocks[0] = first;
        } /* else the next read finds it placed */
    }
    free(memory);
}

static void read_body(const struct frame_header *header, const uint8_t *body)
{
    /* A copy of its own: reading past its end is found out. */
    uint8_t *copy = malloc(header->body_bytes + 1u);
    if (copy == NULL) {
        return;
    }
    memcpy(copy, body, header->body_bytes);
    struct remote_error error;
    (void)remote_error_read(copy, header->body_bytes, &error);
    struct reply_blocks blocks = {0};
    for (uint32_t dtype = NB_FP32; dtype <= NB_PACKED; dtype++) {
        const struct nb_request request = {
            .features = &feature, .n_features = 1, .dtype = dtype};
        for (int pool = 0; pool < 2; pool++) {
            struct nb_reply reply;
            struct nb_errctx err;
            if (reply_blocks_read(&blocks, copy, header->body_bytes, &request,
                                  pool != 0, &reply, &err) == 0) {
                touch(&reply);
                place(&blocks, &reply);
            }
        }
    }
    reply_blocks_fini(&blocks);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t step = (size_t)data[0] + 1;
    data++;
    size--;
    struct reply_buffer buffer;
    reply_buffer_init(&buffer, MAX_BODY);
    int rv = 0;
    while (size > 0 && rv >= 0) {
        void *at;
        size_t room;
        if (reply_buffer_room(&buffer, &at, &room) != 0) {
            break;
        }
        size_t n = size < step ? size : step;
        n = n < room ? n : room;
        memcpy(at, data, n);
        reply_buffer_filled(&buffer, n);
        data += n;
        size -= n;
        struct frame_header header;
        const uint8_t *body;
        struct nb_errctx err;
        while ((rv = reply_buffer_next(&buffer, &header, &body, &err)) > 0) {
            read_body(&header, body);
        }
    }
    reply_buffer_fini(&buffer);
    return 0;
}
