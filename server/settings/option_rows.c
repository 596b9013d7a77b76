/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/option_rows.h"

#include <stdio.h>
#include <string.h>

const struct option_row option_rows[] = {
#define OPTION(field, flag, type, default_text, min, max, value, help)         \
    {                                                                          \
        flag,                                                                  \
        default_text,                                                          \
        value,                                                                 \
        help,                                                                  \
        min,                                                                   \
        max,                                                                   \
        offsetof(struct options, field),                                       \
        type},
#include "server/settings/options.def"
#undef OPTION
};

const size_t option_rows_n = sizeof(option_rows) / sizeof(option_rows[0]);

const struct option_row *option_row_find(const char *flag, size_t bytes)
{
    for (size_t i = 0; i < option_rows_n; i++) {
        if (strlen(option_rows[i].flag) == bytes &&
            memcmp(option_rows[i].flag, flag, bytes) == 0) {
            return &option_rows[i];
        }
    }
    return NULL;
}

void *option_field(const struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

void option_number_format(const struct option_row *row, uint64_t number,
                          char *to, size_t bytes)
{
    if (row->type == SECONDS) {
        snprintf(to, bytes, "%llu.%03llu", (unsigned long long)number / 1000,
                 (unsigned long long)number % 1000);
    } else {
        snprintf(to, bytes, "%llu", (unsigned long long)number);
    }
}
