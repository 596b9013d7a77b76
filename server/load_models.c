/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/load_models.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"
#include "storage/model_repo.h"

/* The tables of the command line form one model. */
#define FILES_MODEL   "default"
#define FILES_VERSION 1

static int no_memory(struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_NOMEM, "out of memory");
}

/* ---- --table ----------------------------------------------------------- */

static int add_file(const struct options *options, const char *text,
                    struct table_set *set, struct nb_errctx *err)
{
    size_t name_bytes;
    const char *file;
    int rv = options_split_table(text, &name_bytes, &file, err);
    if (rv != 0) {
        return rv;
    }
    char *name = strndup(text, name_bytes);
    if (name == NULL) {
        return no_memory(err);
    }
    rv = table_set_add(set, name, file, options_verify(options), err);
    free(name);
    return rv;
}

static int load_files(const struct options *options, unsigned n_loops,
                      struct catalog *catalog, struct nb_errctx *err)
{
    struct table_set *set;
    int rv = table_set_create(FILES_MODEL, FILES_VERSION, n_loops, &set);
    if (rv != 0) {
        return no_memory(err);
    }
    for (size_t i = 0; rv == 0 && i < options->tables.n; i++) {
        rv = add_file(options, options->tables.items[i], set, err);
    }
    if (rv == 0 && catalog_add(catalog, set, CATALOG_FILES) != 0) {
        rv = no_memory(err);
    }
    table_set_unref(set);
    return rv;
}

/* ---- --repo ------------------------------------------------------------ */

static void log_skipped(void *arg, uint64_t version, const char *why)
{
    const char *const *model = arg;
    struct log_text name;
    struct log_text reason;
    log_error("skip-version", "model=%s version=%" PRIu64 " reason=%s",
              log_quote(*model, &name), version, log_quote(why, &reason));
}

/* Hands the tables of an opened version over to a set. */
static int make_set(const char *model, struct serving *serving,
                    unsigned n_loops, struct table_set **tables,
                    struct nb_errctx *err)
{
    struct model_version *opened = serving->opened;
    struct table_set *set;
    int rv = table_set_create(model, serving->version, n_loops, &set);
    if (rv != 0) {
        return no_memory(err);
    }
    for (size_t i = 0; i < opened->manifest.n && rv == 0; i++) {
        rv = table_set_take(set, opened->manifest.tables[i].name,
                            opened->tables[i], err);
        if (rv == 0) {
            opened->tables[i] = NULL;
        }
    }
    if (rv != 0) {
        table_set_unref(set);
        return rv;
    }
    *tables = set;
    return 0;
}

int load_model(const struct options *options, const char *model,
               unsigned n_loops, struct table_set **tables,
               enum catalog_choice *choice, struct nb_errctx *err)
{
    struct serving serving;
    int rv =
        model_repo_open_serving(options->repo, model, options_verify(options),
                                log_skipped, (void *)&model, &serving, err);
    if (rv != 0) {
        return rv;
    }
    rv = make_set(model, &serving, n_loops, tables, err);
    model_version_close(serving.opened);
    *choice = serving.pinned ? CATALOG_PINNED : CATALOG_LATEST;
    return rv;
}

static int add_model(const struct options *options, const char *model,
                     unsigned n_loops, struct catalog *catalog,
                     struct nb_errctx *err)
{
    struct nb_errctx why = {""};
    struct table_set *set = NULL;
    enum catalog_choice choice = CATALOG_LATEST;
    int rv = load_model(options, model, n_loops, &set, &choice, &why);
    if (rv != 0) {
        return nb_fail(err, rv, "model %s: %s", model, why.text);
    }
    rv = catalog_add(catalog, set, choice);
    table_set_unref(set);
    if (rv == NB_ERR_INVALID) {
        return nb_fail(err, rv, "model %s is given twice", model);
    }
    return rv == 0 ? 0 : no_memory(err);
}

static int load_named(const struct options *options, unsigned n_loops,
                      struct catalog *catalog, struct nb_errctx *err)
{
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < options->models.n; i++) {
        rv =
            add_model(options, options->models.items[i], n_loops, catalog, err);
    }
    return rv;
}

/* One broken model does not take the others away; without any, there is
 * nothing to serve, and what the last one said is the reason. */
static int load_every(const struct options *options, unsigned n_loops,
                      struct catalog *catalog, struct nb_errctx *err)
{
    struct model_names models;
    int rv = model_repo_models(options->repo, &models, err);
    if (rv != 0) {
        return rv;
    }
    rv = nb_fail(err, NB_ERR_NOT_FOUND, "%.200s: there is no model in it",
                 options->repo);
    for (size_t i = 0; i < models.n; i++) {
        struct nb_errctx why = {""};
        struct log_text reason;
        int failed =
            add_model(options, models.names[i], n_loops, catalog, &why);
        if (failed != 0) {
            log_error("skip-model", "name=%s reason=%s", models.names[i],
                      log_quote(why.text, &reason));
            rv = nb_fail(err, failed, "%s", why.text);
        }
    }
    model_names_fini(&models);
    return catalog_n(catalog) > 0 ? 0 : rv;
}

/* ---- the whole ----------------------------------------------------------- */

int load_models(const struct options *options, unsigned n_loops,
                struct catalog **catalog, struct nb_errctx *err)
{
    struct catalog *loaded;
    int rv = catalog_create(&loaded);
    if (rv != 0) {
        return no_memory(err);
    }
    if (options->repo[0] == '\0') {
        rv = load_files(options, n_loops, loaded, err);
    } else if (options->models.n > 0) {
        rv = load_named(options, n_loops, loaded, err);
    } else {
        rv = load_every(options, n_loops, loaded, err);
    }
    if (rv != 0) {
        catalog_unref(loaded);
        return rv;
    }
    *catalog = loaded;
    return 0;
}
