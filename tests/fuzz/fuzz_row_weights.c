/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>

#include "storage/source/row_weights.h"
#include "tests/lib/fuzz_file.h"

#define ROWS_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(int rv, const struct nb_errctx *err)
{
    if (rv > 0 || (rv != 0 && err->text[0] == '\0')) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_file file;
    struct row_weights *weights;
    struct nb_errctx err = {""};
    fuzz_file_init(&file, data, n);
    int rv = row_weights_open(file.path, &weights, &err);
    check(rv, &err);
    if (rv == 0) {
        for (size_t i = 0; i < ROWS_MAX && rv == 0; i++) {
            double weight = -1;
            rv = row_weights_read(weights, 1, &weight, &err);
            check(rv, &err);
            if (rv == 0 && !(weight >= 0 && weight <= 0x1p64)) {
                abort();
            }
        }
        check(row_weights_end(weights, &err), &err);
        row_weights_close(weights);
    }
    fuzz_file_fini(&file);
    return 0;
}
