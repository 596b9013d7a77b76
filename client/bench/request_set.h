/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Requests made before the clock runs: bodies as they go to the socket, one
 * after another in memory. Headers are written when they are sent. */
#ifndef NB_BENCH_REQUEST_SET_H
#define NB_BENCH_REQUEST_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/bench/id_choice.h"
#include "client/bench/workload.h"

struct request_body {
    const uint8_t *data;
    size_t bytes;
};

struct request_set {
    uint8_t *data;
    struct request_body *bodies;
    uint64_t *ids; /* of all requests; NULL unless kept */
    size_t n_ids;  /* of one */
    size_t n;
};

struct request_set_options {
    const struct workload *workload; /* after workload_ask() */
    const struct id_choice *choice;
    uint64_t seed;
    unsigned thread; /* each has other ids */
    unsigned n_threads;
    size_t bytes;        /* about so many in all; one request at least */
    uint32_t timeout_ms; /* told to the server */
    bool keep_ids;
};

/* The same options make the same requests. On success the caller ends *set with
 * request_set_fini(). NB_ERR_NOMEM, NB_ERR_INVALID. */
int request_set_init(struct request_set *set,
                     const struct request_set_options *options,
                     struct nb_errctx *err);
void request_set_fini(struct request_set *set);

#endif
