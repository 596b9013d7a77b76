/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A table's parameters as a hostile server tells them; those that are taken
 * must be good for decoding. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/reply_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct nb_table_params *params)
{
    size_t bytes;
    if (nb_row_bytes(&params->format, &bytes) != 0) {
        abort();
    }
    uint8_t *row = calloc(1, bytes);
    float *values = calloc(params->format.dim, sizeof(*values));
    const struct nb_rows rows = {.format = params->format,
                                 .base = row,
                                 .n_rows = 1,
                                 .stride = bytes,
                                 .params = &params->params};
    if (row != NULL && values != NULL &&
        nb_decode(&rows, 0, 1, NB_FP32, values) != 0) {
        abort();
    }
    free(values);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of its own: reading past its end is found out. */
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    struct nb_table_params *params;
    struct nb_errctx err = {""};
    int rv = reply_params_read(copy, size, &params, &err);
    if (rv == 0) {
        use(params);
        nb_table_params_free(params);
    } else if (err.text[0] == '\0') {
        abort();
    }
    free(copy);
    return 0;
}
