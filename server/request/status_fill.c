/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/status_fill.h"

#include <string.h>

#include "proto/rpc_code.h"

/* A message, the pointer to it, and what alignment costs. */
#define ROOM(type) (sizeof(type) + sizeof(void *) + (size_t)2 * ARENA_ALIGNMENT)
#define METHOD_BYTES                                                           \
    (ROOM(Nibble__V1__MethodStatus) + ROOM(Nibble__V1__DurationStatus) +       \
     N_CODES * ROOM(Nibble__V1__CodeStatus))
#define LOOP_BYTES ROOM(Nibble__V1__LoopStatus)
#define EVENT_BYTES                                                            \
    (ROOM(Nibble__V1__ReloadEvent) + ROOM(Nibble__V1__ReloadStatus))
#define MODEL_BYTES                                                            \
    (ROOM(Nibble__V1__ModelStatus) + ROOM(Nibble__V1__ReloadStatus) +          \
     (CATALOG_KEPT_MAX + 1) * sizeof(uint64_t) + (size_t)3 * ARENA_ALIGNMENT)
#define TABLE_BYTES (ROOM(Nibble__V1__TableStatus))

/* ---- models -------------------------------------------------------------- */

static int take(struct arena *arena, size_t n, size_t bytes, void **memory)
{
    void *array = arena_array(arena, n, bytes);
    if (array == NULL) {
        return NB_ERR_NOMEM;
    }
    memset(array, 0, n * bytes);
    *memory = array;
    return 0;
}

/* An array of pointers to n zeroed elements, as protobuf-c wants it. */
static int pointers(struct arena *arena, size_t n, size_t bytes, void *array)
{
    void *elements;
    void **to;
    if (take(arena, n, bytes, &elements) != 0 ||
        take(arena, n, sizeof(*to), (void **)&to) != 0) {
        return NB_ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t *)elements + i * bytes;
    }
    *(void ***)array = to;
    return 0;
}

static void fill_table(const struct table_set *set, size_t i,
                       Nibble__V1__TableStatus *status)
{
    const struct table_entry *entry = table_set_at(set, i);
    const struct nb_format *format = &entry->rows->format;
    const char *codec = nb_codec_name(format->codec);
    nibble__v1__table_status__init(status);
    status->name = entry->name;
    status->codec = (char *)(codec != NULL ? codec : "");
    status->scales = format->scales == NB_SCALES_FP16 ? "fp16" : "fp32";
    status->rows = entry->rows->n_rows;
    status->dim = format->dim;
    status->row_bytes = (uint32_t)entry->row_bytes;
    status->file_bytes = table_info(entry->table)->file_bytes;
    struct table_totals totals;
    table_stats_sum(entry->stats, &totals);
    status->ids = totals.ids;
    status->bags = totals.bags;
    status->unseen = totals.unseen;
    status->residency =
        (char *)table_residency_at(table_residency(entry->table));
}

static int fill_loaded(struct arena *arena, const struct catalog_entry *entry,
                       Nibble__V1__ModelStatus *model)
{
    void *versions;
    if (!catalog_entry_is_served(entry)) {
        return 0;
    }
    if (take(arena, entry->n_kept + 1, sizeof(*model->loaded), &versions) !=
        0) {
        return NB_ERR_NOMEM;
    }
    model->loaded = versions;
    model->n_loaded = entry->n_kept + 1;
    model->loaded[0] = table_set_version(entry->tables);
    for (size_t i = 0; i < entry->n_kept; i++) {
        model->loaded[i + 1] = table_set_version(entry->kept[i]);
    }
    return 0;
}

static int fill_reload(struct arena *arena, const struct catalog_reload *from,
                       Nibble__V1__ReloadStatus **reload)
{
    void *memory;
    if (from->result == RELOAD_NONE) {
        return 0;
    }
    if (take(arena, 1, sizeof(**reload), &memory) != 0) {
        return NB_ERR_NOMEM;
    }
    Nibble__V1__ReloadStatus *to = memory;
    nibble__v1__reload_status__init(to);
    to->result = (char *)catalog_result_name(from->result);
    to->version = from->version;
    to->reason = (char *)from->reason;
    to->at_unix_ms = from->at_unix_ms;
    to->took_ms = from->took_ms;
    to->loads = from->n_loads;
    to->failures = from->n_failures;
    *reload = to;
    return 0;
}

static int fill_model(struct arena *arena, const struct catalog_entry *entry,
                      Nibble__V1__ModelStatus *model)
{
    const struct table_set *set = entry->tables;
    nibble__v1__model_status__init(model);
    model->name = (char *)table_set_model(set);
    model->version = table_set_version(set);
    model->choice = (char *)catalog_choice_name(entry->choice);
    if (fill_loaded(arena, entry, model) != 0 ||
        fill_reload(arena, &entry->reload, &model->reload) != 0) {
        return NB_ERR_NOMEM;
    }
    model->n_tables = table_set_n(set);
    if (pointers(arena, model->n_tables, sizeof(**model->tables),
                 &model->tables) != 0) {
        return NB_ERR_NOMEM;
    }
    for (size_t i = 0; i < model->n_tables; i++) {
        fill_table(set, i, model->tables[i]);
    }
    return 0;
}

/* All of them, or `only` one. */
static int fill_models(struct arena *arena, const struct status_source *source,
                       Nibble__V1__StatusReply *reply)
{
    const struct catalog *catalog = source->catalog;
    const struct catalog_entry *only = source->only;
    reply->n_models = only != NULL ? 1 : catalog_n(catalog);
    int rv = pointers(arena, reply->n_models, sizeof(**reply->models),
                      &reply->models);
    for (size_t i = 0; i < reply->n_models && rv == 0; i++) {
        rv = fill_model(arena, only != NULL ? only : catalog_at(catalog, i),
                        reply->models[i]);
    }
    return rv;
}

static int fill_reloads(struct arena *arena, const struct catalog *catalog,
                        Nibble__V1__StatusReply *reply)
{
    reply->n_reloads = catalog_n_events(catalog);
    int rv = pointers(arena, reply->n_reloads, sizeof(**reply->reloads),
                      &reply->reloads);
    for (size_t i = 0; i < reply->n_reloads && rv == 0; i++) {
        const struct catalog_event *event = catalog_event_at(catalog, i);
        nibble__v1__reload_event__init(reply->reloads[i]);
        reply->reloads[i]->model = (char *)event->model;
        rv = fill_reload(arena, &event->reload, &reply->reloads[i]->reload);
    }
    return rv;
}

/* ---- counters ------------------------------------------------------------ */

/* Points into `totals`. */
static int fill_durations(struct arena *arena, struct duration_totals *totals,
                          Nibble__V1__DurationStatus **durations)
{
    void *memory;
    if (take(arena, 1, sizeof(**durations), &memory) != 0) {
        return NB_ERR_NOMEM;
    }
    *durations = memory;
    nibble__v1__duration_status__init(*durations);
    (*durations)->n_counts = DURATION_BUCKETS;
    (*durations)->counts = totals->counts;
    (*durations)->sum_ns = totals->sum_ns;
    return 0;
}

static int fill_codes(struct arena *arena, const uint64_t codes[N_CODES],
                      Nibble__V1__MethodStatus *method)
{
    if (pointers(arena, N_CODES, sizeof(**method->codes), &method->codes) !=
        0) {
        return NB_ERR_NOMEM;
    }
    for (uint32_t code = 0; code < N_CODES; code++) {
        if (codes[code] != 0) {
            Nibble__V1__CodeStatus *to = method->codes[method->n_codes++];
            nibble__v1__code_status__init(to);
            to->code = code;
            to->name = (char *)status_code_name(code);
            to->requests = codes[code];
        }
    }
    return 0;
}

static int fill_methods(struct arena *arena, struct totals *totals,
                        Nibble__V1__StatusReply *reply)
{
    int rv =
        pointers(arena, N_METHODS, sizeof(**reply->methods), &reply->methods);
    for (size_t i = 0; i < N_METHODS && rv == 0; i++) {
        Nibble__V1__MethodStatus *method = reply->methods[i];
        nibble__v1__method_status__init(method);
        method->name = (char *)status_method_name(i);
        method->requests = totals->methods[i].requests;
        method->errors = totals->methods[i].errors;
        method->expired = totals->methods[i].expired;
        rv = fill_codes(arena, totals->methods[i].codes, method);
        if (rv == 0) {
            rv = fill_durations(arena, &totals->methods[i].latency,
                                &method->latency);
        }
    }
    reply->n_methods = rv == 0 ? N_METHODS : 0;
    return rv;
}

static int fill_loops(struct arena *arena, const struct service_common *common,
                      Nibble__V1__StatusReply *reply)
{
    int rv = pointers(arena, common->n_loops, sizeof(**reply->per_loop),
                      &reply->per_loop);
    if (rv != 0) {
        return rv;
    }
    reply->n_per_loop = common->n_loops;
    for (unsigned i = 0; i < common->n_loops; i++) {
        Nibble__V1__LoopStatus *loop = reply->per_loop[i];
        struct totals totals;
        counters_sum(&common->counters[i], 1, &totals);
        nibble__v1__loop_status__init(loop);
        loop->connections = totals.connections;
        loop->busy_ns = totals.turns.sum_ns;
        for (size_t method = 0; method < N_METHODS; method++) {
            loop->requests += totals.methods[method].requests;
        }
    }
    return 0;
}

static int fill_counters(struct arena *arena,
                         const struct service_common *common,
                         Nibble__V1__StatusReply *reply)
{
    void *memory;
    int rv = take(arena, 1, sizeof(struct totals), &memory);
    if (rv != 0) {
        return rv;
    }
    struct totals *totals = memory;
    counters_sum(common->counters, common->n_loops, totals);
    reply->connections = totals->connections;
    reply->connections_accepted = totals->connections_accepted;
    reply->connections_refused = totals->connections_refused;
    reply->bytes_received = totals->bytes_received;
    reply->bytes_sent = totals->bytes_sent;
    reply->unsent_bytes = totals->unsent_bytes;
    reply->bad_frames = totals->bad_frames;
    reply->in_line = totals->in_line;
    reply->in_pieces = totals->in_pieces;
    reply->reading = totals->reading;
    rv = fill_methods(arena, totals, reply);
    if (rv == 0) {
        rv = fill_durations(arena, &totals->turns, &reply->turns);
    }
    return rv;
}

/* ---- the whole ----------------------------------------------------------- */

int status_fill(const struct status_source *source, struct arena *arena,
                Nibble__V1__StatusReply *reply)
{
    const struct service_common *common = source->common;
    nibble__v1__status_reply__init(reply);
    reply->server_version = NB_VERSION_STRING;
    reply->uptime_ms = (source->now_ns - common->started_ns) / 1000000;
    reply->isa = (char *)nb_isa();
    reply->loops = common->n_loops;
    reply->draining = atomic_load(&common->draining);
    reply->buffer_bytes = atomic_load(&common->budget->used);
    reply->buffer_bytes_max = common->budget->max;
    reply->n_duration_bounds_ns = DURATION_BOUNDS;
    reply->duration_bounds_ns = (uint64_t *)duration_bounds_ns;
    int rv = fill_counters(arena, common, reply);
    if (rv == 0) {
        rv = fill_loops(arena, common, reply);
    }
    if (rv == 0) {
        rv = fill_models(arena, source, reply);
    }
    return rv == 0 ? fill_reloads(arena, source->catalog, reply) : rv;
}

const char *status_method_name(size_t method)
{
    static const char *const names[N_METHODS] = {
#define METHOD(id, name, max_request_bytes) [METHOD_##name] = #name,
#include "proto/methods.def"
#undef METHOD
    };
    return names[method];
}

const char *status_code_name(uint32_t code)
{
    return code == 0 ? "OK" : rpc_code_name(code);
}

size_t status_arena_bytes(const struct service_common *common,
                          const struct catalog *catalog)
{
    size_t bytes = sizeof(struct totals) + N_METHODS * METHOD_BYTES +
                   common->n_loops * LOOP_BYTES + CATALOG_EVENTS * EVENT_BYTES +
                   4096;
    for (size_t i = 0; i < catalog_n(catalog); i++) {
        bytes += MODEL_BYTES +
                 TABLE_BYTES * table_set_n(catalog_at(catalog, i)->tables);
    }
    return bytes;
}
