/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The shape of the requests of a run: every request asks the same tables for as
 * many ids, only the ids differ. */
#ifndef NB_BENCH_WORKLOAD_H
#define NB_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/bench/profile.h"
#include "client/lib/nibble_client.h"

struct workload_table {
    char *name;
    uint32_t bag;  /* ids in a bag */
    uint32_t dim;  /* 0: not known yet, any */
    uint64_t rows; /* 0: not known yet */
};

struct workload {
    char *model; /* never NULL; "": the server's only one, until known */
    const char *profile; /* its name, borrowed; NULL: of a list */
    uint16_t method;     /* enum frame_method: lookup or pool */
    uint32_t dtype;
    uint32_t pooling;
    uint32_t samples;
    struct workload_table *tables;
    size_t n_tables;
    size_t n_ids; /* of a request */
    /* A request without its ids; their numbers are right. */
    struct nb_feature *features;
    uint32_t *lengths;
    struct nb_request request;
    uint64_t version; /* that was served, once the server was asked */
};

/* What the command line says of it. */
struct workload_options {
    const char *model; /* NULL or "": the only one */
    uint16_t method;
    uint32_t dtype;
    uint32_t pooling;
    uint32_t samples;
};

/* From a profile (whose method and samples count), or from a list
 * "NAME:IDS,NAME:IDS". The caller ends *workload with workload_fini() on
 * success. NB_ERR_INVALID, NB_ERR_NOMEM. */
int workload_of_profile(const struct profile *profile,
                        const struct workload_options *options,
                        struct workload *workload, struct nb_errctx *err);
int workload_of_list(const char *list, const struct workload_options *options,
                     struct workload *workload, struct nb_errctx *err);

/*
 * Asks the server for the rows and dims of the tables, and for the name of its
 * only model, or else of the profile's, where none is named. *server_version
 * has room for 32 bytes. NB_ERR_NOT_FOUND (model, table), NB_ERR_INVALID (dim),
 * errors of nb_client_status().
 */
int workload_ask(struct workload *workload, struct nb_client *client,
                 char *server_version, struct nb_errctx *err);

bool workload_is_pool(const struct workload *workload);

void workload_fini(struct workload *workload);

#endif
