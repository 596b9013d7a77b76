/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/reply_check.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/repo/model_dir.h"
#include "storage/repo/model_version.h"

/* Behind what every thread was answered from last, so many versions stay: a
 * loop of the server may be that late. Older ones are named no more, or opened
 * again. */
#define KEPT_BEHIND 4u

/* The tables of a version, in the order of the workload's. */
struct checked_version {
    struct checked_version *next;
    uint64_t version; /* 0: files, any version */
    unsigned n_users; /* threads that were answered from it last */
    struct model_version *opened;
    struct table **files; /* instead of it */
    const struct nb_rows **rows;
};

struct reply_check {
    const struct workload *workload;
    const char *repo;
    pthread_mutex_t lock; /* of the list, and who uses what in it */
    struct checked_version *versions;
};

static void version_destroy(struct checked_version *version, size_t n_tables)
{
    if (version == NULL) {
        return;
    }
    for (size_t i = 0; version->files != NULL && i < n_tables; i++) {
        table_close(version->files[i]);
    }
    free(version->files);
    free(version->rows);
    model_version_close(version->opened);
    free(version);
}

static struct checked_version *version_create(size_t n_tables)
{
    struct checked_version *version = calloc(1, sizeof(*version));
    if (version == NULL) {
        return NULL;
    }
    version->files = calloc(n_tables + 1, sizeof(struct table *));
    version->rows = calloc(n_tables + 1, sizeof(const struct nb_rows *));
    if (version->files == NULL || version->rows == NULL) {
        version_destroy(version, n_tables);
        return NULL;
    }
    return version;
}

/* ---- from a repository ------------------------------------------------ */

static int choose_tables(struct checked_version *version,
                         const struct workload *workload, struct nb_errctx *err)
{
    const struct manifest *manifest = &version->opened->manifest;
    for (size_t i = 0; i < workload->n_tables; i++) {
        const char *name = workload->tables[i].name;
        size_t j = 0;
        while (j < manifest->n && strcmp(manifest->tables[j].name, name) != 0) {
            j++;
        }
        if (j == manifest->n) {
            return nb_fail(err, NB_ERR_NOT_FOUND,
                           "version %" PRIu64 " has no table '%.100s'",
                           version->version, name);
        }
        version->rows[i] = table_rows(version->opened->tables[j]);
    }
    return 0;
}

static int open_directory(const struct reply_check *check, uint64_t number,
                          struct model_version **opened, struct nb_errctx *err)
{
    struct model_dir dir;
    int rv = model_dir_open(check->repo, check->workload->model, &dir, err);
    if (rv != 0) {
        return rv;
    }
    char *path = NULL;
    rv = model_dir_version_path(&dir, number, &path, err);
    if (rv == 0) {
        rv = model_version_open(path, TABLE_VERIFY_HEADER, opened, err);
    }
    free(path);
    model_dir_close(&dir);
    return rv;
}

static int open_version(const struct reply_check *check, uint64_t number,
                        struct checked_version **version, struct nb_errctx *err)
{
    const struct workload *workload = check->workload;
    struct checked_version *made = version_create(workload->n_tables);
    if (made == NULL) {
        nb_fail(err, NB_ERR_NOMEM, "a version to check against");
        return NB_ERR_NOMEM;
    }
    made->version = number;
    int rv = open_directory(check, number, &made->opened, err);
    if (rv == 0) {
        rv = choose_tables(made, workload, err);
    }
    if (rv != 0) {
        version_destroy(made, workload->n_tables);
        return rv;
    }
    *version = made;
    return 0;
}

/* Under the lock. */
static int find_version(struct reply_check *check, uint64_t number,
                        struct checked_version **version, struct nb_errctx *err)
{
    struct checked_version *found = check->versions;
    while (found != NULL && found->version != number && found->version != 0) {
        found = found->next;
    }
    if (found == NULL) {
        int rv = open_version(check, number, &found, err);
        if (rv != 0) {
            return rv;
        }
        found->next = check->versions;
        check->versions = found;
    }
    *version = found;
    return 0;
}

/* The oldest, if it is one too many; NULL: there is none. */
static struct checked_version **find_unnamed(struct reply_check *check)
{
    uint64_t used = UINT64_MAX; /* the lowest */
    struct checked_version **lowest = &check->versions;
    unsigned n_behind = 0;
    for (struct checked_version *at = check->versions; at != NULL;
         at = at->next) {
        used = at->n_users > 0 && at->version < used ? at->version : used;
    }
    for (struct checked_version **at = &check->versions; *at != NULL;
         at = &(*at)->next) {
        n_behind += (*at)->version < used;
        lowest = (*at)->version < (*lowest)->version ? at : lowest;
    }
    return used != UINT64_MAX && n_behind > KEPT_BEHIND ? lowest : NULL;
}

/* Takes what is not named any more out of the list. Versions are served in
 * their order, but for pins. Under the lock. */
static struct checked_version *take_unnamed(struct reply_check *check)
{
    struct checked_version *taken = NULL;
    struct checked_version **lowest;
    while ((lowest = find_unnamed(check)) != NULL) {
        struct checked_version *one = *lowest;
        *lowest = one->next;
        one->next = taken;
        taken = one;
    }
    return taken;
}

static int check_create(const struct workload *workload, const char *repo,
                        struct reply_check **check, struct nb_errctx *err)
{
    struct reply_check *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        nb_fail(err, NB_ERR_NOMEM, "checks of replies");
        return NB_ERR_NOMEM;
    }
    made->workload = workload;
    made->repo = repo;
    pthread_mutex_init(&made->lock, NULL);
    *check = made;
    return 0;
}

int reply_check_of_repo(const char *repo, const struct workload *workload,
                        struct reply_check **check, struct nb_errctx *err)
{
    return check_create(workload, repo, check, err);
}

int reply_check_prepare(struct reply_check *check, uint64_t version,
                        struct nb_errctx *err)
{
    struct checked_version *found;
    pthread_mutex_lock(&check->lock);
    int rv = find_version(check, version, &found, err);
    pthread_mutex_unlock(&check->lock);
    return rv;
}

/* ---- from files ------------------------------------------------------- */

static int open_file(const struct check_file *files, size_t n_files,
                     const char *name, struct table **table,
                     struct nb_errctx *err)
{
    for (size_t i = 0; i < n_files; i++) {
        if (strcmp(files[i].table, name) == 0) {
            return table_open(files[i].path, TABLE_VERIFY_HEADER, table, err);
        }
    }
    return nb_fail(err, NB_ERR_INVALID,
                   "no file to check table '%.100s' against", name);
}

int reply_check_of_files(const struct check_file *files, size_t n_files,
                         const struct workload *workload,
                         struct reply_check **check, struct nb_errctx *err)
{
    struct reply_check *made = NULL;
    int rv = check_create(workload, NULL, &made, err);
    if (rv != 0) {
        return rv;
    }
    struct checked_version *version = version_create(workload->n_tables);
    if (version == NULL) {
        reply_check_destroy(made);
        return nb_fail(err, NB_ERR_NOMEM, "files to check against");
    }
    made->versions = version;
    for (size_t i = 0; rv == 0 && i < workload->n_tables; i++) {
        rv = open_file(files, n_files, workload->tables[i].name,
                       &version->files[i], err);
        if (rv == 0) {
            version->rows[i] = table_rows(version->files[i]);
        }
    }
    if (rv != 0) {
        reply_check_destroy(made);
        return rv;
    }
    *check = made;
    return 0;
}

static void versions_destroy(struct checked_version *list, size_t n_tables)
{
    while (list != NULL) {
        struct checked_version *next = list->next;
        version_destroy(list, n_tables);
        list = next;
    }
}

void reply_check_destroy(struct reply_check *check)
{
    if (check == NULL) {
        return;
    }
    versions_destroy(check->versions, check->workload->n_tables);
    pthread_mutex_destroy(&check->lock);
    free(check);
}

/* ---- checking --------------------------------------------------------- */

static int reserve(struct check_scratch *scratch, size_t bytes)
{
    if (bytes <= scratch->capacity) {
        return 0;
    }
    void *values = realloc(scratch->values, bytes);
    if (values == NULL) {
        return NB_ERR_NOMEM;
    }
    scratch->values = values;
    scratch->capacity = bytes;
    return 0;
}

static int expect(const struct workload *workload, size_t table,
                  const struct nb_rows *rows, const uint64_t *ids, void *values,
                  uint64_t *unseen)
{
    const struct nb_feature *feature = &workload->features[table];
    const struct nb_ids of = {.u64 = ids, .n = feature->ids.n};
    if (workload_is_pool(workload)) {
        const struct nb_pool pool = {.ids = of,
                                     .lengths = feature->lengths,
                                     .n_bags = feature->n_bags,
                                     .pooling = feature->pooling,
                                     .dtype = workload->dtype};
        return nb_pool(rows, &pool, values, unseen);
    }
    const struct nb_lookup lookup = {.ids = of, .dtype = workload->dtype};
    return nb_lookup(rows, &lookup, values, unseen);
}

static int differ(const struct nb_block *block, const char *table,
                  const uint8_t *right, struct nb_errctx *err)
{
    const uint8_t *got = block->values;
    size_t at = 0;
    while (got[at] == right[at]) {
        at++;
    }
    nb_fail(err, 0,
            "table '%.60s': row %zu of the reply differs from the table's, "
            "first in byte %zu of %u",
            table, at / block->row_bytes, at % block->row_bytes,
            block->row_bytes);
    return 0;
}

static int check_block(const struct reply_check *check, size_t table,
                       const struct nb_rows *rows, const uint64_t *ids,
                       const struct nb_block *block,
                       struct check_scratch *scratch, struct nb_errctx *err)
{
    const char *name = check->workload->tables[table].name;
    size_t packed = 0;
    int rv = nb_row_bytes(&rows->format, &packed);
    size_t row_bytes =
        check->workload->dtype == NB_PACKED
            ? packed
            : rows->format.dim * nb_dtype_bytes(check->workload->dtype);
    if (rv == 0 &&
        (block->dim != rows->format.dim || block->row_bytes != row_bytes)) {
        nb_fail(err, 0, "table '%.60s': rows of dim %u, the table has %u", name,
                block->dim, rows->format.dim);
        return 0;
    }
    size_t bytes = block->rows * row_bytes;
    uint64_t unseen = 0;
    rv = rv != 0 ? rv : reserve(scratch, bytes);
    rv = rv != 0 ? rv
                 : expect(check->workload, table, rows, ids, scratch->values,
                          &unseen);
    if (rv != 0) {
        return nb_fail(err, rv, "table '%.60s': %s", name, nb_strerror(rv));
    }
    if (unseen != block->unseen) {
        nb_fail(err, 0,
                "table '%.60s': %" PRIu64 " ids are not in the table, the "
                "reply says %" PRIu64,
                name, unseen, block->unseen);
        return 0;
    }
    return bytes == 0 || memcmp(scratch->values, block->values, bytes) == 0
               ? 1
               : differ(block, name, scratch->values, err);
}

static int use_version(struct reply_check *check, struct check_scratch *scratch,
                       uint64_t number, struct nb_errctx *err)
{
    const struct checked_version *last = scratch->version;
    if (last != NULL && (last->version == number || last->version == 0)) {
        return 0;
    }
    struct checked_version *found = NULL;
    struct checked_version *unnamed = NULL;
    pthread_mutex_lock(&check->lock);
    int rv = find_version(check, number, &found, err);
    if (rv == 0) {
        found->n_users++;
        if (scratch->version != NULL) {
            scratch->version->n_users--;
        }
        scratch->version = found;
        unnamed = take_unnamed(check);
    }
    pthread_mutex_unlock(&check->lock);
    versions_destroy(unnamed, check->workload->n_tables);
    return rv;
}

int reply_check_reply(struct reply_check *check, struct check_scratch *scratch,
                      const uint64_t *ids, const struct nb_reply *reply,
                      struct nb_errctx *err)
{
    int rv = use_version(check, scratch, reply->version, err);
    if (rv != 0) {
        return rv;
    }
    rv = 1;
    for (size_t i = 0; rv == 1 && i < check->workload->n_tables; i++) {
        rv = check_block(check, i, scratch->version->rows[i], ids,
                         &reply->blocks[i], scratch, err);
        ids += check->workload->features[i].ids.n;
    }
    return rv;
}

void check_scratch_fini(struct reply_check *check,
                        struct check_scratch *scratch)
{
    if (scratch->version != NULL) {
        pthread_mutex_lock(&check->lock);
        scratch->version->n_users--;
        pthread_mutex_unlock(&check->lock);
    }
    free(scratch->values);
    *scratch = (struct check_scratch){0};
}
