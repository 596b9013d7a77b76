/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/source_select.h"

#include <string.h>

#include "client/cli/command.h"

/* "auto", then the formats of sources.def. */
static const char *format_at(size_t i)
{
    return i == 0 ? "auto" : source_format_at(i - 1);
}

#define AT(field) offsetof(struct source_options, field)

const struct option_row source_select_rows[SOURCE_SELECT_ROWS] = {
    {.name = "format",
     .type = OPTION_NAME,
     .offset = AT(format),
     .value = "FORMAT",
     .fallback = "auto",
     .choices = format_at,
     .help = "of the vectors; 'auto' tells by the content"},
    {.name = "tensor",
     .type = OPTION_TEXT,
     .offset = AT(tensor),
     .value = "NAME",
     .help = "which matrix of a file that holds several"},
    {.name = "dim",
     .type = OPTION_NUMBER,
     .offset = AT(dim),
     .value = "D",
     .fallback = "0",
     .max = NB_DIM_MAX,
     .help = "values a row, where the file does not say; 0: as it says"},
};

bool source_select_check(const char *command,
                         const struct source_options *options, int *status)
{
    if (options->dim == 0 && options->format != NULL &&
        strcmp(options->format, "raw") == 0) {
        *status = command_misused(
            command, "--dim is missing: values of --format raw alone do not "
                     "tell how many make a row");
        return false;
    }
    return true;
}
