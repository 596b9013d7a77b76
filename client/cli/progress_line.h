/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One line on the terminal that tells how far long work is; none where stderr
 * is not a terminal. */
#ifndef NB_CLI_PROGRESS_LINE_H
#define NB_CLI_PROGRESS_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/builder/table_builder.h"

struct progress_line {
    const char *doing; /* "quantizing" */
    double started;    /* seconds of the monotonic clock */
    double shown;      /* likewise, of the last time; 0: never */
    bool training;     /* when last told */
    bool enabled;
};

void progress_line_begin(struct progress_line *line, const char *doing);

/* A progress_fn; `arg` is the struct progress_line. */
void progress_line_show(void *arg, const struct progress *progress);

/* The same of work that is told in bytes. */
void progress_line_show_bytes(struct progress_line *line, uint64_t done,
                              uint64_t total);

/* Wipes the line. */
void progress_line_end(struct progress_line *line);

#endif
