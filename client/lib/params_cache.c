/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/params_cache.h"

void params_cache_fini(struct params_cache *cache)
{
    for (uint32_t i = 0; i < PARAMS_CACHE_MAX; i++) {
        nb_table_params_free(cache->entries[i]);
        cache->entries[i] = NULL;
    }
}

const struct nb_params *params_cache_get(const struct params_cache *cache,
                                         uint64_t id,
                                         const struct nb_format *format)
{
    for (uint32_t i = 0; i < PARAMS_CACHE_MAX; i++) {
        const struct nb_table_params *entry = cache->entries[i];
        if (entry == NULL) {
            return NULL; /* filled from the front */
        }
        if (entry->id == id && entry->format.codec == format->codec &&
            entry->format.dim == format->dim &&
            entry->format.scales == format->scales) {
            return &entry->params;
        }
    }
    return NULL;
}

void params_cache_put(struct params_cache *cache,
                      struct nb_table_params *params)
{
    nb_table_params_free(cache->entries[cache->next]);
    cache->entries[cache->next] = params;
    cache->next = (cache->next + 1) % PARAMS_CACHE_MAX;
}
