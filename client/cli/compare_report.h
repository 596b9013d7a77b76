/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Compared candidates as eval and quantize print them. */
#ifndef NB_CLI_COMPARE_REPORT_H
#define NB_CLI_COMPARE_REPORT_H

#include <jansson.h>

#include "storage/eval/comparison.h"

/* A heading and a line each; NULL marks none, otherwise one of the lines. */
void compare_report_print(const struct compared *lines, size_t n,
                          const struct compared *mark);

/* A sentence on what the rows are a sample of, if they are, and one on values
 * that counted as 0, if any did. */
void compare_report_print_sample(const struct row_sample *sample);

/* An array of objects. */
json_t *compare_report_json(const struct compared *lines, size_t n);

#endif
