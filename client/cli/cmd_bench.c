/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/bench/table_maker.h"
#include "client/cli/bench_args.h"
#include "client/cli/bench_compare.h"
#include "client/cli/bench_report.h"
#include "client/cli/bench_session.h"
#include "client/cli/bench_steps.h"
#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"
#include "client/cli/progress_line.h"

/* ---- tables ----------------------------------------------------------- */

static void show_rows(void *arg, uint64_t rows, uint64_t total)
{
    const struct progress progress = {.rows = rows, .rows_total = total};
    progress_line_show(arg, &progress);
}

static int print_made(const struct bench_args *args,
                      const struct table_maker_options *made, uint64_t version)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < made->n_tables; i++) {
        rows += made->tables[i].rows;
    }
    if (!args->query.json) {
        printf("published %s/%s/%" PRIu64 ": %s, %s\n", made->repo, made->model,
               version, text_counted(made->n_tables, "table").text,
               text_counted(rows, "row").text);
        return COMMAND_DONE;
    }
    json_t *object = json_object();
    json_put(&object, "repo", json_text(made->repo));
    json_put(&object, "model", json_text(made->model));
    json_put(&object, "version", json_count(version));
    json_put(&object, "tables", json_count(made->n_tables));
    json_put(&object, "rows", json_count(rows));
    return json_line_print("bench", object);
}

static bool *stop_flag; /* of a session, while signals are caught */

static void on_signal(int number)
{
    (void)number;
    __atomic_store_n(stop_flag, true, __ATOMIC_RELAXED);
}

/* The first signal ends the work early, a second one the program. */
static void catch_signals(bool *flag)
{
    const struct sigaction action = {.sa_handler = on_signal,
                                     .sa_flags = (int)SA_RESETHAND};
    stop_flag = flag;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int make_tables(const struct bench_args *args)
{
    const struct profile *profile = profile_by_name(args->make_tables);
    struct nb_errctx err = {""};
    struct made_table *tables = NULL;
    char *names = NULL;
    int rv = table_maker_profile(profile, args->scale, args->codec, &tables,
                                 &names, &err);
    if (rv != 0) {
        return command_fail("bench", rv, &err);
    }
    struct progress_line line;
    static bool stop;
    const struct table_maker_options options = {
        .repo = args->repo,
        .model = args->model != NULL ? args->model : profile->name,
        .tables = tables,
        .n_tables = profile->n_tables,
        .seed = args->seed,
        .progress = show_rows,
        .progress_arg = &line,
        .stop = &stop,
    };
    uint64_t version = 0;
    catch_signals(&stop);
    progress_line_begin(&line, "making tables");
    rv = table_maker_publish(&options, &version, &err);
    progress_line_end(&line);
    int status = rv == 0 ? print_made(args, &options, version)
                         : command_fail("bench", rv, &err);
    free(tables);
    free(names);
    return status;
}

/* ---- loads ------------------------------------------------------------ */

static int write_files(const struct bench_session *session,
                       const struct bench_steps *steps, struct nb_errctx *err)
{
    const struct bench_args *args = session->args;
    int rv = 0;
    if (args->output != NULL) {
        rv = bench_report_write(bench_report_json(session, steps), args->output,
                                err);
    }
    if (rv == 0 && args->svg != NULL) {
        rv = bench_report_draw(session, steps, args->svg, err);
    }
    return rv;
}

/* A report there is whatever failed; the status says if all was well. */
static int report(const struct bench_session *session,
                  const struct bench_steps *steps)
{
    const struct bench_args *args = session->args;
    struct nb_errctx err = {""};
    int status = COMMAND_DONE;
    if (args->query.json) {
        status = json_line_print("bench", bench_report_json(session, steps));
    } else {
        bench_report_print(session, steps);
    }
    int rv = write_files(session, steps, &err);
    if (rv != 0) {
        return command_fail("bench", rv, &err);
    }
    uint64_t n_errors = 0;
    for (size_t i = 0; i < steps->n; i++) {
        n_errors += load_result_errors(steps->steps[i].result);
    }
    if (n_errors > 0) {
        nb_fail(&err, 0, "%s", text_counted(n_errors, "error").text);
        return command_fail("bench", NB_ERR_REMOTE, &err);
    }
    if (session->stop) {
        nb_fail(&err, 0, "ended early by a signal");
        return command_fail("bench", -EINTR, &err);
    }
    if (args->slo_share > 0 && steps->highest <= 0) {
        nb_fail(&err, 0, "%s holds at no rate%s", args->slo_text,
                steps->client_limited ? " that the client could ask" : "");
        return command_fail("bench", NB_ERR_NOT_FOUND, &err);
    }
    return status;
}

static int run_load(const struct bench_args *args)
{
    struct nb_errctx err = {""};
    struct bench_session session;
    int rv = bench_report_check_path(args->output, &err);
    if (rv == 0) {
        rv = bench_report_check_path(args->svg, &err);
    }
    if (rv == 0) {
        rv = bench_session_open(&session, args, &err);
    }
    if (rv != 0) {
        return command_fail("bench", rv, &err);
    }
    catch_signals(&session.stop);
    struct bench_steps steps;
    rv = bench_session_publish(&session, &err);
    if (rv != 0) {
        bench_session_close(&session);
        return command_fail("bench", rv, &err);
    }
    rv = bench_steps_run(&session, &steps, &err);
    struct nb_errctx why;
    int publishing = bench_session_settle(&session, &why);
    int status =
        rv == 0 ? report(&session, &steps) : command_fail("bench", rv, &err);
    if (publishing != 0) {
        status = command_fail("bench", publishing, &why);
    }
    bench_steps_fini(&steps);
    bench_session_close(&session);
    return status;
}

int cmd_bench(int argc, char **argv)
{
    struct bench_args args;
    int status;
    if (!bench_args_parse(argc, argv, &args, &status)) {
        return status;
    }
    if (args.compare) {
        return bench_compare(args.operands.items[0], args.operands.items[1],
                             args.query.json);
    }
    return args.make_tables != NULL ? make_tables(&args) : run_load(&args);
}
