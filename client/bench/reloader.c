/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/reloader.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "client/bench/table_maker.h"
#include "storage/repo/model_dir.h"
#include "storage/repo/model_repo.h"

/* Of its own versions: enough for a server that is one or two behind. */
#define KEEP 4

struct reloader {
    struct reloader_options options;
    struct serving serving; /* holds the names */
    struct made_table *tables;
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

static int hide_locked(const struct model_dir *dir, uint64_t version,
                       struct nb_errctx *err)
{
    uint64_t pinned = 0;
    int rv = model_dir_lock(dir, err);
    if (rv != 0) {
        return rv;
    }
    rv = model_dir_pinned(dir, &pinned, err);
    if (rv == 0 && version != pinned && !model_dir_lacks(dir, version)) {
        rv = model_dir_hide_version(dir, version, err);
    }
    model_dir_unlock(dir);
    return rv;
}

/* Takes the place of its own oldest one: nobody else's is deleted. */
static int replace_oldest(struct reloader *reloader, uint64_t version)
{
    const struct reloader_options *options = &reloader->options;
    uint64_t *oldest = &reloader->own[reloader->report.n_published % KEEP];
    uint64_t doomed = *oldest;
    struct model_dir dir;
    *oldest = version;
    if (doomed == 0) {
        return 0;
    }
    int rv =
        model_dir_open(options->repo, options->model, &dir, &reloader->why);
    if (rv != 0) {
        return rv;
    }
    rv = hide_locked(&dir, doomed, &reloader->why);
    if (rv == 0) {
        rv = model_dir_sweep(&dir, &reloader->why);
    }
    model_dir_close(&dir);
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
    };
    uint64_t version = 0;
    int rv = table_maker_publish(&make, &version, &reloader->why);
    if (rv != 0) {
        return rv;
    }
    rv = replace_oldest(reloader, version);
    reloader->report.n_published++;
    reloader->report.last_version = version;
    if (rv != 0) {
        return rv;
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
        rv = start_thread(made, err);
    }
    if (rv != 0) {
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
    *report = reloader->report;
    int rv = reloader->failure;
    if (rv != 0) {
        nb_fail(err, rv, "while publishing: %.220s", reloader->why.text);
    }
    destroy(reloader);
    return rv;
}
