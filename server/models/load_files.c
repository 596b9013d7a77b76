/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/load_files.h"

#include <stdlib.h>
#include <string.h>

#include "server/settings/residency_rules.h"

#define FILES_VERSION 1

static int no_memory(struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_NOMEM, "out of memory");
}

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
    struct table *table;
    rv = table_open(file, options_verify(options), &table, err);
    if (rv == 0) {
        rv = residency_rules_apply(&options->residency, FILES_MODEL, name,
                                   table, NULL, err);
        rv = rv == 0 ? table_set_take(set, name, table, err) : rv;
        if (rv != 0) {
            table_close(table);
        }
    }
    free(name);
    return rv;
}

int load_files(const struct options *options, unsigned n_loops,
               struct catalog **catalog, struct nb_errctx *err)
{
    struct table_set *set;
    struct catalog *loaded;
    if (catalog_create(&loaded) != 0) {
        return no_memory(err);
    }
    int rv = table_set_create(FILES_MODEL, FILES_VERSION, n_loops, &set);
    if (rv != 0) {
        catalog_unref(loaded);
        return no_memory(err);
    }
    for (size_t i = 0; rv == 0 && i < options->tables.n; i++) {
        rv = add_file(options, options->tables.items[i], set, err);
    }
    if (rv == 0 && catalog_add(loaded, set, CATALOG_FILES) != 0) {
        rv = no_memory(err);
    }
    table_set_unref(set);
    if (rv != 0) {
        catalog_unref(loaded);
        return rv;
    }
    *catalog = loaded;
    return 0;
}
