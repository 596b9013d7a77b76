/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Values of a reply to where the caller wants them: a block for each feature,
 * or one matrix with all of them side by side; packed rows are decoded on the
 * way.
 */
#ifndef NB_CLIENT_REPLY_PLACE_H
#define NB_CLIENT_REPLY_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/nibble_client.h"

/* The memory, as in nb_call_options; borrowed, at most one is set. */
struct reply_target {
    const struct nb_target *targets;
    const struct nb_target *matrix;
};

/* Before a request is sent: does it go with the target? NB_ERR_INVALID. */
int reply_place_check(const struct nb_request *request, bool pool,
                      const struct reply_target *target, struct nb_errctx *err);

/*
 * Moves the values of block `index` of a checked reply to the target; then the
 * block says where they are and what they have become. Blocks are placed in
 * order, from 0. params are those of the block, NULL if it has none.
 * NB_ERR_TOO_LARGE: they do not fit; NB_ERR_UNSUPPORTED: packed rows of a codec
 * that is not known; NB_ERR_MESSAGE: packed rows that cannot be decoded.
 */
int reply_place(struct nb_block *blocks, size_t n_blocks, size_t index,
                const struct reply_target *target,
                const struct nb_params *params, struct nb_errctx *err);

/* The same block of the same reply, read once more: its values are there. */
void reply_place_again(struct nb_block *blocks, size_t n_blocks, size_t index,
                       const struct reply_target *target);

#endif
