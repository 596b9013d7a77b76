/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/retention.h"

#include <stdlib.h>

/* `published` counts whether it is there already or not. */
static size_t count_kept_candidates(const struct version_list *list,
                                    uint64_t published)
{
    return list->n + (version_list_has(list, published) ? 0 : 1);
}

/* Keeps the lowest that are neither protected nor among the `keep` highest. */
static void choose(struct version_list *list, uint64_t keep, uint64_t published,
                   uint64_t pinned)
{
    uint64_t n = count_kept_candidates(list, published);
    uint64_t over = n > keep ? n - keep : 0;
    size_t n_doomed = 0;
    for (size_t i = 0; i < list->n && i < over; i++) {
        uint64_t version = list->versions[i];
        if (version != published && version != pinned) {
            list->versions[n_doomed++] = version;
        }
    }
    list->n = n_doomed;
}

int retention_plan(const struct model_dir *dir, uint64_t keep,
                   uint64_t published, struct version_list *doomed,
                   struct nb_errctx *err)
{
    uint64_t pinned;
    struct version_list list;
    int rv = model_dir_pinned(dir, &pinned, err);
    if (rv != 0) {
        return rv;
    }
    rv = model_dir_versions(dir, &list, err);
    if (rv != 0) {
        return rv;
    }
    choose(&list, keep, published, pinned);
    *doomed = list;
    return 0;
}

int retention_apply(const struct model_dir *dir, uint64_t keep,
                    uint64_t published, struct version_list *doomed,
                    struct nb_errctx *err)
{
    int rv = retention_plan(dir, keep, published, doomed, err);
    for (size_t i = 0; rv == 0 && i < doomed->n; i++) {
        rv = model_dir_hide_version(dir, doomed->versions[i], err);
        if (rv != 0) {
            doomed->n = i;
        }
    }
    return rv;
}
