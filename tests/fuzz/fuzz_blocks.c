/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the reader of blocks accepts, protobuf-c reads the same. */
#include <stdlib.h>
#include <string.h>

#include "proto/blocks.h"
#include "proto/nibble.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(int ok)
{
    if (!ok) {
        abort();
    }
}

static void compare(const struct block_view *ours,
                    const Nibble__V1__Block *theirs)
{
    check(ours->head.rows == theirs->rows);
    check(ours->head.dim == theirs->dim);
    check(ours->head.dtype == (uint32_t)theirs->dtype);
    check(ours->head.row_bytes == theirs->row_bytes);
    check(ours->head.codec == theirs->codec);
    check(ours->head.scales == theirs->scales);
    check(ours->unseen == theirs->unseen);
    size_t bytes = (size_t)ours->head.rows * ours->head.row_bytes;
    check(bytes == theirs->values.len);
    check(bytes == 0 || memcmp(ours->values, theirs->values.data, bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct blocks_reader reader;
    struct block_view view;
    struct nb_errctx err;
    if (blocks_open(&reader, data, n, &err) != 0) {
        return 0;
    }
    Nibble__V1__BlocksReply *reply =
        nibble__v1__blocks_reply__unpack(NULL, n, data);
    if (reply != NULL) {
        check(reply->version == reader.version);
        check(reply->n_blocks == reader.n_blocks);
    }
    size_t i = 0;
    int rv;
    while ((rv = blocks_next(&reader, &view, &err)) > 0) {
        if (reply != NULL) {
            compare(&view, reply->blocks[i]);
        }
        i++;
    }
    check(rv != 0 || (reply != NULL && i == reply->n_blocks));
    if (reply != NULL) {
        nibble__v1__blocks_reply__free_unpacked(reply, NULL);
    }
    return 0;
}
