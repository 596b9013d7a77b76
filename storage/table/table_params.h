/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The parameters section of a table file, in memory. */
#ifndef NB_STORAGE_TABLE_PARAMS_H
#define NB_STORAGE_TABLE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/table/table_reader.h"

/* Parameters and what they point to. All zeros: none. */
struct table_params {
    struct nb_params view;
    float *values; /* owned */
};

/* Makes room for the parts that are asked for, codebooks if n_codebooks > 0;
 * the values are zeros. The caller ends *params with table_params_fini().
 * NB_ERR_NOMEM. */
int table_params_alloc(uint32_t dim, bool mean, bool scale,
                       uint32_t n_codebooks, uint32_t n_levels,
                       struct table_params *params);

/* The same memory, to be written by its owner. */
float *table_params_mean(struct table_params *params);
float *table_params_scale(struct table_params *params);
float *table_params_codebooks(struct table_params *params);

void table_params_fini(struct table_params *params);

/* Whether there is anything to write. params may be NULL. */
bool table_params_any(const struct nb_params *params);

/* Which column transform they are of; params may be NULL. */
enum table_columns table_params_columns(const struct nb_params *params);

/* Bytes of the section. */
size_t table_params_bytes(uint32_t dim, const struct nb_params *params);

/* Writes table_params_bytes() bytes. */
void table_params_encode(uint32_t dim, const struct nb_params *params,
                         uint8_t *bytes);

/* Decodes n bytes that stand at `offset` of the file `name`, and checks them
 * against the format. As table_params_alloc(); NB_ERR_FORMAT. */
int table_params_decode(const uint8_t *bytes, size_t n, uint64_t offset,
                        const struct nb_format *format, const char *name,
                        struct table_params *params, struct nb_errctx *err);

#endif
