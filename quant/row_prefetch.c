/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/row_prefetch.h"

#include "quant/bytes.h"
#include "quant/kernel/kernels.h"

void rows_prefetch(const struct nb_rows *rows, const uint8_t *ids, size_t n,
                   size_t id_bytes)
{
    for (size_t i = 0; rows->keys == NULL && i < n; i++) {
        uint64_t id =
            id_bytes == 8 ? get_u64(ids + 8 * i) : get_u32(ids + 4 * i);
        if (id < rows->n_rows) {
            kernel_prefetch((const uint8_t *)rows->base + id * rows->stride,
                            rows->stride);
        }
    }
}
