/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/admin/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/rpc_code.h"
#include "server/models/residency.h"
#include "server/request/status_fill.h"

/* Codes that a request may be answered with: all of them are told from the
 * start, so that the first error of a kind is a rise, too. */
static const uint32_t codes[] = {
    0,
#define CODE(number, name) RPC_##name,
#include "proto/codes.def"
#undef CODE
};

#define NS_A_SECOND 1e9

static void head(struct text_buf *text, const char *name, const char *type,
                 const char *help)
{
    text_buf_print(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                   type);
}

static void put_number(struct text_buf *text, const char *name,
                       const char *type, const char *help, uint64_t value)
{
    head(text, name, type, help);
    text_buf_print(text, "%s %" PRIu64 "\n", name, value);
}

static void put_seconds(struct text_buf *text, const char *name,
                        const char *type, const char *help, double value)
{
    head(text, name, type, help);
    text_buf_print(text, "%s %.15g\n", name, value);
}

/* ---- histograms ---------------------------------------------------------- */

/* Of ten buckets a decade, three are told: 1, 2.5 and 5. */
static bool is_told(size_t i)
{
    return i % 10 == 0 || i % 10 == 4 || i % 10 == 7;
}

/* `labels` is "" or ends with a comma. */
static void put_histogram(struct text_buf *text, const char *name,
                          const char *labels,
                          const struct duration_totals *totals)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < DURATION_BOUNDS; i++) {
        sum += totals->counts[i];
        if (is_told(i)) {
            text_buf_print(text, "%s_bucket{%sle=\"%.9g\"} %" PRIu64 "\n", name,
                           labels, (double)duration_bounds_ns[i] / NS_A_SECOND,
                           sum);
        }
    }
    sum += totals->counts[DURATION_BOUNDS];
    text_buf_print(text, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, labels,
                   sum);
    int n = (int)strlen(labels) - 1;
    const char *open = n > 0 ? "{" : "";
    const char *close = n > 0 ? "}" : "";
    text_buf_print(text, "%s_sum%s%.*s%s %.9g\n", name, open, n > 0 ? n : 0,
                   labels, close, (double)totals->sum_ns / NS_A_SECOND);
    text_buf_print(text, "%s_count%s%.*s%s %" PRIu64 "\n", name, open,
                   n > 0 ? n : 0, labels, close, sum);
}

/* ---- requests ------------------------------------------------------------ */

static void put_requests(struct text_buf *text, const struct totals *totals)
{
    head(text, "nibble_requests_total", "counter",
         "Requests answered, by method and code.");
    for (size_t i = 0; i < N_METHODS; i++) {
        for (size_t j = 0; j < sizeof(codes) / sizeof(codes[0]); j++) {
            text_buf_print(text,
                           "nibble_requests_total{method=\"%s\",code=\"%s\"} "
                           "%" PRIu64 "\n",
                           status_method_name(i), status_code_name(codes[j]),
                           totals->methods[i].codes[codes[j]]);
        }
    }
    head(text, "nibble_request_duration_seconds", "histogram",
         "From the arrival of a request to its answer being queued.");
    for (size_t i = 0; i < N_METHODS; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "method=\"%s\",",
                 status_method_name(i));
        put_histogram(text, "nibble_request_duration_seconds", labels,
                      &totals->methods[i].latency);
    }
}

static void put_network(struct text_buf *text, const struct totals *totals)
{
    put_number(text, "nibble_connections", "gauge", "Connections open now.",
               totals->connections);
    put_number(text, "nibble_connections_accepted_total", "counter",
               "Connections accepted.", totals->connections_accepted);
    put_number(text, "nibble_connections_refused_total", "counter",
               "Connections over the limit.", totals->connections_refused);
    put_number(text, "nibble_requests_in_line", "gauge",
               "Large requests that wait for their turn.", totals->in_line);
    put_number(text, "nibble_requests_in_pieces", "gauge",
               "Large requests of which a part is done.", totals->in_pieces);
    put_number(text, "nibble_requests_reading", "gauge",
               "Requests whose rows are being read from disk.",
               totals->reading);
    put_number(text, "nibble_put_off_total", "counter",
               "Times that requests waited for rows to be read from disk.",
               totals->put_off);
    put_number(text, "nibble_bad_frames_total", "counter",
               "Connections closed for broken or late frames.",
               totals->bad_frames);
    put_number(text, "nibble_received_bytes_total", "counter",
               "Bytes received.", totals->bytes_received);
    put_number(text, "nibble_sent_bytes_total", "counter", "Bytes sent.",
               totals->bytes_sent);
    put_number(text, "nibble_unsent_bytes", "gauge",
               "Bytes of replies that peers have not taken yet.",
               totals->unsent_bytes);
}

static void put_loops(struct text_buf *text,
                      const struct service_common *common,
                      const struct totals *totals)
{
    put_number(text, "nibble_buffer_bytes", "gauge",
               "Memory of requests being received and unsent replies.",
               atomic_load(&common->budget->used));
    put_number(text, "nibble_buffer_limit_bytes", "gauge",
               "The limit of that: --max-memory.", common->budget->max);
    put_number(text, "nibble_loops", "gauge", "Event loops.", common->n_loops);
    head(text, "nibble_loop_busy_seconds_total", "counter",
         "Time that a loop spent on what it read.");
    for (unsigned i = 0; i < common->n_loops; i++) {
        struct duration_totals turns = {0};
        durations_sum(&common->counters[i].turns, &turns);
        text_buf_print(text,
                       "nibble_loop_busy_seconds_total{loop=\"%u\"} %.9g\n", i,
                       (double)turns.sum_ns / NS_A_SECOND);
    }
    head(text, "nibble_loop_connections", "gauge",
         "Connections open now, by the loop that serves them.");
    for (unsigned i = 0; i < common->n_loops; i++) {
        text_buf_print(
            text, "nibble_loop_connections{loop=\"%u\"} %llu\n", i,
            (unsigned long long)counter_get(&common->counters[i].connections));
    }
    head(text, "nibble_loop_turn_duration_seconds", "histogram",
         "Turns of the loops: as long as a request may have waited.");
    put_histogram(text, "nibble_loop_turn_duration_seconds", "",
                  &totals->turns);
}

/* ---- tables -------------------------------------------------------------- */

/* Names are of letters, digits, '_', '.' and '-': labels as they are. */
typedef uint64_t table_value_fn(const struct table_entry *entry);

static uint64_t ids_of(const struct table_entry *entry)
{
    struct table_totals totals;
    table_stats_sum(entry->stats, &totals);
    return totals.ids;
}

static uint64_t bags_of(const struct table_entry *entry)
{
    struct table_totals totals;
    table_stats_sum(entry->stats, &totals);
    return totals.bags;
}

static uint64_t unseen_of(const struct table_entry *entry)
{
    struct table_totals totals;
    table_stats_sum(entry->stats, &totals);
    return totals.unseen;
}

static uint64_t rows_of(const struct table_entry *entry)
{
    return entry->rows->n_rows;
}

static uint64_t file_bytes_of(const struct table_entry *entry)
{
    return table_info(entry->table)->file_bytes;
}

static uint64_t resident_bytes_of(const struct table_entry *entry)
{
    return resident_bytes(entry->rows->base,
                          entry->rows->n_rows * entry->rows->stride);
}

static const struct {
    const char *name;
    const char *type;
    const char *help;
    table_value_fn *value;
} table_metrics[] = {
    {"nibble_table_ids_total", "counter", "Ids looked up or pooled.", ids_of},
    {"nibble_table_bags_total", "counter", "Bags pooled.", bags_of},
    {"nibble_table_unseen_ids_total", "counter",
     "Ids asked for that the table does not have.", unseen_of},
    {"nibble_table_rows", "gauge", "Rows of the table.", rows_of},
    {"nibble_table_file_bytes", "gauge", "Bytes of the file.", file_bytes_of},
    {"nibble_table_resident_bytes", "gauge",
     "Of the bytes of the rows, those in memory.", resident_bytes_of},
};

static void put_tables(struct text_buf *text, const struct catalog *catalog)
{
    for (size_t i = 0; i < sizeof(table_metrics) / sizeof(table_metrics[0]);
         i++) {
        head(text, table_metrics[i].name, table_metrics[i].type,
             table_metrics[i].help);
        for (size_t m = 0; m < catalog_n(catalog); m++) {
            const struct table_set *set = catalog_at(catalog, m)->tables;
            for (size_t t = 0; t < table_set_n(set); t++) {
                const struct table_entry *entry = table_set_at(set, t);
                text_buf_print(text,
                               "%s{model=\"%s\",table=\"%s\"} %" PRIu64 "\n",
                               table_metrics[i].name, table_set_model(set),
                               entry->name, table_metrics[i].value(entry));
            }
        }
    }
}

/* ---- models -------------------------------------------------------------- */

static double version_of(const struct catalog_entry *entry)
{
    return (double)table_set_version(entry->tables);
}

static double loaded_of(const struct catalog_entry *entry)
{
    return catalog_entry_is_served(entry) ? (double)(entry->n_kept + 1) : 0;
}

static double model_bytes_of(const struct catalog_entry *entry)
{
    return (double)catalog_entry_bytes(entry);
}

static double loads_of(const struct catalog_entry *entry)
{
    return (double)entry->reload.n_loads;
}

static double failures_of(const struct catalog_entry *entry)
{
    return (double)entry->reload.n_failures;
}

static double success_of(const struct catalog_entry *entry)
{
    return entry->reload.result != RELOAD_FAILED;
}

static double ended_of(const struct catalog_entry *entry)
{
    return (double)entry->reload.at_unix_ms / 1000;
}

static double took_of(const struct catalog_entry *entry)
{
    return (double)entry->reload.took_ms / 1000;
}

static const struct {
    const char *name;
    const char *type;
    const char *help;
    double (*value)(const struct catalog_entry *entry);
} model_metrics[] = {
    {"nibble_model_version", "gauge", "Version served; 0: none.", version_of},
    {"nibble_model_loaded_versions", "gauge",
     "Versions loaded, the served one too.", loaded_of},
    {"nibble_model_file_bytes", "gauge", "Bytes of the files loaded.",
     model_bytes_of},
    {"nibble_model_loads_total", "counter", "Versions loaded.", loads_of},
    {"nibble_model_load_failures_total", "counter",
     "Versions, or looks for one, that failed.", failures_of},
    {"nibble_model_reload_success", "gauge",
     "0: the last look for a version failed.", success_of},
    {"nibble_model_reload_timestamp_seconds", "gauge",
     "When that ended, since 1970; 0: not yet.", ended_of},
    {"nibble_model_reload_duration_seconds", "gauge", "How long that took.",
     took_of},
};

static void put_models(struct text_buf *text, const struct catalog *catalog)
{
    for (size_t i = 0; i < sizeof(model_metrics) / sizeof(model_metrics[0]);
         i++) {
        head(text, model_metrics[i].name, model_metrics[i].type,
             model_metrics[i].help);
        for (size_t m = 0; m < catalog_n(catalog); m++) {
            const struct catalog_entry *entry = catalog_at(catalog, m);
            text_buf_print(
                text, "%s{model=\"%s\"} %.15g\n", model_metrics[i].name,
                table_set_model(entry->tables), model_metrics[i].value(entry));
        }
    }
}

/* ---- the process --------------------------------------------------------- */

static uint64_t process_resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL) {
        return 0;
    }
    if (fscanf(statm, "%*u %llu", &pages) != 1) { /* NOLINT(cert-err34-c): of
                                                     the kernel */
        pages = 0;
    }
    fclose(statm);
    return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void put_process(struct text_buf *text,
                        const struct service_common *common)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    put_seconds(text, "process_start_time_seconds", "gauge",
                "When the server started, since 1970.",
                (double)common->started_unix_ms / 1000);
    put_seconds(
        text, "process_cpu_seconds_total", "counter", "Processor time used.",
        (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    put_number(text, "process_resident_memory_bytes", "gauge",
               "Resident memory, mapped tables too.", process_resident_bytes());
}

void metrics_write(const struct service_common *common,
                   const struct catalog *catalog, bool ready,
                   struct text_buf *text)
{
    struct totals totals;
    counters_sum(common->counters, common->n_loops, &totals);
    head(text, "nibble_build_info", "gauge", "Which server this is.");
    text_buf_print(text, "nibble_build_info{version=\"%s\",isa=\"%s\"} 1\n",
                   NB_VERSION_STRING, nb_isa());
    put_number(text, "nibble_ready", "gauge",
               "Is a version served, and the server not draining?", ready);
    put_requests(text, &totals);
    put_network(text, &totals);
    put_loops(text, common, &totals);
    put_models(text, catalog);
    put_tables(text, catalog);
    put_process(text, common);
}
