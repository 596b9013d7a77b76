/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/table_params.h"

#include <inttypes.h>
#include <stdlib.h>

#include "quant/bytes.h"
#include "storage/table/table_format.h"

/* ---- memory -------------------------------------------------------------- */

int table_params_alloc(uint32_t dim, bool mean, bool scale,
                       uint32_t n_codebooks, uint32_t n_levels,
                       struct table_params *params)
{
    size_t n_columns = ((size_t)mean + (size_t)scale) * dim;
    size_t n_values = (size_t)n_codebooks * n_levels; /* 2^32 x 2^32 at most */

    *params = (struct table_params){0};
    if (n_columns + n_values == 0) {
        return 0;
    }
    float *values = calloc(n_columns + n_values, sizeof(*values));
    if (values == NULL) {
        return NB_ERR_NOMEM;
    }
    params->values = values;
    params->view = (struct nb_params){
        .column_mean = mean ? values : NULL,
        .column_scale = scale ? values + (mean ? dim : 0) : NULL,
        .codebooks = n_values > 0 ? values + n_columns : NULL,
        .n_codebooks = n_codebooks,
        .n_levels = n_levels,
    };
    return 0;
}

/* Where a part of the view stands in the memory, which may be written. */
static float *part(struct table_params *params, const float *view)
{
    return view != NULL ? params->values + (view - params->values) : NULL;
}

float *table_params_mean(struct table_params *params)
{
    return part(params, params->view.column_mean);
}

float *table_params_scale(struct table_params *params)
{
    return part(params, params->view.column_scale);
}

float *table_params_codebooks(struct table_params *params)
{
    return part(params, params->view.codebooks);
}

void table_params_fini(struct table_params *params)
{
    free(params->values);
    *params = (struct table_params){0};
}

/* ---- encoding ------------------------------------------------------------ */

static size_t n_levels(const struct nb_params *params)
{
    return params->codebooks != NULL
               ? (size_t)params->n_codebooks * params->n_levels
               : 0;
}

bool table_params_any(const struct nb_params *params)
{
    return params != NULL &&
           (params->column_mean != NULL || params->column_scale != NULL ||
            params->codebooks != NULL);
}

enum table_columns table_params_columns(const struct nb_params *params)
{
    if (params == NULL || params->column_mean == NULL) {
        return COLUMNS_NONE;
    }
    return params->column_scale == NULL ? COLUMNS_CENTER : COLUMNS_SCALE;
}

size_t table_params_bytes(uint32_t dim, const struct nb_params *params)
{
    size_t n = n_levels(params);
    n += params->column_mean != NULL ? dim : 0;
    n += params->column_scale != NULL ? dim : 0;
    return PARAMS_VALUES + n * sizeof(float);
}

static uint8_t *put_values(uint8_t *at, const float *values, size_t n)
{
    for (size_t i = 0; i < n && values != NULL; i++, at += sizeof(float)) {
        put_f32(at, values[i]);
    }
    return at;
}

void table_params_encode(uint32_t dim, const struct nb_params *params,
                         uint8_t *bytes)
{
    uint32_t parts = 0;
    bool codebooks = params->codebooks != NULL;
    parts |= params->column_mean != NULL ? PARAMS_COLUMN_MEAN : 0;
    parts |= params->column_scale != NULL ? PARAMS_COLUMN_SCALE : 0;
    parts |= codebooks ? PARAMS_CODEBOOKS : 0;
    put_u32(bytes + PARAMS_PARTS, parts);
    put_u32(bytes + PARAMS_N_CODEBOOKS, codebooks ? params->n_codebooks : 0);
    put_u32(bytes + PARAMS_N_LEVELS, codebooks ? params->n_levels : 0);
    put_u32(bytes + PARAMS_ZERO, 0);
    uint8_t *at = bytes + PARAMS_VALUES;
    at = put_values(at, params->column_mean, dim);
    at = put_values(at, params->column_scale, dim);
    put_values(at, params->codebooks, n_levels(params));
}

/* ---- decoding ------------------------------------------------------------ */

/* The fields before the values, and where the section is. */
struct fields {
    uint32_t parts;
    uint32_t n_codebooks;
    uint32_t n_levels;
    uint64_t offset;
    const char *name;
};

static int check_fields(const struct fields *fields, uint32_t zero,
                        struct nb_errctx *err)
{
    bool codebooks = (fields->parts & PARAMS_CODEBOOKS) != 0;
    uint32_t unknown = fields->parts & ~PARAMS_PARTS_DEFINED;
    if (unknown != 0) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: parts 0x%" PRIx32 " of the parameters (offset "
                       "%" PRIu64 ") need a newer program",
                       fields->name, unknown, fields->offset);
    }
    if (fields->parts == 0 || zero != 0) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: parameters section at %" PRIu64
                       ": no parts, or field at %d is not 0",
                       fields->name, fields->offset, PARAMS_ZERO);
    }
    if (fields->n_codebooks > NB_CODEBOOKS_MAX ||
        fields->n_levels > NB_LEVELS_MAX ||
        codebooks != (fields->n_codebooks != 0) ||
        codebooks != (fields->n_levels != 0)) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: parameters section at %" PRIu64 ": %" PRIu32
                       " codebooks of %" PRIu32 " levels",
                       fields->name, fields->offset, fields->n_codebooks,
                       fields->n_levels);
    }
    return 0;
}

int table_params_decode(const uint8_t *bytes, size_t n, uint64_t offset,
                        const struct nb_format *format, const char *name,
                        struct table_params *params, struct nb_errctx *err)
{
    if (n < PARAMS_VALUES) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: parameters section at %" PRIu64 " of %zu bytes, "
                       "not even %d",
                       name, offset, n, PARAMS_VALUES);
    }
    const struct fields fields = {
        .parts = get_u32(bytes + PARAMS_PARTS),
        .n_codebooks = get_u32(bytes + PARAMS_N_CODEBOOKS),
        .n_levels = get_u32(bytes + PARAMS_N_LEVELS),
        .offset = offset,
        .name = name,
    };
    int rv = check_fields(&fields, get_u32(bytes + PARAMS_ZERO), err);
    if (rv != 0) {
        return rv;
    }
    uint32_t n_columns = (fields.parts & PARAMS_COLUMN_MEAN ? 1u : 0u) +
                         (fields.parts & PARAMS_COLUMN_SCALE ? 1u : 0u);
    size_t n_values = (size_t)n_columns * format->dim +
                      (size_t)fields.n_codebooks * fields.n_levels;
    if (n != PARAMS_VALUES + n_values * sizeof(float)) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: parameters section at %" PRIu64
                       " of %zu bytes for %zu values",
                       name, offset, n, n_values);
    }
    struct table_params made;
    rv = table_params_alloc(format->dim,
                            (fields.parts & PARAMS_COLUMN_MEAN) != 0,
                            (fields.parts & PARAMS_COLUMN_SCALE) != 0,
                            fields.n_codebooks, fields.n_levels, &made);
    if (rv != 0) {
        return nb_fail(err, rv, "%s: parameters: %s", name, nb_strerror(rv));
    }
    for (size_t i = 0; i < n_values; i++) {
        made.values[i] = get_f32(bytes + PARAMS_VALUES + i * sizeof(float));
    }
    struct nb_errctx why;
    if (nb_params_check(format, &made.view, &why) != 0) {
        table_params_fini(&made);
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: parameters section at %" PRIu64 ": %.100s", name,
                       offset, why.text);
    }
    *params = made;
    return 0;
}
