/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/table_builder.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "storage/builder/build_pipeline.h"
#include "storage/builder/codebook_train.h"
#include "storage/io/file_io.h"
#include "storage/builder/key_words.h"
#include "storage/source/row_keys.h"
#include "storage/source/source.h"
#include "storage/table/table_metadata.h"
#include "storage/table/table_params.h"
#include "storage/builder/table_train.h"
#include "storage/table/table_writer.h"

/* One build, from part to part. */
struct build {
    const struct build_options *options;
    struct source *source;
    struct table_writer *writer;
    struct build_pipeline *pipeline;
    struct build_job job;
    const char *search; /* "" where the codec has none */
    struct table_params params;
    struct row_keys *keys; /* of a file */
    struct row_protection protection;
    struct error_sums sums;
    uint64_t n_rows;
    uint64_t n_nonfinite;
    uint64_t n_lost;
    struct nb_errctx *err;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Encoding threads: as asked, or one a processor this process may use; no more
 * than there are blocks. */
static unsigned choose_threads(const struct build *build)
{
    uint64_t threads = build->options->threads;
    if (threads == 0) {
        cpu_set_t set;
        threads = sched_getaffinity(0, sizeof(set), &set) == 0
                      ? (uint64_t)CPU_COUNT(&set)
                      : 1;
    }
    uint64_t rows = source_rows(build->source);
    uint64_t per_block = block_rows(source_dim(build->source));
    if (rows != SOURCE_ROWS_UNKNOWN && threads > rows / per_block + 1) {
        threads = rows / per_block + 1;
    }
    return threads < BUILD_THREADS_MAX ? (unsigned)threads : BUILD_THREADS_MAX;
}

/* The rename would replace the source by its table. */
static int check_distinct(const struct build *build)
{
    const char *output = build->options->output;
    struct file_id input;
    if (file_id_of(source_fd(build->source), &input) == 0 &&
        file_id_is(&input, output)) {
        return nb_fail(build->err, NB_ERR_INVALID,
                       "%s: is the input, will not replace it", output);
    }
    return 0;
}

static int check_codebooks(const struct build *build)
{
    const struct codebook_job job = {.format = build->job.format,
                                     .n_codebooks = build->options->n_codebooks,
                                     .n_rows = 1};
    struct nb_params shape;
    int rv = codebook_shape(&job, &shape);
    return rv == 0 ? 0
                   : nb_fail(build->err, rv,
                             "codec %s cannot have %u codebooks of its own",
                             build->options->codec, job.n_codebooks);
}

static int choose_search(struct build *build, bool searched)
{
    const char *search = build->options->search;
    build->search = search != NULL ? search : "";
    if (searched) {
        int rv = nb_search_by_name(build->search, &build->job.search);
        return rv == 0 ? 0
                       : nb_fail(build->err, rv, "no search called '%s'",
                                 build->search);
    }
    return build->search[0] == '\0'
               ? 0
               : nb_fail(build->err, NB_ERR_INVALID,
                         "codec %s has no range to search for",
                         build->options->codec);
}

static int make_job(struct build *build)
{
    const struct build_options *options = build->options;
    struct build_job *job = &build->job;
    *job = (struct build_job){
        .source = build->source,
        .input = options->input,
        .nan_policy = options->nan_policy,
        .format = {.dim = source_dim(build->source), .scales = options->scales},
        .threads = choose_threads(build),
    };
    int rv = nb_codec_by_name(options->codec, &job->format.codec);
    if (rv != 0) {
        return nb_fail(build->err, rv, "no codec called '%s'", options->codec);
    }
    struct nb_codec_traits traits;
    rv = nb_codec_traits(job->format.codec, &traits);
    if (rv == 0 && options->scales != traits.scales && !traits.other_scales) {
        return nb_fail(build->err, NB_ERR_INVALID,
                       "codec %s has no choice of scales", options->codec);
    }
    if (rv == 0) {
        rv = check_codebooks(build);
    }
    return rv == 0 ? choose_search(build, traits.searched != 0) : rv;
}

static int train(struct build *build)
{
    const struct build_options *options = build->options;
    const struct train_job job = {
        .format = build->job.format,
        .search = build->job.search,
        .columns = options->columns,
        .n_codebooks = options->n_codebooks,
        .progress = options->progress,
        .progress_arg = options->progress_arg,
    };
    build->job.params = &build->params.view;
    return table_train_needed(&job)
               ? table_train(&job, build->source, &build->params, build->err)
               : 0;
}

static void show_progress(const struct build *build, uint64_t bytes_read)
{
    const struct build_options *options = build->options;
    if (options->progress == NULL) {
        return;
    }
    const struct progress progress = {
        .rows = build->n_rows,
        .rows_total = source_rows(build->source),
        .bytes = bytes_read,
        .bytes_total = source_bytes(build->source),
    };
    options->progress(options->progress_arg, &progress);
}

/* Whether rows have keys, and where these come from. */
static int open_keys(struct build *build)
{
    const struct build_options *options = build->options;
    const char *keys = options->keys;
    struct build_job *job = &build->job;
    job->keyed = keys != NULL && strcmp(keys, "none") != 0;
    if (!job->keyed || strcmp(keys, "text") == 0) {
        return 0;
    }
    int rv = row_keys_open(keys, &build->keys, build->err);
    job->keys = build->keys;
    return rv == 0
               ? file_check_distinct(keys, "keys", options->output, build->err)
               : rv;
}

static int protect_rows(struct build *build)
{
    const struct build_options *options = build->options;
    int rv = file_check_distinct(options->protect_weights, "weights",
                                 options->output, build->err);
    if (rv == 0) {
        rv = row_protection_select(options->protect_weights,
                                   options->protect_fraction,
                                   &build->protection, build->err);
    }
    if (rv == 0) {
        build->job.protection = &build->protection;
        rv =
            table_writer_protect(build->writer, &build->protection, build->err);
    }
    return rv;
}

static int create_writer(struct build *build)
{
    const struct build_options *options = build->options;
    const struct build_job *job = &build->job;
    int rv = table_writer_create(options->output, &job->format, &build->writer,
                                 build->err);
    if (rv == 0 && job->keyed) {
        rv = table_writer_add_keys(build->writer,
                                   job->keys != NULL ? KEY_NUMBERS : KEY_WORDS,
                                   job->threads, build->err);
    }
    if (rv == 0 && options->protect_weights != NULL) {
        rv = protect_rows(build);
    }
    if (rv == 0) {
        table_writer_set_unseen(build->writer, &options->unseen);
        build->job.stride = table_writer_stride(build->writer);
    }
    return rv;
}

static int check_default_row(const struct build *build, uint64_t n_rows)
{
    const struct build_options *options = build->options;
    return options->unseen.action != NB_UNSEEN_DEFAULT ||
                   options->unseen.default_row < n_rows
               ? 0
               : nb_fail(build->err, NB_ERR_INVALID,
                         "%.120s: row %" PRIu64 " for unseen ids, of %" PRIu64
                         " rows",
                         options->input, options->unseen.default_row, n_rows);
}

/* What options say of rows, now that it is known how many there are, or that
 * there are more. Errors name the file that is wrong. */
static int check_rows(const struct build *build, uint64_t n_rows, bool all)
{
    const struct build_options *options = build->options;
    uint64_t n_weights = build->protection.n_rows;
    if (options->protect_weights != NULL &&
        (all ? n_rows < n_weights : n_rows > n_weights)) {
        return nb_fail(build->err, NB_ERR_INVALID,
                       "%.120s: %" PRIu64 " weight%s, and %s rows in %.120s",
                       options->protect_weights, n_weights,
                       n_weights == 1 ? "" : "s", all ? "fewer" : "more",
                       options->input);
    }
    return all ? check_default_row(build, n_rows) : 0;
}

static int write_rows(struct build *build)
{
    struct encoded_block block;
    do {
        int rv = build_pipeline_next(build->pipeline, &block, build->err);
        if (rv != 0) {
            return rv;
        }
        rv = check_rows(build, build->n_rows + block.n_rows, false);
        if (rv == 0) {
            rv = table_writer_append(build->writer, block.rows, block.n_rows,
                                     build->err);
        }
        if (rv == 0 && block.n_residuals > 0) {
            rv = table_writer_append_residuals(build->writer, block.residuals,
                                               block.n_residuals, build->err);
        }
        if (rv != 0) {
            return rv;
        }
        build->n_rows += block.n_rows;
        build->n_nonfinite += block.n_nonfinite;
        build->n_lost += block.n_lost;
        error_sums_add(&build->sums, &block.sums);
        show_progress(build, block.source_bytes_read);
    } while (!block.last);
    if (build->n_rows == 0) {
        return nb_fail(build->err, NB_ERR_SOURCE, "%s: no rows",
                       build->options->input);
    }
    return check_rows(build, build->n_rows, true);
}

static int commit(struct build *build, struct table_stats *stats)
{
    const struct build_options *options = build->options;
    *stats =
        error_sums_stats(&build->sums, build->n_rows, build->job.format.dim);
    const struct table_origin origin = {
        .search = build->search,
        .source = options->input,
        .source_format = source_format(build->source),
        .source_rows = build->n_rows,
        .n_nonfinite = build->n_nonfinite,
        .stats = *stats,
        .choice = options->choice,
    };
    char *metadata;
    int rv = table_metadata_format(&origin, &metadata);
    if (rv != 0) {
        return nb_fail(build->err, rv, "%s: out of memory", options->output);
    }
    rv = table_writer_commit(build->writer, build->job.params, metadata,
                             build->err);
    free(metadata);
    const struct key_clash *clash = table_writer_clash(build->writer);
    if (rv != 0 && clash != NULL && build->job.keys == NULL) {
        /* The threads use the source: they end first. */
        build_pipeline_destroy(build->pipeline);
        build->pipeline = NULL;
        rv = key_words_clash(build->source, options->input, clash, build->err);
    }
    if (rv != 0 && clash != NULL && build->job.keys != NULL) {
        rv = nb_fail(build->err, rv,
                     "%.200s: key %" PRIu64 " stands twice, in rows %" PRIu64
                     " and %" PRIu64,
                     options->keys, clash->key, clash->rows[0], clash->rows[1]);
    }
    return rv;
}

static int build_parts(struct build *build, struct table_stats *stats)
{
    const struct build_options *options = build->options;
    int rv = source_open(options->input, &options->source, &build->source,
                         build->err);
    if (rv == 0) {
        rv = check_distinct(build);
    }
    if (rv == 0) {
        rv = make_job(build);
    }
    if (rv == 0) {
        rv = train(build);
    }
    if (rv == 0) {
        rv = open_keys(build);
    }
    if (rv == 0) {
        rv = create_writer(build);
    }
    if (rv != 0) {
        return rv;
    }
    rv = build_pipeline_create(&build->job, &build->pipeline, build->err);
    if (rv == 0) {
        rv = write_rows(build);
    }
    if (rv == 0) {
        rv = commit(build, stats);
    }
    return rv;
}

static void ignore_word(void *arg, const char *word, size_t n)
{
    (void)arg;
    (void)word;
    (void)n;
}

/* Of a build that has its source and n_rows. */
static int check_keys(struct build *build, uint64_t n_rows)
{
    int rv = open_keys(build);
    if (rv != 0 || !build->job.keyed) {
        return rv;
    }
    if (build->keys == NULL) {
        return source_watch_words(build->source, ignore_word, NULL, build->err);
    }
    uint64_t n_keys = row_keys_count(build->keys);
    return n_rows == SOURCE_ROWS_UNKNOWN || n_rows == n_keys
               ? 0
               : nb_fail(build->err, NB_ERR_INVALID,
                         "%.120s: %" PRIu64 " keys for %" PRIu64
                         " rows of %.80s",
                         build->options->keys, n_keys, n_rows,
                         build->options->input);
}

int table_build_check(const struct build_options *options, uint64_t n_rows,
                      struct nb_errctx *err)
{
    struct build build = {.options = options, .err = err};
    int rv = source_open(options->input, &options->source, &build.source, err);
    if (rv != 0) {
        return rv;
    }
    if (n_rows == SOURCE_ROWS_UNKNOWN) {
        n_rows = source_rows(build.source);
    }
    rv = check_keys(&build, n_rows);
    if (rv == 0 && n_rows != SOURCE_ROWS_UNKNOWN) {
        rv = check_default_row(&build, n_rows);
    }
    source_close(build.source);
    row_keys_close(build.keys);
    return rv;
}

int table_build(const struct build_options *options,
                struct build_report *report, struct nb_errctx *err)
{
    double start = now_s();
    struct build build = {.options = options, .err = err};
    struct table_stats stats;
    int rv = build_parts(&build, &stats);
    if (rv == 0) {
        *report = (struct build_report){
            .input_format = source_format(build.source),
            .format = build.job.format,
            .n_rows = build.n_rows,
            .source_bytes = source_bytes(build.source),
            .file_bytes = table_writer_file_bytes(build.writer),
            .n_nonfinite = build.n_nonfinite,
            .n_lost = build.n_lost,
            .columns = table_params_columns(build.job.params),
            .params_bytes =
                table_params_any(build.job.params)
                    ? table_params_bytes(build.job.format.dim, build.job.params)
                    : 0,
            .keys_bytes = table_writer_keys_bytes(build.writer),
            .n_protected = build.protection.n,
            .stats = stats,
            .seconds = now_s() - start,
            .threads = build.job.threads,
        };
    }
    /* The threads use the source: they end first. */
    build_pipeline_destroy(build.pipeline);
    table_writer_destroy(build.writer);
    source_close(build.source);
    row_keys_close(build.keys);
    table_params_fini(&build.params);
    row_protection_fini(&build.protection);
    return rv;
}
