/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/decimal.h"

#include <stdint.h>

#define DIGITS_MAX 18 /* of which every integer fits uint64_t */

bool decimal_parse(const char *text, size_t n, double *value)
{
    uint64_t digits = 0;
    double divisor = 1;
    size_t n_digits = 0;
    bool point = false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || ++n_digits > DIGITS_MAX) {
            return false;
        }
        digits = digits * 10 + (uint64_t)(text[i] - '0');
        divisor *= point ? 10 : 1;
    }
    if (n_digits == 0) {
        return false;
    }
    *value = (double)digits / divisor;
    return true;
}
