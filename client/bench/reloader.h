/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Publishes a new version of a model again and again, while a load runs, and
 * deletes its own old ones; the last few stay. */
#ifndef NB_BENCH_RELOADER_H
#define NB_BENCH_RELOADER_H

#include <stdint.h>

#include "client/bench/reply_check.h"

struct reloader;

struct reloader_options {
    const char *repo; /* borrowed, as all of this */
    const char *model;
    double every_s; /* from the end of one to the begin of the next */
    uint64_t seed;
    struct reply_check *check; /* is told of each version; may be NULL */
};

struct reloader_report {
    uint64_t n_published;
    uint64_t last_version;
};

/* Takes names, rows, dims and codecs of the tables from the version that is to
 * be served. The caller ends *reloader with reloader_stop(). Errors of
 * model_repo_open_serving(); -errno. */
int reloader_start(const struct reloader_options *options,
                   struct reloader **reloader, struct nb_errctx *err);

/* Ends the thread and frees. Whatever stopped the publishing before that. */
int reloader_stop(struct reloader *reloader, struct reloader_report *report,
                  struct nb_errctx *err);

#endif
