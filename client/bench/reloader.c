/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/reloader.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "client/bench/served_version.h"
#include "client/bench/table_maker.h"
#include "storage/repo/model_dir.h"
#include "storage/repo/model_repo.h"

/* Of its own versions: enough for a server that is one or two behind. */
#define KEEP 4

/* How long a server may take to serve what is published: some seconds, and what
 * a slow one takes to read it. */
#define PATIENCE_S           10.0
#define PATIENCE_BYTES_PER_S 32e6

struct reloader {
    struct reloader_options options;
    struct serving serving; /* holds the names */
    struct made_table *tables;
    bool followed;      /* by the server */
    uint64_t own[KEEP]; /* versions that it published, as a ring */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop; /* under the lock */
    struct reloader_report report;
    int failure;
    struct nb_errctx why;
};

/* False: it is to end. */
static bool wait_turn(struct reloader *reloader)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double ns = (double)until.tv_nsec + reloader->options.every_s * 1e9;
    until.tv_sec += (time_t)(ns / 1e9);
    until.tv_nsec = (long)(ns - (double)(time_t)(ns / 1e9) * 1e9);
    pthread_mutex_lock(&reloader->lock);
    int rv = 0;
    while (!reloader->stop && rv == 0) {
        rv = pthread_cond_timedwait(&reloader->wake, &reloader->lock, &until);
    }
    bool go_on = !reloader->stop;
    pthread_mutex_unlock(&reloader->lock);
    return go_on;
}

/* Of the ring, the oldest first. */
static int hide_locked(const struct reloader *reloader,
                       const struct model_dir *dir, size_t n,
                       struct nb_errctx *err)
{
    uint64_t pinned = 0;
    int rv = model_dir_lock(dir, err);
    if (rv != 0) {
        return rv;
    }
    rv = model_dir_pinned(dir, &pinned, err);
    for (size_t i = 0; rv == 0 && i < n; i++) {
        uint64_t version =
            reloader->own[(reloader->report.n_published + i) % KEEP];
        if (version != 0 && version != pinned &&
            !model_dir_lacks(dir, version)) {
            rv = model_dir_hide_version(dir, version, err);
        }
    }
    model_dir_unlock(dir);
    return rv;
}

/* Deletes so many of its own, the oldest first: nobody else's. */
static int delete_oldest(const struct reloader *reloader, size_t n,
                         struct nb_errctx *err)
{
    const struct reloader_options *options = &reloader->options;
    struct model_dir dir;
    int rv = model_dir_open(options->repo, options->model, &dir, err);
    if (rv != 0) {
        return rv;
    }
    rv = hide_locked(reloader, &dir, n, err);
    if (rv == 0) {
        rv = model_dir_sweep(&dir, err);
    }
    model_dir_close(&dir);
    return rv;
}

/* The new one takes the place of the oldest. */
static int replace_oldest(struct reloader *reloader, uint64_t version)
{
    int rv = delete_oldest(reloader, 1, &reloader->why);
    reloader->own[reloader->report.n_published++ % KEEP] = version;
    reloader->report.last_version = version;
    return rv;
}

static int publish_one(struct reloader *reloader)
{
    const struct reloader_options *options = &reloader->options;
    const struct table_maker_options make = {
        .repo = options->repo,
        .model = options->model,
        .tables = reloader->tables,
        .n_tables = reloader->serving.opened->manifest.n,
        .seed = options->seed,
        .stop = reloader->followed ? NULL : options->stop,
    };
    uint64_t version = 0;
    int rv = table_maker_publish(&make, &version, &reloader->why);
    int replaced = version != 0 ? replace_oldest(reloader, version) : 0;
    if (rv != 0 || replaced != 0) {
        return rv != 0 ? rv : replaced;
    }
    return options->check != NULL
               ? reply_check_prepare(options->check, version, &reloader->why)
               : 0;
}

static void *work(void *arg)
{
    struct reloader *reloader = arg;
    while (reloader->failure == 0 && wait_turn(reloader)) {
        reloader->failure = publish_one(reloader);
    }
    return NULL;
}

/* ---- the server --------------------------------------------------------- */

static int await_served(const struct reloader *reloader, uint64_t version,
                        const bool *stop, struct nb_errctx *err)
{
    const struct reloader_options *options = &reloader->options;
    const struct model_version *opened = reloader->serving.opened;
    const struct served_wait wait = {
        .server = options->server,
        .timeout_ms = options->timeout_ms,
        .model = options->model,
        .patience_s = PATIENCE_S + (double)model_version_bytes(opened) /
                                       PATIENCE_BYTES_PER_S,
        .stop = stop,
    };
    uint64_t seen = 0;
    int rv = served_version_wait(&wait, version, &seen, err);
    return rv != NB_ERR_TIMEOUT || seen == 0
               ? rv
               : nb_fail(err, rv,
                         "the server does not serve what was published to "
                         "%.100s: version %" PRIu64 " of '%.60s' is to be "
                         "served, %" PRIu64 " is",
                         options->repo, version, options->model, seen);
}

/* The server is to serve this repository, not one that looks like it. */
static int publish_first(struct reloader *reloader, struct nb_errctx *err)
{
    const bool *stop = reloader->options.stop;
    int rv = await_served(reloader, reloader->serving.version, stop, err);
    if (rv != 0) {
        return rv;
    }
    rv = publish_one(reloader);
    if (rv != 0) {
        return nb_fail(err, rv, "%s", reloader->why.text);
    }
    rv = await_served(reloader, reloader->report.last_version, stop, err);
    reloader->followed = rv == 0;
    return rv;
}

/* Others may have published meanwhile, or pinned. */
static int await_newest(struct reloader *reloader, struct nb_errctx *err)
{
    const struct reloader_options *options = &reloader->options;
    const struct serving_search search = {.verify = TABLE_VERIFY_HEADER};
    struct serving serving;
    int rv = model_repo_open_serving(options->repo, options->model, &search,
                                     &serving, err);
    if (rv != 0) {
        return rv;
    }
    uint64_t version = serving.version;
    serving_fini(&serving);
    rv = await_served(reloader, version, NULL, err);
    reloader->report.served = rv == 0 ? version : 0;
    return rv;
}

/* All is as it was. What the server is loading still has to be there, so the
 * last one is served first. */
static int withdraw(struct reloader *reloader, struct nb_errctx *err)
{
    if (reloader->report.n_published == 0) {
        return 0;
    }
    int served = reloader->followed ? await_newest(reloader, err) : 0;
    int rv = delete_oldest(reloader, KEEP, served == 0 ? err : NULL);
    if (served == 0 && rv == 0 && reloader->followed) {
        rv = await_newest(reloader, err);
    }
    return served != 0 ? served : rv;
}

/* ---- begin and end ------------------------------------------------------ */

static int copy_shapes(struct reloader *reloader, struct nb_errctx *err)
{
    const struct model_version *version = reloader->serving.opened;
    size_t n = version->manifest.n;
    reloader->tables = calloc(n + 1, sizeof(*reloader->tables));
    if (reloader->tables == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%zu tables", n);
    }
    for (size_t i = 0; i < n; i++) {
        const struct manifest_table *table = &version->manifest.tables[i];
        reloader->tables[i] = (struct made_table){.name = table->name,
                                                  .rows = table->rows,
                                                  .dim = table->dim,
                                                  .codec = table->codec};
        int rv = table_maker_check(&reloader->tables[i], err);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

static int start_thread(struct reloader *reloader, struct nb_errctx *err)
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&reloader->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&reloader->lock, NULL);
    int failure = pthread_create(&reloader->thread, NULL, work, reloader);
    if (failure != 0) {
        pthread_cond_destroy(&reloader->wake);
        pthread_mutex_destroy(&reloader->lock);
        return nb_fail(err, -failure, "cannot start a thread: %s",
                       nb_strerror(-failure));
    }
    return 0;
}

static void destroy(struct reloader *reloader)
{
    serving_fini(&reloader->serving);
    free(reloader->tables);
    free(reloader);
}

int reloader_start(const struct reloader_options *options,
                   struct reloader **reloader, struct nb_errctx *err)
{
    struct reloader *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "a publisher");
    }
    made->options = *options;
    const struct serving_search search = {.verify = TABLE_VERIFY_HEADER};
    int rv = model_repo_open_serving(options->repo, options->model, &search,
                                     &made->serving, err);
    if (rv != 0) {
        free(made);
        return rv;
    }
    rv = copy_shapes(made, err);
    if (rv == 0) {
        rv = publish_first(made, err);
    }
    if (rv == 0) {
        rv = start_thread(made, err);
    }
    if (rv != 0) {
        (void)withdraw(made, NULL);
        destroy(made);
        return rv;
    }
    *reloader = made;
    return 0;
}

int reloader_stop(struct reloader *reloader, struct reloader_report *report,
                  struct nb_errctx *err)
{
    pthread_mutex_lock(&reloader->lock);
    reloader->stop = true;
    pthread_cond_signal(&reloader->wake);
    pthread_mutex_unlock(&reloader->lock);
    pthread_join(reloader->thread, NULL);
    pthread_cond_destroy(&reloader->wake);
    pthread_mutex_destroy(&reloader->lock);
    struct nb_errctx why = {""};
    int withdrawn = withdraw(reloader, &why);
    int rv = reloader->failure;
    if (rv != 0) {
        nb_fail(err, rv, "while publishing: %.220s", reloader->why.text);
    } else if (withdrawn != 0) {
        rv = nb_fail(err, withdrawn, "after publishing: %.220s", why.text);
    }
    *report = reloader->report;
    destroy(reloader);
    return rv;
}
