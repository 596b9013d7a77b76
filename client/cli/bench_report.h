/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The report of nibble bench: as text, as JSON, as a drawing. */
#ifndef NB_CLI_BENCH_REPORT_H
#define NB_CLI_BENCH_REPORT_H

#include <jansson.h>

#include "client/cli/bench_steps.h"

/* The percentiles that are told of. */
struct bench_percentile {
    const char *name; /* "p99.9" */
    double share;
};
#define BENCH_PERCENTILES 6
extern const struct bench_percentile bench_percentiles[BENCH_PERCENTILES];

void bench_report_print(const struct bench_session *session,
                        const struct bench_steps *steps);

/* NULL if there is no memory. */
json_t *bench_report_json(const struct bench_session *session,
                          const struct bench_steps *steps);

/* Writes it whole or not at all; takes it over. -errno, NB_ERR_NOMEM. */
int bench_report_write(json_t *report, const char *path, struct nb_errctx *err);

/* Whether a file can be made there, before there is anything to write; NULL is
 * allowed. -errno. */
int bench_report_check_path(const char *path, struct nb_errctx *err);

/* Percentiles of latency against the rate. -errno, NB_ERR_NOMEM. */
int bench_report_draw(const struct bench_session *session,
                      const struct bench_steps *steps, const char *path,
                      struct nb_errctx *err);

#endif
