/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The first byte chooses the layout and whether the third and second are the
 * dim; the rest is the file. Raw values, which have no more to them, are the
 * layout after the last. */
#include "quant/bytes.h"
#include "tests/lib/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const formats[] = {"fbgemm",      "fbgemm-tbe",
                                          "fbgemm8",     "fbgemm8-half",
                                          "fbgemm8-tbe", "raw"};
    if (n < 3) {
        return 0;
    }
    size_t n_formats = sizeof(formats) / sizeof(formats[0]);
    const struct source_options options = {
        .format = formats[data[0] % n_formats],
        .dim = data[0] >= 128 ? get_u16(data + 1) : 0,
    };
    fuzz_source(data + 3, n - 3, &options);
    return 0;
}
