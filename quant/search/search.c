/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/search/search.h"

#include <string.h>

static const struct search *const searches[] = {
#define SEARCH(word, name) &search_##word,
#include "quant/search/searches.def"
#undef SEARCH
};

#define N_SEARCHES (sizeof(searches) / sizeof(searches[0]))

const struct search *search_by_id(uint32_t id)
{
    return id < N_SEARCHES ? searches[id] : NULL;
}

int nb_search_by_name(const char *name, uint32_t *id)
{
    for (uint32_t i = 0; i < N_SEARCHES; i++) {
        if (strcmp(searches[i]->name, name) == 0) {
            *id = i;
            return 0;
        }
    }
    return NB_ERR_NOT_FOUND;
}

const char *nb_search_name(uint32_t id)
{
    return id < N_SEARCHES ? searches[id]->name : NULL;
}

const char *nb_search_at(size_t i)
{
    return i < N_SEARCHES ? searches[i]->name : NULL;
}
