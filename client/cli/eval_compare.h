/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* nibble eval --compare: codecs and searches side by side on one source. */
#ifndef NB_CLI_EVAL_COMPARE_H
#define NB_CLI_EVAL_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/source/source.h"

struct compare_args {
    const char *list; /* of candidates, as candidate_list_parse() reads it */
    const char *against;
    const struct source_options *source;
    const char *svg;     /* NULL: none is drawn */
    const char *weights; /* NULL: rows count alike */
    uint64_t sample_rows;
    uint64_t budget_seconds;
    uint64_t threads;
    bool json;
};

/* Returns an exit status. */
int eval_compare(const struct compare_args *args);

#endif
