/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the commands that read vectors have in common: the options that say how
 * a source is read. */
#ifndef NB_CLI_SOURCE_SELECT_H
#define NB_CLI_SOURCE_SELECT_H

#include <stdbool.h>

#include "client/cli/option_table.h"
#include "storage/source/source.h"

/* Option group over a struct source_options: --format --tensor --dim. */
#define SOURCE_SELECT_ROWS 3
extern const struct option_row source_select_rows[SOURCE_SELECT_ROWS];
#define SOURCE_SELECT_GROUP(at)                                                \
    {                                                                          \
        .rows = source_select_rows, .n_rows = SOURCE_SELECT_ROWS,              \
        .offset = (at)                                                         \
    }

/* Do they go together? False once told, with the exit status. */
bool source_select_check(const char *command,
                         const struct source_options *options, int *status);

#endif
