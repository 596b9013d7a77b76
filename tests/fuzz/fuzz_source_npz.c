/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_source(data, n, &(struct source_options){.format = "npz"});
    fuzz_source(data, n, &(struct source_options){.tensor = "e"});
    return 0;
}
