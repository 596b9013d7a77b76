/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* options.def as rows, for what goes through all of them. */
#ifndef NB_SERVER_OPTION_ROWS_H
#define NB_SERVER_OPTION_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "server/settings/options.h"

enum option_type {
    LIST,
    TEXT,
    COUNT,
    BYTES,
    SECONDS
};

struct option_row {
    const char *flag;
    const char *default_text;
    const char *value;
    const char *help;
    uint64_t min;
    uint64_t max;
    size_t offset; /* of the field in struct options */
    enum option_type type;
};

extern const struct option_row option_rows[];
extern const size_t option_rows_n;

/* NULL: there is none of that name, of `bytes` bytes. */
const struct option_row *option_row_find(const char *flag, size_t bytes);

void *option_field(const struct options *options, const struct option_row *row);

/* A number as it is written in a message and in the log. */
void option_number_format(const struct option_row *row, uint64_t number,
                          char *to, size_t bytes);

#endif
