/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/bench_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/machine.h"

const struct bench_percentile bench_percentiles[BENCH_PERCENTILES] = {
    {"p50", 0.5},  {"p90", 0.9},     {"p95", 0.95},
    {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999},
};

/* "12.3 us", three digits */
static struct cli_text text_ns(double ns)
{
    struct cli_text made;
    if (ns < 999.5e3) {
        snprintf(made.text, sizeof(made.text), "%.3g us", ns * 1e-3);
    } else if (ns < 999.5e6) {
        snprintf(made.text, sizeof(made.text), "%.3g ms", ns * 1e-6);
    } else {
        snprintf(made.text, sizeof(made.text), "%.3g s", ns * 1e-9);
    }
    return made;
}

static double per_second(const struct load_result *result, uint64_t n)
{
    return result->wall_s > 0 ? (double)n / result->wall_s : 0;
}

static struct cli_text text_per_second(double rate)
{
    struct cli_text made;
    if (rate < 100) {
        snprintf(made.text, sizeof(made.text), "%.3g", rate);
        return made;
    }
    return text_count((uint64_t)(rate + 0.5));
}

/* ---- what was asked --------------------------------------------------- */

static void print_requests(const struct bench_session *session)
{
    const struct bench_args *args = session->args;
    const struct workload *workload = &session->workload;
    size_t n_distinct = 0;
    for (uint64_t i = 0; i < args->threads; i++) {
        n_distinct += session->sets[i].n;
    }
    printf("requests    %s: %s%s of %s, %s a request, %s\n",
           args->profile != NULL ? args->profile : "tables given",
           workload_is_pool(workload) ? bench_pooling_at(workload->pooling)
                                      : "lookup",
           workload_is_pool(workload) ? "s" : "",
           text_counted(workload->n_tables, "table").text,
           text_counted(workload->n_ids, "id").text,
           query_dtype_at(workload->dtype));
    printf("ids         %s, seed %" PRIu64 ", %s, repeated\n",
           text_foreign(args->ids).text, args->seed,
           text_counted(n_distinct, "distinct request").text);
}

static void print_load(const struct bench_session *session)
{
    const struct load_options *load = &session->load;
    bool open = load->rate > 0;
    printf("load        %s%s, %s of %s each, %s, %s",
           open ? "open loop, " : "closed loop",
           open ? bench_arrivals_at(load->arrivals) : "",
           text_counted(load->connections, "connection").text,
           text_counted(load->depth, "request").text,
           text_counted(load->threads, "thread").text,
           text_duration(session->args->duration_s).text);
    printf(" after %s of warm-up\n",
           text_duration(session->args->warmup_s).text);
}

static void print_surroundings(const struct bench_session *session)
{
    struct machine machine;
    machine_read(&machine);
    printf("server      %s, nibbled %s, model %s\n",
           text_foreign(session->args->query.server).text,
           text_foreign(session->server_version).text,
           text_foreign(session->workload.model).text);
    printf("client      nibble %s, %s, %s, %s\n", nb_version(),
           machine.processor,
           text_counted((uint64_t)machine.n_processors, "processor").text,
           machine.system);
}

/* ---- what came of it -------------------------------------------------- */

static void print_times(const char *what, const struct histogram *histogram)
{
    printf("  %-12s", what);
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        printf("%10s", text_ns((double)histogram_at(histogram,
                                                    bench_percentiles[i].share))
                           .text);
    }
    printf("%10s%10s\n", text_ns((double)histogram->most).text,
           text_ns(histogram_mean(histogram)).text);
}

static void print_rates(const struct bench_session *session,
                        const struct bench_step *step)
{
    const struct load_result *result = step->result;
    double rate = per_second(result, result->n_replies);
    printf("\n%s requests/s", text_per_second(rate).text);
    if (step->offered > 0) {
        printf(" of %s offered", text_per_second(step->offered).text);
    }
    printf(", %s ids/s, %.1f MB/s received\n",
           text_per_second(rate * (double)session->workload.n_ids).text,
           per_second(result, result->bytes_received) * 1e-6);
}

static void print_late(const struct load_result *result)
{
    printf("  late sends  %s of %s were sent 1 ms late or later: %s because "
           "no connection had room, %s by the client\n",
           text_count(result->n_late).text, text_count(result->n_requests).text,
           text_count(result->n_held).text,
           text_count(result->n_late - result->n_held).text);
    if (result->n_unsent > 0) {
        printf("  not sent    %s were due, but not sent by the end: their wait "
               "until then is in the latency\n",
               text_counted(result->n_unsent, "request").text);
    }
}

static void print_errors(const struct load_result *result)
{
    for (unsigned i = 0; i < LOAD_ERROR_KINDS; i++) {
        if (result->errors[i] > 0) {
            printf("  errors      %s: %s\n", load_error_name(i),
                   text_count(result->errors[i]).text);
        }
    }
    if (load_result_errors(result) > 0) {
        struct cli_text first = text_foreign(result->first_error.text);
        printf("  first       %s\n", first.text);
    } else {
        printf("  errors      none\n");
    }
}

static void print_reconnects(const struct load_result *result)
{
    if (result->n_reconnects > 0 || result->n_failed_dials > 0) {
        printf("  reconnects  %s, besides %s that failed\n",
               text_count(result->n_reconnects).text,
               text_counted(result->n_failed_dials, "dial").text);
    }
}

static void print_verified(const struct bench_session *session,
                           const struct load_result *result)
{
    if (session->check != NULL) {
        printf("  verified    %s replies to the bit, warm-up included\n",
               text_count(result->n_verified).text);
    }
    if (result->versions_least != result->versions_most) {
        printf("  versions    %" PRIu64 " to %" PRIu64 " of the model\n",
               result->versions_least, result->versions_most);
    }
    if (result->n_unseen > 0) {
        printf("  unseen      %s not in their tables\n",
               text_counted(result->n_unseen, "id").text);
    }
}

static void print_step(const struct bench_session *session,
                       const struct bench_step *step)
{
    const struct load_result *result = step->result;
    const char *doubt = bench_step_doubt(step);
    print_rates(session, step);
    printf("  %-12s", "");
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        printf("%10s", bench_percentiles[i].name);
    }
    printf("%10s%10s\n", "max", "mean");
    print_times("latency", &result->latency);
    print_times("service", &result->service);
    if (step->offered > 0) {
        print_times("send delay", &result->delay);
        print_late(result);
    }
    print_errors(result);
    print_reconnects(result);
    print_verified(session, result);
    printf("  client      %.1f %% of a core, %.1f %% by the busiest thread; "
           "waited for a core %.1f %% of the time\n",
           result->wall_s > 0 ? 100 * result->busy_s / result->wall_s : 0,
           100 * result->busiest_share, 100 * result->waiting_share);
    if (doubt != NULL) {
        printf("  warning     %s\n", doubt);
    }
}

static void print_search(const struct bench_session *session,
                         const struct bench_steps *steps)
{
    const char *slo = session->args->slo_text;
    if (steps->highest > 0) {
        bool more = session->stop || steps->client_limited;
        printf("\n%s holds %s %s requests/s\n", slo,
               more ? "at least up to" : "up to",
               text_per_second(steps->highest).text);
    } else if (session->stop) {
        printf("\n%s: ended before it held at any rate\n", slo);
    } else {
        printf("\n%s holds at no rate%s of those of %.6g requests/s and more, "
               "at which a step has enough requests to tell\n",
               slo, steps->client_limited ? " that the client could ask" : "",
               bench_slo_least_rate(session->args));
    }
    if (steps->client_limited) {
        printf("above that the client was the limit: what the server holds "
               "is not known\n");
    }
}

static void print_published(const struct reloader_report *reloads)
{
    if (reloads->n_published == 0) {
        return;
    }
    printf("\n%s published meanwhile, the last was %" PRIu64,
           text_counted(reloads->n_published, "version").text,
           reloads->last_version);
    if (reloads->served != 0) {
        printf("; deleted again, version %" PRIu64 " is served",
               reloads->served);
    }
    printf("\n");
}

void bench_report_print(const struct bench_session *session,
                        const struct bench_steps *steps)
{
    printf("given      ");
    bench_args_print(session->args);
    printf("\n");
    print_requests(session);
    print_load(session);
    print_surroundings(session);
    for (size_t i = 0; i < steps->n; i++) {
        print_step(session, &steps->steps[i]);
    }
    if (session->args->slo_share > 0) {
        print_search(session, steps);
    }
    print_published(&session->reloads);
}
