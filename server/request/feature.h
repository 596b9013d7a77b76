/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What Lookup and Pool share: one feature of a request resolved to rows of a
 * table, and the reply planned before it is written. */
#ifndef NB_SERVER_FEATURE_H
#define NB_SERVER_FEATURE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/blocks.h"
#include "server/request/call.h"

/* A feature with everything but how its ids are used. */
struct feature {
    const struct table_entry *entry;
    struct nb_ids ids;
    /* Of a Pool. */
    size_t n_bags;
    const uint32_t *lengths; /* of bags */
    const float *weights;    /* one an id, or NULL */
    uint32_t pooling;        /* enum nb_pooling */
};

/* Fields of LookupFeature and PoolFeature that are the same. */
struct feature_fields {
    const char *table;
    size_t n_ids;
    const uint64_t *ids;
    size_t n_ids32;
    const uint32_t *ids32;
};

/* The model of that name; an empty one means the only model. Fails naming the
 * models there are. */
int feature_find_model(struct call *call, const char *model,
                       const struct catalog_entry **entry);

/* Resolves the fields that stand in front of both requests: the tables to
 * answer from, and the deadline. `dtype` must be in the enumeration. */
int feature_begin(struct call *call, const char *model, uint64_t version,
                  uint32_t timeout_ms, uint32_t dtype,
                  struct table_set **tables);

/* Fails: `field` of the request names no table of these, which it lists. */
int feature_no_table(struct call *call, const struct table_set *tables,
                     const char *field, const char *name);

/* Resolves feature `i`; fails naming the field. */
int feature_resolve(struct call *call, const struct table_set *tables, size_t i,
                    const struct feature_fields *fields,
                    struct feature *feature);

/* The block of `rows` rows that answers a feature. */
struct block_head feature_head(const struct feature *feature, size_t rows,
                               uint32_t dtype);

/* Reserves the whole reply; *bytes is how long it is, 0 if that is to be found
 * out, and told. */
int feature_reserve(struct call *call, const struct table_set *tables,
                    const struct block_head *heads, size_t n, uint64_t *bytes,
                    struct blocks_writer *writer);

/* Feature `i`, or a part of it, is computed: rv is what nb_lookup() or
 * nb_pool() returned. Counts it. */
int feature_done(struct call *call, size_t i, const struct feature *feature,
                 int rv, uint64_t unseen);

#endif
