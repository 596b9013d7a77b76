/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/bench_session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/frame.h"

#define OPEN_LOOP_DEPTH 64u

static int ask_server(struct bench_session *session, struct nb_errctx *err)
{
    struct nb_client *client = NULL;
    int rv = query_connect(&session->args->query, &client, err);
    if (rv == 0) {
        rv = workload_ask(&session->workload, client, session->server_version,
                          err);
    }
    nb_client_close(client);
    return rv;
}

static int shape_workload(struct bench_session *session, struct nb_errctx *err)
{
    const struct bench_args *args = session->args;
    const struct workload_options options = {
        .model = args->model,
        .method = args->lookup ? FRAME_METHOD_lookup : FRAME_METHOD_pool,
        .dtype = args->query.dtype,
        .pooling = args->pooling,
        .samples = (uint32_t)args->samples,
    };
    int rv =
        args->profile != NULL
            ? workload_of_profile(profile_by_name(args->profile), &options,
                                  &session->workload, err)
            : workload_of_list(args->tables, &options, &session->workload, err);
    return rv == 0 ? ask_server(session, err) : rv;
}

static int read_trace(struct bench_session *session, struct nb_errctx *err)
{
    session->choice = session->args->choice;
    if (session->args->trace == NULL) {
        return 0;
    }
    int rv = id_list_read(session->args->trace, &session->trace, err);
    if (rv == 0 && session->trace.n == 0) {
        rv = nb_fail(err, NB_ERR_INVALID, "%.200s: no ids",
                     session->args->trace);
    }
    session->choice.trace = session->trace.ids;
    session->choice.n_trace = session->trace.n;
    return rv;
}

static int make_requests(struct bench_session *session, struct nb_errctx *err)
{
    const struct bench_args *args = session->args;
    unsigned n = (unsigned)args->threads;
    session->sets = calloc(n, sizeof(*session->sets));
    if (session->sets == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "requests of %u threads", n);
    }
    int rv = 0;
    for (unsigned i = 0; rv == 0 && i < n; i++) {
        const struct request_set_options options = {
            .workload = &session->workload,
            .choice = &session->choice,
            .seed = args->seed,
            .thread = i,
            .n_threads = n,
            .bytes = (size_t)(args->request_mib << 20) / n,
            .timeout_ms = (uint32_t)args->query.timeout_ms,
            .keep_ids = args->verify,
        };
        rv = request_set_init(&session->sets[i], &options, err);
    }
    return rv;
}

/* "TABLE=FILE.nbt" to its parts, in place, and back. */
static int check_against_files(struct bench_session *session,
                               struct nb_errctx *err)
{
    const struct operand_list *list = &session->args->operands;
    struct check_file *files = calloc(list->n, sizeof(*files));
    if (files == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%zu files", list->n);
    }
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < list->n; i++) {
        char *equals = strchr(list->items[i], '=');
        if (equals == NULL || equals == list->items[i] || equals[1] == '\0') {
            rv = nb_fail(err, NB_ERR_INVALID, "'%.200s' is not TABLE=FILE.nbt",
                         list->items[i]);
        } else {
            *equals = '\0';
            files[i] = (struct check_file){list->items[i], equals + 1};
        }
    }
    if (rv == 0) {
        rv = reply_check_of_files(files, list->n, &session->workload,
                                  &session->check, err);
    }
    for (size_t i = 0; i < list->n && files[i].path != NULL; i++) {
        list->items[i][strlen(list->items[i])] = '='; /* for the report */
    }
    free(files);
    return rv;
}

static int prepare_check(struct bench_session *session, struct nb_errctx *err)
{
    const struct bench_args *args = session->args;
    if (!args->verify) {
        return 0;
    }
    if (args->operands.n > 0) {
        return check_against_files(session, err);
    }
    int rv = reply_check_of_repo(args->repo, &session->workload,
                                 &session->check, err);
    /* While it is there: the publishing may delete it. */
    return rv == 0 ? reply_check_prepare(session->check,
                                         session->workload.version, err)
                   : rv;
}

int bench_session_publish(struct bench_session *session, struct nb_errctx *err)
{
    const struct bench_args *args = session->args;
    if (args->during == NULL) {
        return 0;
    }
    const struct reloader_options options = {
        .repo = args->repo,
        .model = session->workload.model,
        .every_s = args->every_s,
        .seed = args->seed,
        .check = session->check,
        .server = args->query.server,
        .timeout_ms = (uint32_t)args->query.timeout_ms,
        .stop = &session->stop,
    };
    return reloader_start(&options, &session->reloader, err);
}

static void set_load(struct bench_session *session)
{
    const struct bench_args *args = session->args;
    bool open = args->rate > 0 || args->ramp_steps > 0 || args->slo_share > 0;
    session->load = (struct load_options){
        .address = args->query.server,
        .workload = &session->workload,
        .sets = session->sets,
        .check = session->check,
        .threads = (unsigned)args->threads,
        .connections = (uint32_t)args->connections,
        .depth = args->depth > 0 ? (uint32_t)args->depth
                 : open          ? OPEN_LOOP_DEPTH
                                 : 1,
        .rate = args->rate,
        .arrivals = args->arrivals,
        .seed = args->seed,
        .warmup_ns = (uint64_t)(args->warmup_s * 1e9),
        .duration_ns = (uint64_t)(args->duration_s * 1e9),
        .timeout_ms = (uint32_t)args->query.timeout_ms,
        .stop = &session->stop,
    };
}

/* Many connections need many descriptors: as many as may be had. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int bench_session_open(struct bench_session *session,
                       const struct bench_args *args, struct nb_errctx *err)
{
    *session = (struct bench_session){.args = args};
    raise_descriptors();
    int rv = shape_workload(session, err);
    if (rv == 0) {
        rv = read_trace(session, err);
    }
    if (rv == 0) {
        rv = make_requests(session, err);
    }
    if (rv == 0) {
        rv = prepare_check(session, err);
    }
    if (rv != 0) {
        bench_session_close(session);
        return rv;
    }
    set_load(session);
    return 0;
}

int bench_session_settle(struct bench_session *session, struct nb_errctx *err)
{
    if (session->reloader == NULL) {
        return 0;
    }
    int rv = reloader_stop(session->reloader, &session->reloads, err);
    session->reloader = NULL;
    return rv;
}

void bench_session_close(struct bench_session *session)
{
    (void)bench_session_settle(session, NULL);
    for (uint64_t i = 0; session->sets != NULL && i < session->args->threads;
         i++) {
        request_set_fini(&session->sets[i]);
    }
    free(session->sets);
    reply_check_destroy(session->check);
    workload_fini(&session->workload);
    id_list_fini(&session->trace);
}
