/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/version_load.h"

#include "server/settings/residency_rules.h"

static bool may_be_cold(const struct model_version *opened)
{
    for (size_t i = 0; i < opened->manifest.n; i++) {
        if (table_may_be_cold(opened->tables[i])) {
            return true;
        }
    }
    return false;
}

static int make_set(const struct version_load *load, const char *model,
                    struct serving *serving, struct table_set **tables,
                    struct nb_errctx *err)
{
    struct model_version *opened = serving->opened;
    struct table_set *set;
    int rv = table_set_create(model, serving->version, load->n_loops, &set);
    if (rv != 0) {
        return nb_fail(err, rv, "%s: out of memory", serving->path);
    }
    table_set_identify(set, &opened->id);
    if (!load->prefault && may_be_cold(opened)) {
        table_set_tell_unread(set);
    }
    table_set_free_by(set, load->reaper);
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

static int reside(const struct version_load *load, const char *model,
                  struct model_version *opened, struct nb_errctx *err)
{
    int rv = 0;
    if (load->residency == NULL) {
        return 0;
    }
    for (size_t i = 0; i < opened->manifest.n && rv == 0; i++) {
        rv = residency_rules_apply(load->residency, model,
                                   opened->manifest.tables[i].name,
                                   opened->tables[i], load->pace, err);
    }
    return rv;
}

int version_verify(const struct version_load *load,
                   const struct serving *serving, struct nb_errctx *err)
{
    return load->verify == TABLE_VERIFY_FULL
               ? model_version_verify_rest(serving->opened, serving->path,
                                           load->pace, err)
               : 0;
}

int version_load(const struct version_load *load, const char *model,
                 struct serving *serving, struct table_set **tables,
                 struct nb_errctx *err)
{
    struct model_version *opened = serving->opened;
    int rv = reside(load, model, opened, err);
    if (rv == 0 && load->prefault) {
        rv = model_version_prefault(opened, serving->path, load->pace, err);
    }
    return rv == 0 ? make_set(load, model, serving, tables, err) : rv;
}
