/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/table_eval.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "storage/builder/block_encode.h"

struct eval {
    const struct table *table;
    struct source *source;
    struct row_keys *keys; /* of a keyed table, NULL: the words */
    uint64_t *ids;         /* of a block's rows; NULL: the table is dense */
    size_t n_ids;          /* words seen so far */
    float *values;         /* a block of the source */
    float *decoded;        /* the same rows of the table */
    uint64_t n_rows;
    struct loss_tally *tally;
    struct bag_probe *probe;
    double decode_seconds;
    struct nb_errctx *err;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int fail_rows(const struct eval *eval, const char *at_least)
{
    return nb_fail(eval->err, NB_ERR_INVALID,
                   "the table has %" PRIu64 " rows, the source %s%" PRIu64,
                   table_info(eval->table)->n_rows, at_least, eval->n_rows);
}

/* The rows that those of the block were stored as. */
static int decode_block(struct eval *eval, size_t n_rows)
{
    const struct nb_rows *rows = table_rows(eval->table);
    if (eval->ids == NULL) {
        return nb_decode(rows, eval->n_rows, n_rows, NB_FP32, eval->decoded);
    }
    const struct nb_lookup lookup = {
        .ids = {.u64 = eval->ids, .n = n_rows},
        .dtype = NB_FP32,
        .unseen = {.action = NB_UNSEEN_ERROR},
    };
    uint64_t unseen;
    return nb_lookup(rows, &lookup, eval->decoded, &unseen);
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
    double start = now_s();
    int rv = decode_block(eval, n_rows);
    eval->decode_seconds += now_s() - start;
    if (rv == NB_ERR_UNSEEN) {
        return nb_fail(eval->err, NB_ERR_INVALID,
                       "a key of rows %" PRIu64 " to %" PRIu64
                       " of the source is not in the table",
                       eval->n_rows, eval->n_rows + n_rows - 1);
    }
    if (rv != 0) {
        return nb_fail(eval->err, rv, "row %" PRIu64 ": %s", eval->n_rows,
                       nb_strerror(rv));
    }
    for (size_t i = 0; i < n_rows; i++) {
        struct nb_row_error error;
        nb_row_error(eval->values + i * dim, eval->decoded + i * dim, dim,
                     &error);
        loss_tally_add(eval->tally, eval->n_rows + i, 1, &error);
    }
    loss_tally_end_block(eval->tally);
    bag_probe_show(eval->probe, eval->values, eval->ids, n_rows);
    eval->n_rows += n_rows;
    return 0;
}

static void take_word(void *arg, const char *word, size_t n)
{
    struct eval *eval = arg;
    eval->ids[eval->n_ids++] = table_word_key(word, n);
}

/* A block of the source, and its keys. */
static int read_block(struct eval *eval, size_t max_rows, size_t *n_rows)
{
    eval->n_ids = 0;
    int rv =
        source_read(eval->source, eval->values, max_rows, n_rows, eval->err);
    if (rv == 0 && eval->keys != NULL) {
        rv = row_keys_read(eval->keys, *n_rows, eval->ids, eval->err);
    }
    if (rv == 0 && eval->keys != NULL && *n_rows < max_rows) {
        rv = row_keys_end(eval->keys, eval->err);
    }
    return rv;
}

static int compare_all(struct eval *eval, progress_fn *progress,
                       void *progress_arg)
{
    const struct table_info *info = table_info(eval->table);
    size_t max_rows = block_rows(info->format.dim);
    size_t n_rows;
    do {
        int rv = read_block(eval, max_rows, &n_rows);
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

static int complete_report(const struct eval *eval, struct eval_report *report)
{
    const struct table_info *info = table_info(eval->table);
    struct eval_report done = {
        .losses = loss_tally_losses(eval->tally, info->format.dim),
        .n_bags = bag_probe_bags(info->format.dim),
        .decode_seconds = eval->decode_seconds,
    };
    int rv =
        bag_probe_measure(eval->probe, table_rows(eval->table), &done.bags);
    if (rv != 0) {
        return nb_fail(eval->err, rv, "pooling: %s", nb_strerror(rv));
    }
    double values = (double)info->n_rows * info->format.dim;
    double bytes = (double)info->file_bytes;
    done.bits_per_value = 8 * bytes / values;
    done.compression = sizeof(float) * values / bytes;
    *report = done;
    return 0;
}

static int allocate(struct eval *eval)
{
    const struct table_info *info = table_info(eval->table);
    size_t n = block_rows(info->format.dim) * info->format.dim;
    if (info->keys_bytes > 0) {
        eval->ids = malloc(block_rows(info->format.dim) * sizeof(*eval->ids));
        if (eval->ids == NULL) {
            return nb_fail(eval->err, NB_ERR_NOMEM, "out of memory for keys");
        }
    }
    eval->values = malloc(n * sizeof(float));
    eval->decoded = malloc(n * sizeof(float));
    eval->tally = calloc(1, sizeof(*eval->tally));
    if (eval->values == NULL || eval->decoded == NULL || eval->tally == NULL) {
        return nb_fail(eval->err, NB_ERR_NOMEM, "out of memory for %zu values",
                       n);
    }
    memset(eval->decoded, 0, n * sizeof(float)); /* page faults cost more than
                                                    decoding, and are not it */
    return bag_probe_create(info->n_rows, info->format.dim, NULL, &eval->probe,
                            eval->err);
}

/* Whether it is known what rows of the table those of the source are. */
static int begin_keys(struct eval *eval)
{
    const struct table_info *info = table_info(eval->table);
    if (eval->ids == NULL) {
        return eval->keys == NULL
                   ? 0
                   : nb_fail(eval->err, NB_ERR_INVALID,
                             "the table has no keys: an id is a row number");
    }
    if (eval->keys != NULL) {
        return 0;
    }
    if (strcmp(info->keys, "words") != 0) {
        return nb_fail(eval->err, NB_ERR_INVALID,
                       "the table's rows have keys: give the file of keys "
                       "that it was made with (--keys)");
    }
    return source_watch_words(eval->source, take_word, eval, eval->err);
}

int table_eval(const struct table *table, struct source *source,
               struct row_keys *keys, progress_fn *progress, void *progress_arg,
               struct eval_report *report, struct nb_errctx *err)
{
    const struct table_info *info = table_info(table);
    if (source_dim(source) != info->format.dim) {
        return nb_fail(err, NB_ERR_INVALID,
                       "the table has dim %" PRIu32 ", the source %" PRIu32,
                       info->format.dim, source_dim(source));
    }
    struct eval eval = {
        .table = table, .source = source, .keys = keys, .err = err};
    int rv = allocate(&eval);
    if (rv == 0) {
        rv = begin_keys(&eval);
    }
    if (rv == 0) {
        rv = compare_all(&eval, progress, progress_arg);
    }
    if (rv == 0) {
        rv = complete_report(&eval, report);
    }
    bag_probe_destroy(eval.probe);
    free(eval.tally);
    free(eval.decoded);
    free(eval.values);
    if (eval.ids != NULL) {
        (void)source_watch_words(source, NULL, NULL, NULL);
        free(eval.ids);
    }
    return rv;
}
