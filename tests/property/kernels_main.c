/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The same as test_kernels.c without libcheck, for emulators:
 * kernels_main list WORD	names of the kernels that hold the word
 * kernels_main NAME...		checks these */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/kernel_checks.h"

static void list_kernels(const char *word)
{
    const struct kernel *kernel;

    for (size_t i = 0; (kernel = kernel_at(i)) != NULL; i++) {
        if (kernel_checks_supported(kernel) &&
            strstr(kernel->name, word) != NULL) {
            printf("%s\n", kernel->name);
        }
    }
}

static int check_kernel(const char *name, uint64_t seed)
{
    const struct kernel *kernel;
    struct nb_errctx err = {"no such kernel here"};
    int rv = -1;

    for (size_t i = 0; (kernel = kernel_at(i)) != NULL; i++) {
        if (strcmp(kernel->name, name) == 0 &&
            kernel_checks_supported(kernel)) {
            rv = kernel_checks_run(kernel, seed, &err);
        }
    }
    printf("%-20s %s\n", name, rv == 0 ? "ok" : err.text);
    return rv;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc == 3 && strcmp(argv[1], "list") == 0) {
        list_kernels(argv[2]);
        return EXIT_SUCCESS;
    }
    for (int i = 1; i < argc; i++) {
        failed += check_kernel(argv[i], kernel_checks_seed()) != 0;
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
