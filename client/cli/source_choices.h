/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Choices of an option that names the format of a source. */
#ifndef NB_CLI_SOURCE_CHOICES_H
#define NB_CLI_SOURCE_CHOICES_H

#include "client/cli/option_table.h"

/* "auto", then the formats of sources.def. */
option_choice_fn source_choice_at;

#endif
