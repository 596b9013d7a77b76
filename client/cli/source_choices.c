/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/source_choices.h"

#include "storage/source.h"

const char *source_choice_at(size_t i)
{
    return i == 0 ? "auto" : source_format_at(i - 1);
}
