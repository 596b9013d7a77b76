/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Compared candidates as eval and quantize print them. */
#ifndef NB_CLI_COMPARE_REPORT_H
#define NB_CLI_COMPARE_REPORT_H

#include <jansson.h>

#include "storage/eval/comparison.h"

/* What is told of lines; zeroed, nothing. */
struct compare_marks {
    const struct compared *chosen;
    double max_bytes_per_value; /* 0: any */
    uint64_t n_rows;            /* that share the bytes of a table */
};

/* A heading and a line each. */
void compare_report_print(const struct compared *lines, size_t n,
                          const struct compare_marks *marks);

/* A sentence on what the rows are a sample of, if they are, and one on values
 * that counted as 0, if any did. */
void compare_report_print_sample(const struct row_sample *sample);

/* An array of objects. */
json_t *compare_report_json(const struct compared *lines, size_t n);

#endif
