/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/repo_name.h"

#include <ctype.h>

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

bool repo_name_is_valid(const char *name, size_t max)
{
    size_t n = 0;
    while (n <= max && is_name_char(name[n])) {
        n++;
    }
    return n > 0 && n <= max && name[n] == '\0' && name[0] != '.';
}

bool repo_version_parse(const char *text, uint64_t *version)
{
    uint64_t sum = 0;
    if (text[0] < '1' || text[0] > '9') {
        return false;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum)) {
            return false;
        }
    }
    *version = sum;
    return true;
}
