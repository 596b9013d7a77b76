/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Happy path: one uv_fs_event on the repository, one on each directory of a
 * model. What happens in the repository makes the list of models anew.
 *
 * Failure modes: out of watches or memory, some directories are not watched;
 * the log says so once.
 *
 * On close: every handle frees itself, the last one the rest.
 */
#include "server/models/repo_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/nibble.h"
#include "server/log/log.h"
#include "storage/repo/model_repo.h"

struct watched {
    uv_fs_event_t event;
    struct repo_watch *watch;
    struct watched *next;
    char *model; /* NULL: the repository itself */
    bool found;  /* in the list being made */
};

struct repo_watch {
    uv_loop_t *loop;
    const char *repo;
    repo_watch_cb *changed;
    void *arg;
    struct watched *first; /* a list */
    size_t n_open;         /* handles */
    bool closing;
    bool told; /* that something cannot be watched */
};

static void on_closed(uv_handle_t *handle)
{
    struct watched *watched = handle->data;
    struct repo_watch *watch = watched->watch;
    free(watched->model);
    free(watched);
    if (--watch->n_open == 0 && watch->closing) {
        free(watch);
    }
}

static void list_models(struct repo_watch *watch);

/* Writers prepare what they do under names with a dot in front. */
static void on_event(uv_fs_event_t *event, const char *name, int events,
                     int status)
{
    struct watched *watched = event->data;
    struct repo_watch *watch = watched->watch;
    (void)events;
    if (status == 0 && name != NULL && name[0] == '.') {
        return;
    }
    if (watched->model == NULL) {
        list_models(watch);
    }
    watch->changed(watch->arg);
}

static int start(struct watched *watched)
{
    struct repo_watch *watch = watched->watch;
    char *path = NULL;
    if (watched->model != NULL &&
        asprintf(&path, "%s/%s", watch->repo, watched->model) < 0) {
        return NB_ERR_NOMEM;
    }
    int rv = uv_fs_event_start(&watched->event, on_event,
                               path != NULL ? path : watch->repo, 0);
    free(path);
    return rv;
}

/* `model` NULL: the repository. */
static void add(struct repo_watch *watch, const char *model)
{
    struct watched *watched = calloc(1, sizeof(*watched));
    if (watched == NULL) {
        return;
    }
    watched->model = model != NULL ? strdup(model) : NULL;
    if (model != NULL && watched->model == NULL) {
        free(watched);
        return;
    }
    uv_fs_event_init(watch->loop, &watched->event); /* cannot fail */
    watched->event.data = watched;
    watched->watch = watch;
    watched->found = true;
    watched->next = watch->first;
    watch->first = watched;
    watch->n_open++;
    int rv = start(watched);
    if (rv != 0 && !watch->told) {
        struct log_text name;
        watch->told = true;
        log_error("watch-failed", "model=%s reason=\"%s\"",
                  log_quote(model != NULL ? model : "", &name),
                  nb_strerror(rv));
    }
}

static struct watched *find(struct repo_watch *watch, const char *model)
{
    struct watched *at = watch->first;
    while (at != NULL && (at->model == NULL || strcmp(at->model, model) != 0)) {
        at = at->next;
    }
    return at;
}

/* Watches of directories that are gone end; one of that name may have come
 * since. */
static void drop_lost(struct repo_watch *watch)
{
    struct watched **link = &watch->first;
    while (*link != NULL) {
        struct watched *at = *link;
        if (at->model == NULL || at->found) {
            link = &at->next;
        } else {
            *link = at->next;
            uv_close((uv_handle_t *)&at->event, on_closed);
        }
    }
}

static void list_models(struct repo_watch *watch)
{
    struct model_names models;
    if (model_repo_models(watch->repo, &models, NULL) != 0) {
        return;
    }
    for (struct watched *at = watch->first; at != NULL; at = at->next) {
        at->found = false;
    }
    for (size_t i = 0; i < models.n; i++) {
        struct watched *watched = find(watch, models.names[i]);
        if (watched != NULL) {
            watched->found = true;
            /* Another directory may stand there now. */
            uv_fs_event_stop(&watched->event);
            (void)start(watched);
        } else {
            add(watch, models.names[i]);
        }
    }
    drop_lost(watch);
    model_names_fini(&models);
}

int repo_watch_open(uv_loop_t *loop, const char *repo, repo_watch_cb *changed,
                    void *arg, struct repo_watch **watch)
{
    struct repo_watch *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return NB_ERR_NOMEM;
    }
    *opened = (struct repo_watch){
        .loop = loop, .repo = repo, .changed = changed, .arg = arg};
    add(opened, NULL);
    list_models(opened);
    *watch = opened;
    return 0;
}

void repo_watch_close(struct repo_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    watch->closing = true;
    struct watched *next;
    for (struct watched *at = watch->first; at != NULL; at = next) {
        next = at->next;
        uv_close((uv_handle_t *)&at->event, on_closed);
    }
    if (watch->n_open == 0) {
        free(watch);
    }
}
