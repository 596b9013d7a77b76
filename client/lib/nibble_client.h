/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * libnibble-client: ask a nibble server for rows and pooled bags.
 *
 * A client is one connection, used by one thread at a time; calls block until
 * the reply is there or the deadline has passed. Fallible functions return 0
 * or a negative code of NB_ERR_MAP or -errno, and say in *err (which may be
 * NULL) what failed and where.
 */
#ifndef NIBBLE_CLIENT_H
#define NIBBLE_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <nibble.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nb_client;

struct nb_client_options {
    uint32_t connect_timeout_ms; /* 0: 5,000 */
    uint32_t timeout_ms;         /* of a request, 0: 30,000 */
    uint32_t max_reply_bytes;    /* 0: 256 MiB; a larger reply is an error */
};

/*
 * Connects to "HOST:PORT", "[IPV6]:PORT" or "unix:PATH". options may be NULL.
 * The caller owns *client and ends it with nb_client_close().
 * -errno, NB_ERR_INVALID (address), NB_ERR_TIMEOUT, NB_ERR_NOMEM.
 */
NB_API int nb_client_connect(const char *address,
                             const struct nb_client_options *options,
                             struct nb_client **client, struct nb_errctx *err);

/* Closes and frees; NULL is allowed. */
NB_API void nb_client_close(struct nb_client *client);

/* What is asked of one table. Everything is borrowed for the call; ids go to
 * the socket without a copy. */
struct nb_feature {
    const char *table;
    struct nb_ids ids; /* u64 ids that all fit 32 bits travel as 32 bits */
    const uint32_t *lengths; /* pool: ids in each bag; they sum to ids.n */
    size_t n_bags;           /* pool */
    const float *weights;    /* pool: one an id, or NULL */
    uint32_t pooling;        /* pool: enum nb_pooling */
};

struct nb_request {
    const char *model; /* NULL or "": the server's only model */
    uint64_t version;  /* 0: the one being served */
    uint32_t dtype;    /* enum nb_dtype; NB_PACKED for lookup only */
    const struct nb_feature *features;
    size_t n_features;
};

/* The answer to one feature: rows x dim values, little-endian, row-major. */
struct nb_block {
    uint32_t rows;
    uint32_t dim;
    uint32_t dtype;          /* enum nb_dtype */
    uint32_t row_bytes;      /* bytes from row to row of values */
    struct nb_format format; /* NB_PACKED: what nb_decode() needs, and, if */
    uint64_t params;         /* this is not 0, nb_client_params() of this id */
    uint64_t unseen;         /* ids that are not in the table */
    const void *values;      /* any alignment */
};

/* Valid until the next call on the same client. */
struct nb_reply {
    uint64_t version;              /* of the model, the same for every block */
    const struct nb_block *blocks; /* one a feature, in order */
    size_t n_blocks;
};

/*
 * Asks for rows (lookup) or pooled bags (pool) of one or more tables.
 * NB_ERR_REMOTE: the server refused this request, nb_client_remote_code() has
 * the code, *err the message, and the connection lives on. After NB_ERR_TIMEOUT
 * it lives on too: the late reply is dropped when it comes. After any other
 * error of the connection (-errno, NB_ERR_CLOSED, NB_ERR_FRAME,
 * NB_ERR_MESSAGE, NB_ERR_TOO_LARGE) every call fails until the client is
 * closed. NB_ERR_INVALID (names the feature): nothing was sent. NB_ERR_NOMEM:
 * the answer, if there was one, is lost, and the connection lives on.
 */
NB_API int nb_client_lookup(struct nb_client *client,
                            const struct nb_request *request,
                            struct nb_reply *reply, struct nb_errctx *err);
NB_API int nb_client_pool(struct nb_client *client,
                          const struct nb_request *request,
                          struct nb_reply *reply, struct nb_errctx *err);

/* What all rows of a table share: with it, packed rows are decoded away from
 * the server. A plain result struct. */
struct nb_table_params {
    uint64_t version;        /* of the model */
    uint64_t id;             /* of the parameters; 0: the table has none */
    struct nb_format format; /* of its rows */
    struct nb_params params; /* for nb_rows.params */
};

/*
 * Asks for the parameters of a table, of which request->model and ->version and
 * features[0].table say which; nothing else of the request is used. They have
 * been checked as nb_params_check() does. The caller owns *params, which
 * outlives the client, and ends it with nb_table_params_free(). They go with
 * packed blocks of the same id, whatever the version: a table's parameters
 * change only when it is quantized anew.
 * Errors as nb_client_lookup; NB_ERR_UNSUPPORTED: the server is of a version
 * that does not tell, or the codec is not known here.
 */
NB_API int nb_client_params(struct nb_client *client,
                            const struct nb_request *request,
                            struct nb_table_params **params,
                            struct nb_errctx *err);
NB_API void nb_table_params_free(struct nb_table_params *params); /* or NULL */

/* Asks for an answer, no more. Errors as nb_client_lookup. */
NB_API int nb_client_ping(struct nb_client *client, struct nb_errctx *err);

/* The encoded nibble.v1.StatusReply; *body is valid until the next call on the
 * same client. Errors as nb_client_lookup. */
NB_API int nb_client_status(struct nb_client *client, const void **body,
                            size_t *body_bytes, struct nb_errctx *err);

/* gRPC code of the last NB_ERR_REMOTE, 0 before any. */
NB_API uint32_t nb_client_remote_code(const struct nb_client *client);

#ifdef __cplusplus
}
#endif
#endif
