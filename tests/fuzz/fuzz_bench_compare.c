/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A report of `nibble bench` that may be anything, beside one that is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_compare.h"
#include "tests/lib/fuzz_file.h"

static const char whole[] =
    "{\"report\":\"nibble bench\",\"parameters\":{\"seed\":1},"
    "\"machine\":{\"processor\":\"x\"},\"steps\":[{\"achieved_per_s\":10,"
    "\"latency_us\":{\"p50\":1.5,\"p99\":2},\"service_us\":{\"p50\":1}}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What is printed is not looked at; sanitizers write past the streams. */
static int compare_silently(const char *a, const char *b, bool json)
{
    static FILE *nowhere;
    FILE *out = stdout;
    FILE *err = stderr;
    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "w");
    }
    if (nowhere == NULL) {
        abort();
    }
    stdout = stderr = nowhere;
    int status = bench_compare(a, b, json);
    stdout = out;
    stderr = err;
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_file one;
    struct fuzz_file other;
    fuzz_file_init(&one, data, n);
    fuzz_file_init(&other, (const uint8_t *)whole, strlen(whole));
    for (int i = 0; i < 4; i++) {
        const char *a = i % 2 == 0 ? one.path : other.path;
        const char *b = i % 2 == 0 ? other.path : one.path;
        int status = compare_silently(a, b, i < 2);
        if (status != 0 && status != 1) {
            abort();
        }
    }
    fuzz_file_fini(&one);
    fuzz_file_fini(&other);
    return 0;
}
