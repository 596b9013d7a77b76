/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Everything that runs of a load share: the server's tables, the requests, what
 * replies are held against. */
#ifndef NB_CLI_BENCH_SESSION_H
#define NB_CLI_BENCH_SESSION_H

#include "client/bench/load_run.h"
#include "client/bench/reloader.h"
#include "client/cli/bench_args.h"
#include "client/cli/number_list.h"

struct bench_session {
    const struct bench_args *args;
    char server_version[32];
    struct id_choice choice;
    struct id_list trace;
    struct workload workload;
    struct request_set *sets; /* one a thread */
    struct reply_check *check;
    struct load_options load;
    bool stop; /* by a signal */
    struct reloader *reloader;
    struct reloader_report reloads;
};

/* On success, and only then, the caller ends *session with
 * bench_session_close(); it does not move meanwhile. */
int bench_session_open(struct bench_session *session,
                       const struct bench_args *args, struct nb_errctx *err);

/* Begins to publish, if that is asked for: errors of reloader_start(). */
int bench_session_publish(struct bench_session *session, struct nb_errctx *err);

/* Ends the publishing, if there is any: errors of reloader_stop(). */
int bench_session_settle(struct bench_session *session, struct nb_errctx *err);

void bench_session_close(struct bench_session *session);

#endif
