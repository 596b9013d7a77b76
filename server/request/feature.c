/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/feature.h"

#include <stdio.h>
#include <string.h>

/* Names of models, or tables, in a message, with room for that of the one asked
 * for. */
#define NAMES_BYTES 128

int feature_find_model(struct call *call, const char *model,
                       const struct catalog_entry **entry)
{
    const struct catalog *catalog = call->service->catalog;
    char names[NAMES_BYTES];
    *entry = catalog_find(catalog, model);
    if (*entry != NULL) {
        return 0;
    }
    catalog_names(catalog, names, sizeof(names));
    if (names[0] == '\0') {
        return call_fail(call, RPC_NOT_FOUND,
                         "model: there is none, nothing is served yet");
    }
    if (model[0] == '\0') {
        return call_fail(call, RPC_NOT_FOUND,
                         "model: none is named, and there is more than one: %s",
                         names);
    }
    return call_fail(call, RPC_NOT_FOUND,
                     "model: no model '%.80s', there is %s", model, names);
}

static void name_tables(const struct table_set *tables, char to[NAMES_BYTES])
{
    static const char more[] = ", ...";
    size_t used = 0;
    to[0] = '\0';
    for (size_t i = 0; i < table_set_n(tables); i++) {
        const char *name = table_set_at(tables, i)->name;
        if (used + 2 + strlen(name) + sizeof(more) > NAMES_BYTES) {
            snprintf(to + used, NAMES_BYTES - used, "%s",
                     used > 0 ? more : more + 2);
            return;
        }
        used += (size_t)snprintf(to + used, NAMES_BYTES - used, "%s%s",
                                 used > 0 ? ", " : "", name);
    }
}

int feature_no_table(struct call *call, const struct table_set *tables,
                     const char *field, const char *name)
{
    char names[NAMES_BYTES];
    name_tables(tables, names);
    return call_fail(call, RPC_NOT_FOUND, "%s: no table '%.80s', there is %s",
                     field, name, names);
}

int feature_begin(struct call *call, const char *model, uint64_t version,
                  uint32_t timeout_ms, uint32_t dtype,
                  struct table_set **tables)
{
    const struct catalog_entry *entry;
    if (call_set_timeout(call, timeout_ms) != 0) {
        return -1;
    }
    if (feature_find_model(call, model, &entry) != 0) {
        return -1;
    }
    struct table_set *set = catalog_entry_version(entry, version);
    if (set == NULL && !catalog_entry_is_served(entry)) {
        return call_fail(call, RPC_UNAVAILABLE,
                         "model: no version of '%.80s' is loaded: %.120s",
                         model, entry->reload.reason);
    }
    if (set == NULL) {
        return call_fail(call, RPC_NOT_FOUND,
                         "version: %llu is not loaded, %llu is served",
                         (unsigned long long)version,
                         (unsigned long long)table_set_version(entry->tables));
    }
    if (dtype > NB_PACKED) {
        return call_fail(call, RPC_INVALID_ARGUMENT, "dtype: %u is not known",
                         dtype);
    }
    *tables = set;
    return 0;
}

int feature_resolve(struct call *call, const struct table_set *tables, size_t i,
                    const struct feature_fields *fields,
                    struct feature *feature)
{
    feature->entry = table_set_find(tables, fields->table);
    if (feature->entry == NULL) {
        char field[48];
        snprintf(field, sizeof(field), "features[%zu].table", i);
        return feature_no_table(call, tables, field, fields->table);
    }
    if (fields->n_ids != 0 && fields->n_ids32 != 0) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "features[%zu]: both ids and ids32 are set", i);
    }
    feature->ids =
        fields->n_ids32 != 0
            ? (struct nb_ids){.u32 = fields->ids32, .n = fields->n_ids32}
            : (struct nb_ids){.u64 = fields->ids, .n = fields->n_ids};
    return 0;
}

struct block_head feature_head(const struct feature *feature, size_t rows,
                               uint32_t dtype)
{
    const struct nb_format *format = &feature->entry->rows->format;
    struct block_head head = {
        .rows = (uint32_t)rows,
        .dim = format->dim,
        .dtype = dtype,
        .row_bytes = format->dim * (uint32_t)nb_dtype_bytes(dtype),
    };
    if (dtype == NB_PACKED) {
        head.row_bytes = (uint32_t)feature->entry->row_bytes;
        head.codec = format->codec;
        head.scales = format->scales;
        head.params = table_info(feature->entry->table)->params_checksum;
    }
    return head;
}

int feature_reserve(struct call *call, const struct table_set *tables,
                    const struct block_head *heads, size_t n, uint64_t *bytes,
                    struct blocks_writer *writer)
{
    uint64_t max = call->service->options->max_reply_bytes;
    uint64_t version = table_set_version(tables);
    if (*bytes == 0 && blocks_bytes(heads, n, version, max, bytes) != 0) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "features: the reply is over the limit of %llu bytes",
                         (unsigned long long)max);
    }
    void *body;
    if (call_reserve(call, *bytes, &body) != 0) {
        return -1;
    }
    blocks_begin(writer, body, version);
    return 0;
}

int feature_done(struct call *call, size_t i, const struct feature *feature,
                 int rv, uint64_t unseen)
{
    if (rv == NB_ERR_UNSEEN) {
        return call_fail(call, RPC_NOT_FOUND,
                         "features[%zu].ids: an id is not in table '%.100s'", i,
                         feature->entry->name);
    }
    if (rv != 0) {
        return call_fail(call, RPC_INTERNAL, "features[%zu]: %s", i,
                         nb_strerror(rv));
    }
    const struct table_totals more = {
        .ids = feature->ids.n, .bags = feature->n_bags, .unseen = unseen};
    table_stats_add(feature->entry->stats, call->service->loop, &more);
    return 0;
}
