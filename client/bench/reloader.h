/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Publishes a new version of a model again and again, while a load runs, and
 * deletes its own old ones; the last few stay until the end. */
#ifndef NB_BENCH_RELOADER_H
#define NB_BENCH_RELOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "client/bench/reply_check.h"

struct reloader;

struct reloader_options {
    const char *repo; /* borrowed, as all of this */
    const char *model;
    double every_s; /* from the end of one to the begin of the next */
    uint64_t seed;
    struct reply_check *check; /* is told of each version; may be NULL */
    const char *server;        /* that serves the repository */
    uint32_t timeout_ms;       /* of a question to it */
    const bool *stop;          /* ends reloader_start(), by a signal */
};

struct reloader_report {
    uint64_t n_published;
    uint64_t last_version;
    uint64_t served; /* once all of these are deleted */
};

/* Takes names, rows, dims and codecs of the tables from the version that is to
 * be served, publishes the first one, and waits until the server serves it.
 * The caller ends *reloader with reloader_stop(). On an error nothing that it
 * published stays. NB_ERR_UNSUPPORTED: a codec that is trained; NB_ERR_TIMEOUT:
 * the server does not serve the repository; errors of
 * model_repo_open_serving(), table_maker_publish(), served_version_wait(). */
int reloader_start(const struct reloader_options *options,
                   struct reloader **reloader, struct nb_errctx *err);

/* Ends the thread, deletes every version that it published (but one that is
 * pinned), waits until the server serves what is to be served then, and frees.
 * Whatever stopped the publishing before that, or else the deleting. */
int reloader_stop(struct reloader *reloader, struct reloader_report *report,
                  struct nb_errctx *err);

#endif
