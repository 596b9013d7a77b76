/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/reaper.h"

#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#include "quant/nibble.h"

struct reaper {
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t changed;
    struct reaper_item *items;
    bool ending;
};

static void thread_main(void *arg)
{
    struct reaper *reaper = arg;
    uv_mutex_lock(&reaper->lock);
    while (reaper->items != NULL || !reaper->ending) {
        struct reaper_item *item = reaper->items;
        if (item == NULL) {
            uv_cond_wait(&reaper->changed, &reaper->lock);
            continue;
        }
        reaper->items = item->next;
        uv_mutex_unlock(&reaper->lock);
        item->free(item);
        uv_mutex_lock(&reaper->lock);
    }
    uv_mutex_unlock(&reaper->lock);
}

int reaper_create(struct reaper **reaper)
{
    struct reaper *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return NB_ERR_NOMEM;
    }
    int rv = uv_mutex_init(&created->lock);
    if (rv != 0) {
        goto err_free;
    }
    rv = uv_cond_init(&created->changed);
    if (rv != 0) {
        goto err_mutex;
    }
    rv = uv_thread_create(&created->thread, thread_main, created);
    if (rv != 0) {
        goto err_cond;
    }
    *reaper = created;
    return 0;

err_cond:
    uv_cond_destroy(&created->changed);
err_mutex:
    uv_mutex_destroy(&created->lock);
err_free:
    free(created);
    return rv;
}

void reaper_take(struct reaper *reaper, struct reaper_item *item)
{
    uv_mutex_lock(&reaper->lock);
    item->next = reaper->items;
    reaper->items = item;
    uv_cond_signal(&reaper->changed);
    uv_mutex_unlock(&reaper->lock);
}

void reaper_destroy(struct reaper *reaper)
{
    if (reaper == NULL) {
        return;
    }
    uv_mutex_lock(&reaper->lock);
    reaper->ending = true;
    uv_cond_signal(&reaper->changed);
    uv_mutex_unlock(&reaper->lock);
    uv_thread_join(&reaper->thread);
    uv_cond_destroy(&reaper->changed);
    uv_mutex_destroy(&reaper->lock);
    free(reaper);
}
