/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>

#include "client/cli/bench_report.h"
#include "client/cli/svg_chart.h"

/* Lines of the drawing, by their place in bench_percentiles. */
static const size_t lines[] = {0, 3, 4};
#define N_LINES (sizeof(lines) / sizeof(lines[0]))

static int by_rate(const void *a, const void *b)
{
    const struct svg_point *p = a;
    const struct svg_point *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* Of the steps in order of their rates, one line a percentile. */
static size_t place_points(const struct bench_steps *steps,
                           struct svg_point *points)
{
    size_t n = 0;
    for (size_t i = 0; i < N_LINES; i++) {
        size_t first = n;
        for (size_t j = 0; j < steps->n; j++) {
            const struct bench_step *step = &steps->steps[j];
            const struct load_result *result = step->result;
            double rate = step->offered;
            if (rate <= 0 && result->wall_s > 0) {
                rate = (double)result->n_replies / result->wall_s;
            }
            if (rate <= 0) {
                continue; /* has no place on the axis */
            }
            points[n] = (struct svg_point){
                .x = rate,
                .y = (double)histogram_at(&result->latency,
                                          bench_percentiles[lines[i]].share) *
                     1e-6,
            };
            snprintf(points[n].label, sizeof(points[n].label), "%s",
                     bench_percentiles[lines[i]].name);
            n++;
        }
        qsort(points + first, n - first, sizeof(*points), by_rate);
    }
    return n;
}

int bench_report_draw(const struct bench_session *session,
                      const struct bench_steps *steps, const char *path,
                      struct nb_errctx *err)
{
    const struct bench_args *args = session->args;
    struct svg_point *points = calloc(N_LINES * steps->n + 1, sizeof(*points));
    if (points == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%.200s: out of memory", path);
    }
    char title[160];
    snprintf(title, sizeof(title), "Latency against rate: %.40s, %s, %.60s",
             args->profile != NULL ? args->profile : "tables given",
             query_dtype_at(session->workload.dtype), args->ids);
    const struct svg_chart chart = {
        .title = title,
        .x_label = session->load.rate > 0 ? "requests/s offered"
                                          : "requests/s achieved",
        .y_label = "latency, ms",
        .points = points,
        .n = place_points(steps, points),
        .joined = true,
    };
    int rv = svg_chart_write(&chart, path, err);
    free(points);
    return rv;
}
