/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Parameters of tables by their id, which is a hash of what they are: as good
 * for any version and any table that tells the same one. */
#ifndef NB_CLIENT_PARAMS_CACHE_H
#define NB_CLIENT_PARAMS_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "client/lib/nibble_client.h"

#define PARAMS_CACHE_MAX 1024u /* tables of which packed rows are in use */

/* Zero-filled is empty. */
struct params_cache {
    struct nb_table_params *entries[PARAMS_CACHE_MAX];
    uint32_t next; /* where the next one goes, in place of the oldest */
};

void params_cache_fini(struct params_cache *cache);

/* NULL if they are not there, or are of rows of another format; borrowed until
 * the next params_cache_put(). */
const struct nb_params *params_cache_get(const struct params_cache *cache,
                                         uint64_t id,
                                         const struct nb_format *format);

/* Takes ownership. */
void params_cache_put(struct params_cache *cache,
                      struct nb_table_params *params);

#endif
