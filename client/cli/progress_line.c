/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/progress_line.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/cli_text.h"
#include "storage/source/source.h"

#define SHOW_EVERY_S 0.1
#define WIPE_LINE    "\r\033[K"

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_line_begin(struct progress_line *line, const char *doing)
{
    *line = (struct progress_line){
        .doing = doing, .started = now_s(), .enabled = isatty(STDERR_FILENO)};
}

/* Share of the work done, by rows where their number is known; 0..1. */
static double share_done(const struct progress *progress)
{
    uint64_t done = progress->rows;
    uint64_t total = progress->rows_total;
    if (total == SOURCE_ROWS_UNKNOWN) {
        done = progress->bytes;
        total = progress->bytes_total;
    }
    double share = total > 0 ? (double)done / (double)total : 1;
    return share < 1 ? share : 1;
}

/* Whether it is time to show the line anew. */
static bool is_due(struct progress_line *line, double now)
{
    if (!line->enabled ||
        (line->shown > 0 && now - line->shown < SHOW_EVERY_S)) {
        return false;
    }
    line->shown = now;
    return true;
}

static struct cli_text time_left(double share, double elapsed)
{
    struct cli_text unknown = {"unknown"};
    return share > 0 ? text_duration(elapsed / share - elapsed) : unknown;
}

void progress_line_show(void *arg, const struct progress *progress)
{
    struct progress_line *line = arg;
    double now = now_s();
    if (line->training && !progress->training) {
        line->started = now;
    }
    line->training = progress->training;
    if (!is_due(line, now)) {
        return;
    }
    double share = share_done(progress);
    double elapsed = now - line->started;
    fprintf(stderr, WIPE_LINE "%s: %s rows, %s, %s, %s left",
            progress->training ? "training" : line->doing,
            text_count(progress->rows).text, text_percent(share, 1).text,
            text_rate(progress->rows, elapsed).text,
            time_left(share, elapsed).text);
}

void progress_line_show_bytes(struct progress_line *line, uint64_t done,
                              uint64_t total)
{
    double now = now_s();
    if (!is_due(line, now)) {
        return;
    }
    double share = total > 0 ? (double)done / (double)total : 1;
    fprintf(stderr, WIPE_LINE "%s: %s, %s, %s left", line->doing,
            text_bytes(done).text, text_percent(share, 1).text,
            time_left(share, now - line->started).text);
}

void progress_line_end(struct progress_line *line)
{
    if (line->shown > 0) {
        fprintf(stderr, WIPE_LINE);
    }
}
