/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/table_maker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/mix64.h"
#include "storage/repo/model_dir.h"
#include "storage/repo/publish.h"
#include "storage/table/table_writer.h"

#define BLOCK_ROWS 1024u

/* A table being made, and the progress of all. */
struct making {
    const struct table_maker_options *options;
    uint64_t version;
    uint64_t rows_done;
    uint64_t rows_total;
    struct nb_format format;
    uint64_t seed; /* of the table's values */
    float *values;
    uint8_t *rows;
};

static bool needs_training(uint32_t codec)
{
    struct nb_codec_traits traits;
    return nb_codec_traits(codec, &traits) != 0 || traits.trained != 0;
}

const char *table_maker_codec_at(size_t i)
{
    const char *name;
    for (size_t at = 0; (name = nb_codec_at(at)) != NULL; at++) {
        uint32_t codec = 0;
        if (nb_codec_by_name(name, &codec) == 0 && !needs_training(codec) &&
            i-- == 0) {
            return name;
        }
    }
    return NULL;
}

/* Bell-shaped, about what trained embeddings look like: a sum of four. */
static float value_at(uint64_t seed, uint64_t index)
{
    uint64_t bits = mix64(seed, index);
    int sum = (int)(bits & 0xffff) + (int)(bits >> 16 & 0xffff) +
              (int)(bits >> 32 & 0xffff) + (int)(bits >> 48);
    return (float)(sum - 0x1fffe) * 0x1p-18F;
}

static int append_block(struct making *making, struct table_writer *writer,
                        uint64_t first, size_t n, struct nb_errctx *err)
{
    size_t dim = making->format.dim;
    size_t stride = table_writer_stride(writer);
    for (size_t i = 0; i < n * dim; i++) {
        making->values[i] = value_at(making->seed, first * dim + i);
    }
    memset(making->rows, 0, n * stride);
    uint32_t search = 0;
    int rv = nb_search_by_name("asym", &search);
    if (rv == 0) {
        rv = nb_encode(&making->format, NULL, search, making->values, n,
                       making->rows, stride);
    }
    return rv == 0
               ? table_writer_append(writer, making->rows, n, err)
               : nb_fail(err, rv, "cannot encode rows: %s", nb_strerror(rv));
}

static bool was_stopped(const struct table_maker_options *options)
{
    return options->stop != NULL &&
           __atomic_load_n(options->stop, __ATOMIC_RELAXED);
}

static int append_rows(struct making *making, struct table_writer *writer,
                       uint64_t n_rows, struct nb_errctx *err)
{
    size_t stride = table_writer_stride(writer);
    making->values =
        calloc((size_t)BLOCK_ROWS * making->format.dim, sizeof(float));
    making->rows = calloc(BLOCK_ROWS, stride);
    int rv = making->values == NULL || making->rows == NULL
                 ? nb_fail(err, NB_ERR_NOMEM, "a block of rows")
                 : 0;
    for (uint64_t first = 0; rv == 0 && first < n_rows; first += BLOCK_ROWS) {
        uint64_t left = n_rows - first;
        size_t n = left < BLOCK_ROWS ? (size_t)left : BLOCK_ROWS;
        rv = was_stopped(making->options)
                 ? nb_fail(err, -EINTR, "ended early by a signal")
                 : append_block(making, writer, first, n, err);
        making->rows_done += n;
        if (rv == 0 && making->options->progress != NULL) {
            making->options->progress(making->options->progress_arg,
                                      making->rows_done, making->rows_total);
        }
    }
    free(making->values);
    free(making->rows);
    return rv;
}

static int find_format(const struct made_table *table, struct nb_format *format,
                       struct nb_errctx *err)
{
    struct nb_codec_traits traits;
    int rv = nb_codec_by_name(table->codec, &format->codec);
    if (rv == 0) {
        rv = nb_codec_traits(format->codec, &traits);
    }
    if (rv != 0) {
        return nb_fail(err, rv, "no codec '%s'", table->codec);
    }
    if (needs_training(format->codec)) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "table '%.100s': no tables are made of codec %s, which "
                       "is trained on values",
                       table->name, table->codec);
    }
    format->scales = traits.scales;
    return 0;
}

int table_maker_check(const struct made_table *table, struct nb_errctx *err)
{
    struct nb_format format = {0};
    return find_format(table, &format, err);
}

static int make_file(struct making *making, size_t index, const char *path,
                     struct nb_errctx *err)
{
    const struct made_table *table = &making->options->tables[index];
    making->format.dim = table->dim;
    int rv = find_format(table, &making->format, err);
    if (rv != 0) {
        return rv;
    }
    making->seed = mix64(mix64(making->options->seed, making->version), index);
    struct table_writer *writer = NULL;
    rv = table_writer_create(path, &making->format, &writer, err);
    if (rv != 0) {
        return rv;
    }
    char metadata[160];
    snprintf(metadata, sizeof(metadata),
             "{\"search\": \"asym\", \"source\": {\"name\": \"nibble bench, "
             "seed %llu\"}}",
             (unsigned long long)making->options->seed);
    rv = append_rows(making, writer, table->rows, err);
    if (rv == 0) {
        rv = table_writer_commit(writer, NULL, metadata, err);
    }
    table_writer_destroy(writer);
    return rv;
}

/* ---- publishing ------------------------------------------------------- */

/* Room for a directory's path and a file's name in it. */
#define PATH_BYTES (PATH_MAX + 32)

static void file_path(const char *directory, size_t index,
                      char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%zu.nbt", directory, index);
}

static int make_files(struct making *making, const char *directory,
                      struct publish_table *tables, char (*paths)[PATH_BYTES],
                      struct nb_errctx *err)
{
    const struct table_maker_options *options = making->options;
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < options->n_tables; i++) {
        file_path(directory, i, paths[i]);
        tables[i] = (struct publish_table){options->tables[i].name, paths[i]};
        rv = make_file(making, i, paths[i], err);
    }
    return rv;
}

static int publish_files(const struct making *making,
                         const struct publish_table *tables, uint64_t *version,
                         struct nb_errctx *err)
{
    const struct publish_options options = {
        .repo = making->options->repo,
        .model = making->options->model,
        .tables = tables,
        .n_tables = making->options->n_tables,
        .version = making->version,
    };
    struct publish_report report;
    int rv = publish(&options, &report, err);
    if (report.version != 0) {
        *version = report.version;
    }
    publish_report_fini(&report);
    return rv;
}

static int make_and_publish(struct making *making, const char *directory,
                            uint64_t *version, struct nb_errctx *err)
{
    size_t n = making->options->n_tables;
    struct publish_table *tables = calloc(n + 1, sizeof(*tables));
    char(*paths)[PATH_BYTES] = calloc(n + 1, sizeof(*paths));
    int rv = tables == NULL || paths == NULL
                 ? nb_fail(err, NB_ERR_NOMEM, "%zu tables", n)
                 : make_files(making, directory, tables, paths, err);
    if (rv == 0) {
        rv = publish_files(making, tables, version, err);
    }
    free(tables);
    free(paths);
    return rv;
}

/* One above the highest there is. */
static int next_version(const struct table_maker_options *options,
                        uint64_t *version, struct nb_errctx *err)
{
    struct model_dir dir;
    int rv = model_dir_create(options->repo, options->model, &dir, err);
    if (rv != 0) {
        return rv;
    }
    struct version_list list;
    rv = model_dir_versions(&dir, &list, err);
    if (rv == 0) {
        *version = list.n > 0 ? list.versions[list.n - 1] + 1 : 1;
        version_list_fini(&list);
    }
    model_dir_close(&dir);
    return rv;
}

static void remove_files(const char *directory, size_t n)
{
    char path[PATH_BYTES];
    for (size_t i = 0; i < n; i++) {
        file_path(directory, i, path);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

int table_maker_publish(const struct table_maker_options *options,
                        uint64_t *version, struct nb_errctx *err)
{
    struct making making = {.options = options};
    for (size_t i = 0; i < options->n_tables; i++) {
        making.rows_total += options->tables[i].rows;
    }
    if (mkdir(options->repo, 0777) != 0 && errno != EEXIST) {
        return nb_fail(err, -errno, "%.200s: %s", options->repo,
                       nb_strerror(-errno));
    }
    /* In the repository, so that files need not cross filesystems; no model's
     * name begins so. */
    char directory[PATH_MAX];
    int n = snprintf(directory, sizeof(directory), "%s/.bench-XXXXXX",
                     options->repo);
    if (n < 0 || (size_t)n >= sizeof(directory)) {
        return nb_fail(err, -ENAMETOOLONG, "%.200s: too long a path",
                       options->repo);
    }
    if (mkdtemp(directory) == NULL) {
        return nb_fail(err, -errno, "%.200s: %s", directory,
                       nb_strerror(-errno));
    }
    int rv = next_version(options, &making.version, err);
    if (rv == 0) {
        rv = make_and_publish(&making, directory, version, err);
    }
    remove_files(directory, options->n_tables);
    return rv;
}

int table_maker_profile(const struct profile *profile, double scale,
                        const char *codec, struct made_table **tables,
                        char **names, struct nb_errctx *err)
{
    size_t n = profile->n_tables;
    struct made_table *made = calloc(n, sizeof(*made));
    char *texts = calloc(n, PROFILE_TABLE_BYTES);
    if (made == NULL || texts == NULL) {
        free(made);
        free(texts);
        return nb_fail(err, NB_ERR_NOMEM, "%zu tables", n);
    }
    double rows = (double)profile->rows * scale;
    for (size_t i = 0; i < n; i++) {
        char *name = texts + i * PROFILE_TABLE_BYTES;
        profile_table_name(i, name);
        made[i] = (struct made_table){.name = name,
                                      .rows = rows < 1 ? 1 : (uint64_t)rows,
                                      .dim = profile->dim,
                                      .codec = codec};
    }
    *tables = made;
    *names = texts;
    return 0;
}
