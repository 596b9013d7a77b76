/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table_eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage/block_encode.h"
#include "storage/error_sums.h"

struct eval {
    const struct table *table;
    struct source *source;
    float *values;  /* a block of the source */
    float *decoded; /* the same rows of the table */
    uint64_t n_rows;
    struct error_sums sums;
    double cosine_sum;
    uint64_t n_cosines;
    struct eval_report *report;
    struct nb_errctx *err;
};

/* Keeps the worst rows, the worst first; of equals the one seen first. */
static void note_worst(struct eval_report *report, uint64_t row, double rel_err)
{
    unsigned at = report->n_worst;
    if (at == EVAL_WORST_ROWS) {
        if (rel_err <= report->worst[at - 1].rel_err) {
            return;
        }
        at--;
    } else {
        report->n_worst++;
    }
    for (; at > 0 && report->worst[at - 1].rel_err < rel_err; at--) {
        report->worst[at] = report->worst[at - 1];
    }
    report->worst[at].row = row;
    report->worst[at].rel_err = rel_err;
}

static void compare_row(struct eval *eval, uint64_t row, const float *x,
                        const float *y, struct error_sums *sums)
{
    struct nb_row_error error;
    nb_row_error(x, y, table_info(eval->table)->format.dim, &error);
    error_sums_add_row(sums, &error);
    if (error.sq_x > 0) {
        note_worst(eval->report, row, sqrt(error.sq_err / error.sq_x));
        if (error.sq_y > 0) {
            eval->cosine_sum += error.dot / sqrt(error.sq_x) / sqrt(error.sq_y);
            eval->n_cosines++;
        }
    }
}

static int fail_rows(const struct eval *eval, const char *at_least)
{
    return nb_fail(eval->err, NB_ERR_INVALID,
                   "the table has %" PRIu64 " rows, the source %s%" PRIu64,
                   table_info(eval->table)->n_rows, at_least, eval->n_rows);
}

static int compare_block(struct eval *eval, size_t n_rows)
{
    const struct table_info *info = table_info(eval->table);
    uint32_t dim = info->format.dim;
    if (n_rows > info->n_rows - eval->n_rows) {
        eval->n_rows += n_rows;
        return fail_rows(eval, "at least ");
    }
    zero_nonfinite(eval->values, n_rows * dim);
    int rv = nb_decode(table_rows(eval->table), eval->n_rows, n_rows, NB_FP32,
                       eval->decoded);
    if (rv != 0) {
        return nb_fail(eval->err, rv, "row %" PRIu64 ": %s", eval->n_rows,
                       nb_strerror(rv));
    }
    struct error_sums sums = {0};
    for (size_t i = 0; i < n_rows; i++) {
        compare_row(eval, eval->n_rows + i, eval->values + i * dim,
                    eval->decoded + i * dim, &sums);
    }
    error_sums_add(&eval->sums, &sums);
    eval->n_rows += n_rows;
    return 0;
}

static int compare_all(struct eval *eval, progress_fn *progress,
                       void *progress_arg)
{
    const struct table_info *info = table_info(eval->table);
    size_t max_rows = block_rows(info->format.dim);
    size_t n_rows;
    do {
        int rv = source_read(eval->source, eval->values, max_rows, &n_rows,
                             eval->err);
        if (rv == 0) {
            rv = compare_block(eval, n_rows);
        }
        if (rv != 0) {
            return rv;
        }
        if (progress != NULL) {
            const struct progress now = {
                .rows = eval->n_rows,
                .rows_total = info->n_rows,
                .bytes = source_bytes_read(eval->source),
                .bytes_total = source_bytes(eval->source),
            };
            progress(progress_arg, &now);
        }
    } while (n_rows == max_rows);
    return eval->n_rows == info->n_rows ? 0 : fail_rows(eval, "");
}

static void complete_report(const struct eval *eval)
{
    const struct table_info *info = table_info(eval->table);
    struct eval_report *report = eval->report;
    double values = (double)info->n_rows * info->format.dim;
    double bytes = (double)info->file_bytes;
    report->n_rows = eval->n_rows;
    report->stats =
        error_sums_stats(&eval->sums, eval->n_rows, info->format.dim);
    report->cosine_mean =
        eval->n_cosines > 0 ? eval->cosine_sum / (double)eval->n_cosines : 0;
    report->bits_per_value = 8 * bytes / values;
    report->compression = sizeof(float) * values / bytes;
}

int table_eval(const struct table *table, struct source *source,
               progress_fn *progress, void *progress_arg,
               struct eval_report *report, struct nb_errctx *err)
{
    const struct table_info *info = table_info(table);
    if (source_dim(source) != info->format.dim) {
        return nb_fail(err, NB_ERR_INVALID,
                       "the table has dim %" PRIu32 ", the source %" PRIu32,
                       info->format.dim, source_dim(source));
    }
    struct eval_report done = {0};
    struct eval eval = {
        .table = table, .source = source, .report = &done, .err = err};
    size_t n = block_rows(info->format.dim) * info->format.dim;
    eval.values = malloc(n * sizeof(float));
    eval.decoded = malloc(n * sizeof(float));
    int rv = eval.values == NULL || eval.decoded == NULL
                 ? nb_fail(err, NB_ERR_NOMEM, "out of memory for %zu values", n)
                 : compare_all(&eval, progress, progress_arg);
    if (rv == 0) {
        complete_report(&eval);
        *report = done;
    }
    free(eval.decoded);
    free(eval.values);
    return rv;
}
