/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/failed_versions.h"

#include <stdlib.h>
#include <string.h>

struct failed_version {
    struct failed_version *next;
    char *model;
    uint64_t version;
    struct version_id id;
    uint64_t wait_ns;
    uint64_t due_ns;
    bool seen; /* since the last sweep */
};

static void free_one(struct failed_version *one)
{
    free(one->model);
    free(one);
}

void failed_versions_clear(struct failed_versions *failed)
{
    struct failed_version *next;
    for (struct failed_version *at = failed->first; at != NULL; at = next) {
        next = at->next;
        free_one(at);
    }
    failed->first = NULL;
}

static struct failed_version *find(const struct failed_versions *failed,
                                   const char *model, uint64_t version)
{
    struct failed_version *at = failed->first;
    while (at != NULL &&
           (at->version != version || strcmp(at->model, model) != 0)) {
        at = at->next;
    }
    return at;
}

bool failed_versions_add(struct failed_versions *failed, const char *model,
                         uint64_t version, const struct version_id *id,
                         uint64_t now_ns)
{
    struct failed_version *one = find(failed, model, version);
    if (one == NULL) {
        one = calloc(1, sizeof(*one));
        if (one == NULL) {
            return false;
        }
        one->model = strdup(model);
        if (one->model == NULL) {
            free(one);
            return false;
        }
        one->version = version;
        one->next = failed->first;
        failed->first = one;
    } else if (!version_id_equal(&one->id, id)) {
        one->wait_ns = 0;
    }
    one->id = *id;
    one->wait_ns = one->wait_ns == 0 ? FAILED_WAIT_MIN_NS : 2 * one->wait_ns;
    if (one->wait_ns > FAILED_WAIT_MAX_NS) {
        one->wait_ns = FAILED_WAIT_MAX_NS;
    }
    one->due_ns = now_ns + one->wait_ns;
    one->seen = true;
    return true;
}

bool failed_versions_wait(struct failed_versions *failed, const char *model,
                          uint64_t version, const struct version_id *id,
                          uint64_t now_ns)
{
    struct failed_version *one = find(failed, model, version);
    if (one == NULL) {
        return false;
    }
    one->seen = true;
    return now_ns < one->due_ns && version_id_equal(&one->id, id);
}

uint64_t failed_versions_next(const struct failed_versions *failed)
{
    uint64_t next_ns = UINT64_MAX;
    for (struct failed_version *at = failed->first; at != NULL; at = at->next) {
        if (at->due_ns < next_ns) {
            next_ns = at->due_ns;
        }
    }
    return next_ns;
}

void failed_versions_sweep(struct failed_versions *failed)
{
    struct failed_version **link = &failed->first;
    while (*link != NULL) {
        struct failed_version *at = *link;
        if (at->seen) {
            at->seen = false;
            link = &at->next;
        } else {
            *link = at->next;
            free_one(at);
        }
    }
}
