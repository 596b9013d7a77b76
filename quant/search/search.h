/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The search registry: how scale and bias of an affine row are chosen. */
#ifndef NB_QUANT_SEARCH_H
#define NB_QUANT_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "quant/search/affine.h"

struct search {
    const char *name;
    /* Chooses for each of n_rows rows, one after the other in memory; each row
     * by itself, whatever stands beside it. */
    void (*choose)(const struct nb_format *format, const float *x,
                   size_t n_rows, struct affine *chosen);
};

#define SEARCH(word, name) extern const struct search search_##word;
#include "quant/search/searches.def"
#undef SEARCH

/* NULL if there is no search of that id. */
const struct search *search_by_id(uint32_t id);

#endif
