/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* nb_pool and nb_lookup with a kernel of the caller's choice, so that benches
 * can hold instruction sets against each other in one process. */
#ifndef NB_QUANT_BATCH_H
#define NB_QUANT_BATCH_H

#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

/* `kernel` is one for the request's op and codec; NULL is the best. */
int batch_pool(const struct kernel *kernel, const struct nb_rows *rows,
               const struct nb_pool *request, void *out, uint64_t *unseen);

/* As batch_pool; the kernel is not used if the request is for NB_PACKED, or the
 * table has a column transform. */
int batch_lookup(const struct kernel *kernel, const struct nb_rows *rows,
                 const struct nb_lookup *request, void *out, uint64_t *unseen);

#endif
