/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/fuzz_source.h"

#include <stdlib.h>

#include "storage/source/source.h"
#include "tests/lib/fuzz_file.h"

#define ROWS 3u

/* Rows until the end or the first error, which goes to *rv. */
static uint64_t read_all(struct source *source, float *values, int *rv,
                         struct nb_errctx *err)
{
    uint64_t rows = 0;
    size_t n_rows;
    do {
        *rv = source_read(source, values, ROWS, &n_rows, err);
        if (*rv != 0) {
            if (*rv > 0 || err->text[0] == '\0') {
                abort();
            }
            return rows;
        }
        if (n_rows > ROWS || source_bytes_read(source) > source_bytes(source)) {
            abort();
        }
        rows += n_rows;
    } while (n_rows == ROWS);
    if (source_rows(source) != SOURCE_ROWS_UNKNOWN &&
        source_rows(source) != rows) {
        abort();
    }
    return rows;
}

void fuzz_source(const uint8_t *data, size_t n,
                 const struct source_options *options)
{
    struct fuzz_file file;
    struct source *source;
    struct nb_errctx err = {""};
    fuzz_file_init(&file, data, n);
    int rv = source_open(file.path, options, &source, &err);
    if (rv != 0) {
        if (rv > 0 || err.text[0] == '\0') {
            abort();
        }
        goto out;
    }
    uint32_t dim = source_dim(source);
    if (dim < 1 || dim > NB_DIM_MAX) {
        abort();
    }
    float *values = malloc((size_t)ROWS * dim * sizeof(float));
    if (values != NULL) {
        int again;
        uint64_t rows = read_all(source, values, &rv, &err);
        if (source_rewind(source, &err) != 0 ||
            read_all(source, values, &again, &err) != rows || again != rv) {
            abort();
        }
    }
    free(values);
    source_close(source);

out:
    fuzz_file_fini(&file);
}
