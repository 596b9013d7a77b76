/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What came of a load: one a thread while it runs, merged afterwards. */
#ifndef NB_BENCH_LOAD_RESULT_H
#define NB_BENCH_LOAD_RESULT_H

#include <stdint.h>

#include "client/bench/histogram.h"
#include "client/bench/load_conn.h"
#include "quant/nibble.h"

/* gRPC's codes, as error frames carry them, then our own. */
#define LOAD_REMOTE_CODES 17u
enum load_error {
    LOAD_ERROR_OTHER_CODE = LOAD_REMOTE_CODES,
    LOAD_ERROR_CONNECTION, /* lost, or refused, with the request on it */
    LOAD_ERROR_TIMEOUT,
    LOAD_ERROR_MALFORMED, /* a reply that is none to what was asked */
    LOAD_ERROR_MISMATCH,  /* --verify: other values than the table has */
    LOAD_ERROR_UNCHECKED, /* --verify: there is no such version to look at */
    LOAD_ERROR_KINDS
};

/* "NOT_FOUND", "connection". */
const char *load_error_name(unsigned kind);

/* A send is late if it is so far behind its due time. */
#define LOAD_LATE_NS 1000000u

/* Zero-filled is empty. Requests count by when they were due, replies by when
 * they came: both within the time measured. */
struct load_result {
    struct histogram latency; /* from when a request was due */
    struct histogram service; /* from when it was sent */
    struct histogram delay;   /* open loop: from due to sent */
    uint64_t n_requests;      /* due */
    uint64_t n_replies;
    uint64_t n_late;   /* sent LOAD_LATE_NS or more late: held back, */
    uint64_t n_held;   /* because slots or sockets were full */
    uint64_t n_unsent; /* due, but not sent by the end; in latency as what they
                        * had waited by then */
    uint64_t bytes_received;
    uint64_t n_unseen;   /* ids, in the replies */
    uint64_t n_verified; /* replies, warm-up included */
    uint64_t n_reconnects;
    uint64_t n_failed_dials;
    uint64_t errors[LOAD_ERROR_KINDS]; /* requests, warm-up included */
    uint64_t versions_least;           /* of the model; 0: none was told */
    uint64_t versions_most;
    double wall_s;        /* measured */
    double busy_s;        /* of it, CPU time of the threads */
    double busiest_share; /* of a core, of the busiest thread */
    double waiting_share; /* likewise: ready to run, but no core was free */
    double held_up_share; /* likewise: stood still, and was not told why */
    struct nb_errctx first_error;
};

void load_result_merge(struct load_result *to, const struct load_result *from);

uint64_t load_result_errors(const struct load_result *result);

/* Counts a request that has had its reply, or has waited as long as it will,
 * and its times; in an open loop also how late it went out, and by whose fault.
 */
void load_result_times(struct load_result *result, const struct load_slot *slot,
                       uint64_t now, bool is_open_loop);

/* Counts an error, and keeps the text of the first. */
void load_result_error(struct load_result *result, unsigned kind,
                       const char *what);

#endif
