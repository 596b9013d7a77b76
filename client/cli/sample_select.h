/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A sample of a source's rows, with a line of progress while it is read. */
#ifndef NB_CLI_SAMPLE_SELECT_H
#define NB_CLI_SAMPLE_SELECT_H

#include "storage/builder/row_sample.h"

/* `weights` is the path of a file of weights, or NULL; max_rows 0: as many as
 * row_sample_rows() says. Contract and errors of row_sample_take(). */
int sample_select_take(struct source *source, const char *weights,
                       size_t max_rows, struct row_sample *sample,
                       struct nb_errctx *err);

#endif
