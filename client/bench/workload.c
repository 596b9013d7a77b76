/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/server_status.h"
#include "proto/frame.h"

/* Bounds of a request that servers have too; they keep sums in range. */
#define TABLES_MAX  4096u
#define IDS_MAX     (1u << 27)
#define SAMPLES_MAX (1u << 20)

bool workload_is_pool(const struct workload *workload)
{
    return workload->method == FRAME_METHOD_pool;
}

void workload_fini(struct workload *workload)
{
    for (size_t i = 0; i < workload->n_tables; i++) {
        free(workload->tables[i].name);
    }
    free(workload->tables);
    free(workload->features);
    free(workload->lengths);
    free(workload->model);
    *workload = (struct workload){0};
}

/* ---- tables ----------------------------------------------------------- */

static int begin(struct workload *workload,
                 const struct workload_options *options, size_t n_tables,
                 struct nb_errctx *err)
{
    *workload = (struct workload){
        .model = strdup(options->model != NULL ? options->model : ""),
        .method = options->method,
        .dtype = options->dtype,
        .pooling = options->pooling,
        .samples = options->samples,
        .tables = calloc(n_tables, sizeof(*workload->tables)),
    };
    if (workload->model == NULL || workload->tables == NULL) {
        free(workload->model);
        free(workload->tables);
        nb_fail(err, NB_ERR_NOMEM, "a workload of %zu tables", n_tables);
        return NB_ERR_NOMEM;
    }
    return 0;
}

static int add_table(struct workload *workload, const char *name, size_t n,
                     uint32_t bag, uint32_t dim)
{
    char *copy = strndup(name, n);
    if (copy == NULL) {
        return NB_ERR_NOMEM;
    }
    workload->tables[workload->n_tables++] =
        (struct workload_table){.name = copy, .bag = bag, .dim = dim};
    return 0;
}

/* ---- the request ------------------------------------------------------ */

static int count_ids(struct workload *workload, struct nb_errctx *err)
{
    uint64_t n = 0; /* at most 2^12 tables of 2^32 ids a bag, 2^20 samples */
    for (size_t i = 0; i < workload->n_tables; i++) {
        n += (uint64_t)workload->tables[i].bag * workload->samples;
        if (n > IDS_MAX) {
            return nb_fail(err, NB_ERR_INVALID, "a request has over %u ids",
                           IDS_MAX);
        }
    }
    workload->n_ids = (size_t)n;
    return 0;
}

static void fill_features(struct workload *workload)
{
    uint32_t *lengths = workload->lengths;
    for (size_t i = 0; i < workload->n_tables; i++) {
        const struct workload_table *table = &workload->tables[i];
        for (size_t j = 0; j < workload->samples; j++) {
            lengths[j] = table->bag;
        }
        workload->features[i] = (struct nb_feature){
            .table = table->name,
            .ids = {.n = (size_t)table->bag * workload->samples},
            .lengths = lengths,
            .n_bags = workload->samples,
            .pooling = workload->pooling,
        };
        lengths += workload->samples;
    }
    workload->request = (struct nb_request){
        .model = workload->model,
        .dtype = workload->dtype,
        .features = workload->features,
        .n_features = workload->n_tables,
    };
}

static int complete(struct workload *workload, int rv, struct nb_errctx *err)
{
    if (rv == 0) {
        rv = count_ids(workload, err);
    }
    if (rv == 0) {
        size_t n = workload->n_tables;
        workload->features = calloc(n, sizeof(*workload->features));
        workload->lengths =
            calloc(n * workload->samples, sizeof(*workload->lengths));
        if (workload->features == NULL || workload->lengths == NULL) {
            nb_fail(err, NB_ERR_NOMEM, "a workload of %zu tables", n);
            rv = NB_ERR_NOMEM;
        }
    }
    if (rv != 0) {
        workload_fini(workload);
        return rv;
    }
    fill_features(workload);
    return 0;
}

int workload_of_profile(const struct profile *profile,
                        const struct workload_options *options,
                        struct workload *workload, struct nb_errctx *err)
{
    struct workload_options set = *options;
    set.method = profile->method;
    set.samples = profile->samples;
    if (set.method == FRAME_METHOD_pool && set.dtype == NB_PACKED) {
        return nb_fail(err, NB_ERR_INVALID,
                       "profile %s pools: it has no packed form",
                       profile->name);
    }
    int rv = begin(workload, &set, profile->n_tables, err);
    if (rv != 0) {
        return rv;
    }
    workload->profile = profile->name;
    for (size_t i = 0; rv == 0 && i < profile->n_tables; i++) {
        char name[PROFILE_TABLE_BYTES];
        profile_table_name(i, name);
        rv = add_table(workload, name, strlen(name), profile_bag(profile, i),
                       profile->dim);
    }
    return complete(workload, rv, err);
}

/* "NAME:IDS", the last colon counting. */
static int parse_item(struct workload *workload, const char *item, size_t n,
                      struct nb_errctx *err)
{
    const char *colon = memrchr(item, ':', n);
    uint32_t bag = 0;
    const char *end = item + n;
    for (const char *c = colon; c != NULL && ++c < end;) {
        if (*c < '0' || *c > '9' || bag > IDS_MAX) {
            colon = NULL;
            break;
        }
        bag = bag * 10 + (uint32_t)(*c - '0');
    }
    if (colon == NULL || colon == item || colon + 1 == end || bag == 0 ||
        bag > IDS_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "'%.*s' is not NAME:IDS, IDS a number above 0",
                       n < 80 ? (int)n : 80, item);
    }
    int rv = add_table(workload, item, (size_t)(colon - item), bag, 0);
    return rv == 0 ? 0 : nb_fail(err, rv, "table %.*s", (int)n, item);
}

int workload_of_list(const char *list, const struct workload_options *options,
                     struct workload *workload, struct nb_errctx *err)
{
    size_t n_tables = 1;
    for (const char *c = list; *c != '\0'; c++) {
        n_tables += *c == ',';
    }
    if (n_tables > TABLES_MAX || options->samples > SAMPLES_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "at most %u tables and %u samples make a request",
                       TABLES_MAX, SAMPLES_MAX);
    }
    int rv = begin(workload, options, n_tables, err);
    if (rv != 0) {
        return rv;
    }
    for (const char *item = list; rv == 0 && item != NULL;) {
        const char *comma = strchr(item, ',');
        size_t n = comma != NULL ? (size_t)(comma - item) : strlen(item);
        rv = parse_item(workload, item, n, err);
        item = comma != NULL ? comma + 1 : NULL;
    }
    return complete(workload, rv, err);
}

/* ---- what the server has ---------------------------------------------- */

static const Nibble__V1__ModelStatus *
find_model(const Nibble__V1__StatusReply *status, const char *name)
{
    if (name == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < status->n_models; i++) {
        if (strcmp(status->models[i]->name, name) == 0) {
            return status->models[i];
        }
    }
    return NULL;
}

static int fit_table(struct workload_table *table,
                     const Nibble__V1__ModelStatus *model,
                     struct nb_errctx *err)
{
    const Nibble__V1__TableStatus *found = NULL;
    for (size_t i = 0; i < model->n_tables && found == NULL; i++) {
        if (strcmp(model->tables[i]->name, table->name) == 0) {
            found = model->tables[i];
        }
    }
    if (found == NULL) {
        return nb_fail(err, NB_ERR_NOT_FOUND,
                       "the server's model '%.60s' has no table '%.60s' "
                       "(--make-tables makes those of a profile)",
                       model->name, table->name);
    }
    if (found->rows == 0 || (table->dim != 0 && table->dim != found->dim)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "the server's table '%.60s' has %llu rows of dim %u, "
                       "the profile asks for dim %u",
                       table->name, (unsigned long long)found->rows, found->dim,
                       table->dim);
    }
    table->rows = found->rows;
    table->dim = found->dim;
    return 0;
}

static const Nibble__V1__ModelStatus *
choose_model(const struct workload *workload,
             const Nibble__V1__StatusReply *status)
{
    if (workload->model[0] != '\0') {
        return find_model(status, workload->model);
    }
    return status->n_models == 1 ? status->models[0]
                                 : find_model(status, workload->profile);
}

static int refuse_models(const Nibble__V1__StatusReply *status,
                         struct nb_errctx *err)
{
    char names[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < status->n_models && n < sizeof(names); i++) {
        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%.60s",
                              i > 0 ? ", " : "", status->models[i]->name);
    }
    return status->n_models == 0
               ? nb_fail(err, NB_ERR_NOT_FOUND, "the server has no model")
               : nb_fail(err, NB_ERR_NOT_FOUND,
                         "the server has several models, name one with "
                         "--model: %s%s",
                         names, n < sizeof(names) ? "" : "...");
}

static int fit_model(struct workload *workload,
                     const Nibble__V1__StatusReply *status,
                     struct nb_errctx *err)
{
    const Nibble__V1__ModelStatus *model = choose_model(workload, status);
    if (model == NULL) {
        return workload->model[0] == '\0'
                   ? refuse_models(status, err)
                   : nb_fail(err, NB_ERR_NOT_FOUND,
                             "the server has no model '%.100s'",
                             workload->model);
    }
    char *name = strdup(model->name);
    if (name == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "a model's name");
    }
    free(workload->model);
    workload->model = name;
    workload->request.model = name;
    workload->version = model->version;
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < workload->n_tables; i++) {
        rv = fit_table(&workload->tables[i], model, err);
    }
    return rv;
}

int workload_ask(struct workload *workload, struct nb_client *client,
                 char *server_version, struct nb_errctx *err)
{
    Nibble__V1__StatusReply *status = NULL;
    int rv = server_status_ask(client, &status, err);
    if (rv != 0) {
        return rv;
    }
    snprintf(server_version, 32, "%s", status->server_version);
    rv = fit_model(workload, status, err);
    nibble__v1__status_reply__free_unpacked(status, NULL);
    return rv;
}
