/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/sample_select.h"

#include "client/cli/progress_line.h"

int sample_select_take(struct source *source, const char *weights,
                       size_t max_rows, struct row_sample *sample,
                       struct nb_errctx *err)
{
    struct row_weights *opened = NULL;
    int rv = weights != NULL ? row_weights_open(weights, &opened, err) : 0;
    if (rv != 0) {
        return rv;
    }
    struct progress_line line;
    progress_line_begin(&line, "reading");
    const struct sample_options options = {
        .source = source,
        .weights = opened,
        .max_rows = max_rows,
        .progress = progress_line_show,
        .progress_arg = &line,
    };
    rv = row_sample_take(&options, sample, err);
    progress_line_end(&line);
    row_weights_close(opened);
    return rv;
}
