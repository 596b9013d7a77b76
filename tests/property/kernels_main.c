/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The same as test_kernels.c without libcheck: for emulators. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/kernel_checks.h"

int main(void)
{
    uint64_t seed = kernel_checks_seed();
    const struct kernel *kernel;
    int failed = 0;

    for (size_t i = 0; (kernel = kernel_at(i)) != NULL; i++) {
        struct nb_errctx err = {""};
        if (!kernel_checks_supported(kernel)) {
            continue;
        }
        failed += kernel_checks_run(kernel, seed, &err) != 0;
        printf("%-24s %s\n", kernel->name, err.text[0] ? err.text : "ok");
        fflush(stdout);
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
