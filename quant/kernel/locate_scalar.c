/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/kernels.h"

void nb_locate_scalar(const struct kernel_ids *ids)
{
    uint64_t unseen = 0;

    for (size_t i = 0; i < ids->n; i++) {
        uint64_t id = ids->u64 != NULL ? ids->u64[i] : ids->u32[i];
        bool seen = id < ids->n_rows;
        ids->at[i] = seen ? (const uint8_t *)(ids->base + id * ids->stride)
                          : ids->absent;
        unseen += !seen;
    }
    *ids->unseen = unseen;
}
