/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>

#include "quant/checked.h"
#include "quant/nibble.h"

int nb_keys_check(const struct nb_keys *keys, uint64_t n_rows,
                  struct nb_errctx *err)
{
    uint64_t n_pilots;
    if (keys->n_parts == 0 || keys->n_buckets == 0 ||
        !checked_mul(keys->n_parts, keys->n_buckets, &n_pilots)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%" PRIu64 " parts of %" PRIu32 " buckets",
                       keys->n_parts, keys->n_buckets);
    }
    uint64_t next = 0;
    for (uint64_t i = 0; i < keys->n_parts; i++) {
        const struct nb_key_part *part = &keys->parts[i];
        if (part->first_row != next || part->n_rows > n_rows - next ||
            part->seed >= NB_KEY_SEEDS) {
            return nb_fail(
                err, NB_ERR_INVALID,
                "part %" PRIu64 " of %" PRIu32 " rows from %" PRIu64
                " on, seed %" PRIu32 ", after %" PRIu64 " of %" PRIu64 " rows",
                i, part->n_rows, part->first_row, part->seed, next, n_rows);
        }
        next += part->n_rows;
    }
    return next == n_rows
               ? 0
               : nb_fail(err, NB_ERR_INVALID,
                         "parts have %" PRIu64 " of %" PRIu64 " rows", next,
                         n_rows);
}
