/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_report.h"
#include "client/cli/json_line.h"
#include "client/cli/machine.h"
#include "storage/io/atomic_file.h"

#define REPORT_FORMAT 1

static void put_asked(json_t **object, const char *key, const char *text)
{
    json_put(object, key, text != NULL ? json_text(text) : json_null());
}

static json_t *parameters_json(const struct bench_session *session)
{
    const struct bench_args *args = session->args;
    const struct workload *workload = &session->workload;
    const struct load_options *load = &session->load;
    bool open = load->rate > 0;
    json_t *object = json_object();
    json_put(&object, "profile",
             args->profile != NULL ? json_text(args->profile) : json_null());
    json_put(&object, "method",
             json_text(workload_is_pool(workload) ? "pool" : "lookup"));
    json_put(&object, "mode", json_text(bench_pooling_at(workload->pooling)));
    json_put(&object, "dtype", json_text(query_dtype_at(workload->dtype)));
    json_put(&object, "samples", json_count(workload->samples));
    json_put(&object, "ids_per_request", json_count(workload->n_ids));
    json_put(&object, "ids", json_text(args->ids));
    json_put(&object, "seed", json_count(args->seed));
    json_put(&object, "request_mib", json_count(args->request_mib));
    json_put(&object, "loop", json_text(open ? "open" : "closed"));
    json_put(&object, "arrivals",
             open ? json_text(bench_arrivals_at(load->arrivals)) : json_null());
    put_asked(&object, "rate", args->rate_text);
    put_asked(&object, "ramp", args->ramp_text);
    json_put(&object, "connections", json_count(load->connections));
    json_put(&object, "depth", json_count(load->depth));
    json_put(&object, "threads", json_count(load->threads));
    json_put(&object, "duration_s", json_number(args->duration_s));
    json_put(&object, "warm_up_s", json_number(args->warmup_s));
    json_put(&object, "timeout_ms", json_count(load->timeout_ms));
    json_put(&object, "verify", json_boolean(args->verify));
    json_put(&object, "during",
             args->during != NULL ? json_text(args->during) : json_null());
    json_put(&object, "every_s", json_number(args->every_s));
    json_put(&object, "slo",
             args->slo_text != NULL ? json_text(args->slo_text) : json_null());
    return object;
}

static json_t *tables_json(const struct workload *workload)
{
    json_t *list = json_array();
    for (size_t i = 0; i < workload->n_tables; i++) {
        const struct workload_table *table = &workload->tables[i];
        json_t *object = json_object();
        json_put(&object, "name", json_text(table->name));
        json_put(&object, "rows", json_count(table->rows));
        json_put(&object, "dim", json_count(table->dim));
        json_put(&object, "ids_per_bag", json_count(table->bag));
        json_append(&list, object);
    }
    return list;
}

static json_t *times_json(const struct histogram *histogram)
{
    json_t *object = json_object();
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        double ns = (double)histogram_at(histogram, bench_percentiles[i].share);
        json_put(&object, bench_percentiles[i].name, json_number(ns * 1e-3));
    }
    json_put(&object, "max", json_number((double)histogram->most * 1e-3));
    json_put(&object, "min", json_number((double)histogram->least * 1e-3));
    json_put(&object, "mean", json_number(histogram_mean(histogram) * 1e-3));
    return object;
}

static json_t *errors_json(const struct load_result *result)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < LOAD_ERROR_KINDS; i++) {
        if (result->errors[i] > 0) {
            json_put(&object, load_error_name(i),
                     json_count(result->errors[i]));
        }
    }
    return object;
}

static void put_rates(json_t **object, const struct bench_session *session,
                      const struct bench_step *step)
{
    const struct load_result *result = step->result;
    double wall_s = result->wall_s > 0 ? result->wall_s : 1;
    double rate = (double)result->n_replies / wall_s;
    json_put(object, "offered_per_s",
             step->offered > 0 ? json_number(step->offered) : json_null());
    json_put(object, "achieved_per_s", json_number(rate));
    json_put(object, "ids_per_s",
             json_number(rate * (double)session->workload.n_ids));
    json_put(object, "received_bytes_per_s",
             json_number((double)result->bytes_received / wall_s));
    json_put(object, "measured_s", json_number(result->wall_s));
    json_put(object, "requests", json_count(result->n_requests));
    json_put(object, "replies", json_count(result->n_replies));
}

static json_t *step_json(const struct bench_session *session,
                         const struct bench_step *step)
{
    const struct load_result *result = step->result;
    const char *doubt = bench_step_doubt(step);
    json_t *object = json_object();
    put_rates(&object, session, step);
    json_put(&object, "latency_us", times_json(&result->latency));
    json_put(&object, "service_us", times_json(&result->service));
    if (step->offered > 0) {
        json_put(&object, "send_delay_us", times_json(&result->delay));
        json_put(&object, "late_sends", json_count(result->n_late));
        json_put(&object, "late_held", json_count(result->n_held));
        json_put(&object, "not_sent", json_count(result->n_unsent));
    }
    json_put(&object, "errors", errors_json(result));
    json_put(&object, "first_error",
             result->first_error.text[0] != '\0'
                 ? json_text(result->first_error.text)
                 : json_null());
    json_put(&object, "verified", json_count(result->n_verified));
    json_put(&object, "unseen", json_count(result->n_unseen));
    json_put(&object, "reconnects", json_count(result->n_reconnects));
    json_put(&object, "failed_dials", json_count(result->n_failed_dials));
    json_put(&object, "version_least", json_count(result->versions_least));
    json_put(&object, "version_most", json_count(result->versions_most));
    json_put(
        &object, "client_core_share",
        json_number(result->wall_s > 0 ? result->busy_s / result->wall_s : 0));
    json_put(&object, "client_busiest_share",
             json_number(result->busiest_share));
    json_put(&object, "client_waiting_share",
             json_number(result->waiting_share));
    json_put(&object, "client_held_up_share",
             json_number(result->held_up_share));
    json_put(&object, "warning",
             doubt != NULL ? json_text(doubt) : json_null());
    if (session->args->slo_share > 0) {
        json_put(&object, "meets_slo",
                 json_boolean(step->verdict == RATE_HELD));
        json_put(&object, "limited_by_client",
                 json_boolean(step->verdict == RATE_UNTRIED));
    }
    return object;
}

json_t *bench_report_json(const struct bench_session *session,
                          const struct bench_steps *steps)
{
    struct machine machine;
    machine_read(&machine);
    json_t *list = json_array();
    for (size_t i = 0; i < steps->n; i++) {
        json_append(&list, step_json(session, &steps->steps[i]));
    }
    json_t *object = json_object();
    json_put(&object, "report", json_text("nibble bench"));
    json_put(&object, "format", json_integer(REPORT_FORMAT));
    json_put(&object, "client_version", json_text(nb_version()));
    json_put(&object, "server", json_text(session->args->query.server));
    json_put(&object, "server_version", json_text(session->server_version));
    json_put(&object, "model", json_text(session->workload.model));
    json_put(&object, "machine", machine_json(&machine));
    json_put(&object, "options", bench_args_json(session->args));
    json_put(&object, "parameters", parameters_json(session));
    json_put(&object, "tables", tables_json(&session->workload));
    json_put(&object, "steps", list);
    json_put(&object, "published", json_count(session->reloads.n_published));
    json_put(&object, "served_after",
             session->reloads.served != 0 ? json_count(session->reloads.served)
                                          : json_null());
    json_put(&object, "ended_early", json_boolean(session->stop));
    if (session->args->slo_share > 0) {
        json_put(&object, "highest_per_s",
                 steps->highest > 0 ? json_number(steps->highest)
                                    : json_null());
        json_put(&object, "limited_by_client",
                 json_boolean(steps->client_limited));
    }
    return object;
}

int bench_report_check_path(const char *path, struct nb_errctx *err)
{
    struct atomic_file *file = NULL;
    int rv = path != NULL ? atomic_file_create(path, &file, err) : 0;
    atomic_file_destroy(file);
    return rv;
}

int bench_report_write(json_t *report, const char *path, struct nb_errctx *err)
{
    const size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(9);
    char *text = report != NULL ? json_dumps(report, flags) : NULL;
    json_decref(report);
    if (text == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%.200s: out of memory", path);
    }
    struct atomic_file *file = NULL;
    int rv = atomic_file_create(path, &file, err);
    if (rv == 0) {
        rv = atomic_file_write(file, text, strlen(text), 0, err);
        if (rv == 0) {
            rv = atomic_file_commit(file, err);
        }
        atomic_file_destroy(file);
    }
    free(text);
    return rv;
}
