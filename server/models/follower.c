/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Happy path: follower_create() makes the first pass on the caller's thread;
 * then the thread waits for follower_look(), the poll, or the time to try a
 * failed version again, and makes a pass: model_reload() for each model, whose
 * result takes the place of the catalog. Only this thread replaces it.
 *
 * Failure modes: what concerns a model is told in its entry; a repository that
 * cannot be listed is logged, and everything stays.
 *
 * On stop: reading ends at its next block, and nothing is replaced any more.
 */
#include "server/models/follower.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "server/models/failed_versions.h"
#include "server/log/log.h"
#include "server/models/memory_limit.h"
#include "server/models/model_reload.h"
#include "storage/repo/model_repo.h"

/* Reading ahead of the rate by so much is not worth a wait. */
#define PACE_SLACK_NS UINT64_C(1000000)

/* At least so long after a pass, what failed is tried again: a pass that lists
 * nothing looks at no version, and leaves the time for it in the past. */
#define RETRY_PAUSE_NS UINT64_C(1000000000)

struct follower {
    const struct options *options;
    struct model_reload reload;
    struct io_pace pace;
    uint64_t read_due_ns; /* when what was read should have been, by the rate */
    struct log_limit failures; /* of listing */
    follower_apply_fn *apply;
    void *apply_arg;
    uv_thread_t thread;
    bool started;
    uv_mutex_t lock; /* guards what follows */
    uv_cond_t woken;
    struct catalog *catalog;
    bool asked;  /* to look */
    bool forced; /* and to try again what failed */
    bool stopping;
};

/* ---- pacing -------------------------------------------------------------- */

/* Waits while reading is ahead of --reload-rate. */
static int wait_for_rate(void *arg, uint64_t bytes)
{
    struct follower *follower = arg;
    uint64_t rate = follower->options->reload_rate_bytes;
    uint64_t now_ns = uv_hrtime();
    if (follower->read_due_ns < now_ns) {
        follower->read_due_ns = now_ns;
    }
    uint64_t due_ns = follower->read_due_ns;
    if (rate != 0) {
        follower->read_due_ns += (uint64_t)((double)bytes / (double)rate * 1e9);
    }
    uv_mutex_lock(&follower->lock);
    while (!follower->stopping && due_ns > now_ns + PACE_SLACK_NS) {
        uv_cond_timedwait(&follower->woken, &follower->lock, due_ns - now_ns);
        now_ns = uv_hrtime();
    }
    bool stopping = follower->stopping;
    uv_mutex_unlock(&follower->lock);
    return stopping ? -ECANCELED : 0;
}

/* ---- the catalog --------------------------------------------------------- */

struct catalog *follower_catalog(struct follower *follower)
{
    uv_mutex_lock(&follower->lock);
    struct catalog *catalog = catalog_ref(follower->catalog);
    uv_mutex_unlock(&follower->lock);
    return catalog;
}

static bool is_stopping(struct follower *follower)
{
    uv_mutex_lock(&follower->lock);
    bool stopping = follower->stopping;
    uv_mutex_unlock(&follower->lock);
    return stopping;
}

/* Puts `entry` in the place of the model; NULL takes the model away. */
static int replace(void *arg, const char *model,
                   const struct catalog_entry *entry)
{
    struct follower *follower = arg;
    struct catalog *next;
    int rv = catalog_replace(follower->catalog, model, entry, &next);
    if (rv != 0) {
        return rv;
    }
    uv_mutex_lock(&follower->lock);
    struct catalog *old = follower->catalog;
    follower->catalog = next;
    uv_mutex_unlock(&follower->lock);
    catalog_unref(old);
    if (follower->apply != NULL) {
        follower->apply(follower->apply_arg, next);
    }
    return 0;
}

static const struct catalog *get_catalog(void *arg)
{
    struct follower *follower = arg;
    return follower->catalog; /* replaced by this thread alone */
}

/* ---- a pass -------------------------------------------------------------- */

static bool has_name(const struct model_names *models, const char *name)
{
    for (size_t i = 0; i < models->n; i++) {
        if (strcmp(models->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Models whose directories are gone. */
static void retire(struct follower *follower, const struct model_names *models)
{
    size_t i = 0;
    while (i < catalog_n(follower->catalog)) {
        struct table_set *tables = catalog_at(follower->catalog, i)->tables;
        if (has_name(models, table_set_model(tables))) {
            i++;
            continue;
        }
        table_set_ref(tables);
        log_info("retire-model", "model=%s", table_set_model(tables));
        int rv = replace(follower, table_set_model(tables), NULL);
        table_set_unref(tables);
        if (rv != 0) {
            return; /* the next pass will */
        }
    }
}

/* Every model that is to be served. */
static int look_at_models(struct follower *follower,
                          const struct model_names *models)
{
    for (size_t i = 0; i < models->n; i++) {
        if (is_stopping(follower)) {
            return -ECANCELED;
        }
        model_reload(&follower->reload, models->names[i]);
    }
    failed_versions_sweep(&follower->reload.failed);
    return 0;
}

static int make_pass(struct follower *follower, struct nb_errctx *err)
{
    const struct option_list *named = &follower->options->models;
    if (named->n > 0) {
        const struct model_names models = {named->items, named->n};
        return look_at_models(follower, &models);
    }
    struct model_names models;
    int rv = model_repo_models(follower->options->repo, &models, err);
    if (rv != 0) {
        return rv;
    }
    rv = look_at_models(follower, &models);
    if (rv == 0) {
        retire(follower, &models);
    }
    model_names_fini(&models);
    return rv;
}

static void make_pass_and_log(struct follower *follower)
{
    struct nb_errctx err = {""};
    struct log_text reason;
    uint32_t suppressed;
    int rv = make_pass(follower, &err);
    if (rv != 0 && rv != -ECANCELED &&
        log_allowed(&follower->failures, uv_hrtime(), &suppressed)) {
        log_error("reload-failed", "reason=%s suppressed=%u",
                  log_quote(err.text, &reason), suppressed);
    }
}

/* ---- the thread ---------------------------------------------------------- */

/* Under the lock: until there is something to do. */
static void wait_for_work(struct follower *follower, uint64_t polled_ns)
{
    uint64_t poll_ns = follower->options->reload_poll_ms * 1000000;
    uint64_t due_ns = failed_versions_next(&follower->reload.failed);
    if (due_ns < polled_ns + RETRY_PAUSE_NS) {
        due_ns = polled_ns + RETRY_PAUSE_NS;
    }
    if (poll_ns != 0 && polled_ns + poll_ns < due_ns) {
        due_ns = polled_ns + poll_ns;
    }
    while (!follower->stopping && !follower->asked) {
        uint64_t now_ns = uv_hrtime();
        if (now_ns >= due_ns) {
            follower->asked = true;
        } else if (due_ns == UINT64_MAX) {
            uv_cond_wait(&follower->woken, &follower->lock);
        } else {
            uv_cond_timedwait(&follower->woken, &follower->lock,
                              due_ns - now_ns);
        }
    }
}

static void thread_main(void *arg)
{
    struct follower *follower = arg;
    uint64_t polled_ns = uv_hrtime();
    uv_mutex_lock(&follower->lock);
    for (;;) {
        wait_for_work(follower, polled_ns);
        if (follower->stopping) {
            break;
        }
        bool forced = follower->forced;
        follower->asked = false;
        follower->forced = false;
        uv_mutex_unlock(&follower->lock);
        if (forced) {
            failed_versions_clear(&follower->reload.failed);
        }
        make_pass_and_log(follower);
        polled_ns = uv_hrtime();
        uv_mutex_lock(&follower->lock);
    }
    uv_mutex_unlock(&follower->lock);
}

static void ask(struct follower *follower, bool forced)
{
    uv_mutex_lock(&follower->lock);
    follower->asked = true;
    follower->forced |= forced;
    uv_cond_signal(&follower->woken);
    uv_mutex_unlock(&follower->lock);
}

void follower_look(struct follower *follower)
{
    ask(follower, false);
}

void follower_request(struct follower *follower)
{
    ask(follower, true);
}

int follower_start(struct follower *follower, follower_apply_fn *apply,
                   void *arg)
{
    follower->apply = apply;
    follower->apply_arg = arg;
    follower->reload.running = true;
    follower->reload.load.pace = &follower->pace;
    int rv = uv_thread_create(&follower->thread, thread_main, follower);
    follower->started = rv == 0;
    return rv;
}

void follower_stop(struct follower *follower)
{
    if (!follower->started) {
        return;
    }
    uv_mutex_lock(&follower->lock);
    follower->stopping = true;
    uv_cond_signal(&follower->woken);
    uv_mutex_unlock(&follower->lock);
    uv_thread_join(&follower->thread);
    follower->started = false;
}

/* ---- the beginning ------------------------------------------------------- */

static int check_model(const struct follower *follower, const char *model,
                       struct nb_errctx *err)
{
    const struct catalog_entry *entry = catalog_find(follower->catalog, model);
    if (entry == NULL) {
        return nb_fail(err, NB_ERR_NOT_FOUND,
                       "model %.128s: %.100s has no version of it", model,
                       follower->options->repo);
    }
    return catalog_entry_is_served(entry)
               ? 0
               : nb_fail(err, NB_ERR_NOT_FOUND, "model %.128s: %s", model,
                         entry->reload.reason);
}

/* --model is an order: at the start, it can be seen by whoever gave it. The
 * caller tells the last that fails, those before it are told here. */
static int check_named(const struct follower *follower, struct nb_errctx *err)
{
    const struct option_list *named = &follower->options->models;
    struct nb_errctx why = {""};
    struct log_text reason;
    for (size_t i = 0; i < named->n; i++) {
        struct nb_errctx before = why;
        if (check_model(follower, named->items[i], &why) != 0 &&
            before.text[0] != '\0') {
            log_error("reload-failed", "reason=%s",
                      log_quote(before.text, &reason));
        }
    }
    return why.text[0] == '\0' ? 0
                               : nb_fail(err, NB_ERR_NOT_FOUND, "%s", why.text);
}

static int init(struct follower *follower)
{
    int rv = catalog_create(&follower->catalog);
    if (rv != 0) {
        return rv;
    }
    rv = uv_mutex_init(&follower->lock);
    if (rv != 0) {
        goto err_catalog;
    }
    rv = uv_cond_init(&follower->woken);
    if (rv != 0) {
        goto err_mutex;
    }
    return 0;

err_mutex:
    uv_mutex_destroy(&follower->lock);
err_catalog:
    catalog_unref(follower->catalog);
    return rv;
}

int follower_create(const struct options *options, unsigned n_loops,
                    struct reaper *reaper, struct follower **follower,
                    struct nb_errctx *err)
{
    struct follower *created = calloc(1, sizeof(*created));
    int rv = created != NULL ? init(created) : NB_ERR_NOMEM;
    if (rv != 0) {
        free(created);
        return nb_fail(err, rv, "cannot start: %s", nb_strerror(rv));
    }
    created->options = options;
    created->pace = (struct io_pace){wait_for_rate, created};
    created->reload = (struct model_reload){
        .repo = options->repo,
        .keep_loaded = (size_t)options->keep_loaded,
        .must_load = options->models.n > 0,
        .keep_bytes = options->keep_memory_bytes != 0
                          ? options->keep_memory_bytes
                          : memory_limit(MEMORY_GROUPS, MEMORY_GROUPS_ROOT),
        .load = {.verify = options_verify(options),
                 .residency = &options->residency,
                 .n_loops = n_loops,
                 .reaper = reaper},
        .catalog = get_catalog,
        .replace = replace,
        .arg = created,
    };
    rv = make_pass(created, err);
    if (rv == 0) {
        rv = check_named(created, err);
    }
    if (rv != 0) {
        follower_destroy(created);
        return rv;
    }
    log_info("keep-memory", "bytes=%" PRIu64, created->reload.keep_bytes);
    *follower = created;
    return 0;
}

void follower_destroy(struct follower *follower)
{
    if (follower == NULL) {
        return;
    }
    catalog_unref(follower->catalog);
    failed_versions_clear(&follower->reload.failed);
    uv_cond_destroy(&follower->woken);
    uv_mutex_destroy(&follower->lock);
    free(follower);
}
