/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Ids of a trace file: all of them are read, or it is said which is none. */
#include <stdlib.h>

#include "client/cli/number_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct id_list list = {0};
    struct nb_errctx err = {""};
    int rv = id_list_parse((const char *)data, n, &list, &err);
    if (rv > 0 || (rv != 0) != (err.text[0] != '\0') || list.n > n) {
        abort();
    }
    for (size_t i = 0; i < list.n; i++) {
        if (list.ids[i] == UINT64_MAX && n < 20) {
            abort(); /* it has 20 digits */
        }
    }
    id_list_fini(&list);
    return 0;
}
