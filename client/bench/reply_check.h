/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Holds every reply, bit for bit, against the tables it claims to come from,
 * with the same library. */
#ifndef NB_BENCH_REPLY_CHECK_H
#define NB_BENCH_REPLY_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "client/bench/workload.h"
#include "quant/nibble.h"

struct reply_check;

/* A table and the file that the server is to have it from. */
struct check_file {
    const char *table;
    const char *path;
};

/* Against REPO/MODEL/VERSION, VERSION being what a reply claims: versions are
 * opened when the first reply claims them, and closed when every thread has
 * been answered from newer ones for a while. repo and workload are borrowed.
 * The caller ends *check with reply_check_destroy(). NB_ERR_NOMEM. */
int reply_check_of_repo(const char *repo, const struct workload *workload,
                        struct reply_check **check, struct nb_errctx *err);

/* Against files, whatever the version. Errors of table_open(); NB_ERR_INVALID:
 * a table of the workload has no file. */
int reply_check_of_files(const struct check_file *files, size_t n_files,
                         const struct workload *workload,
                         struct reply_check **check, struct nb_errctx *err);

void reply_check_destroy(struct reply_check *check);

/* Opens a version before a reply claims it. Any thread. Errors of
 * model_version_open(), NB_ERR_NOT_FOUND (a table). */
int reply_check_prepare(struct reply_check *check, uint64_t version,
                        struct nb_errctx *err);

/* What a thread needs to check. Zero-filled is empty. */
struct check_scratch {
    struct checked_version *version; /* that was used last */
    void *values;
    size_t capacity;
};

/* The reply to a request of the workload for these ids, which stand table by
 * table. 1: it is right; 0: it is not, and *err says where; < 0: it cannot be
 * told, because its version cannot be opened. */
int reply_check_reply(struct reply_check *check, struct check_scratch *scratch,
                      const uint64_t *ids, const struct nb_reply *reply,
                      struct nb_errctx *err);

/* While *check is there. It is NULL if nothing was checked. */
void check_scratch_fini(struct reply_check *check,
                        struct check_scratch *scratch);

#endif
