/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * libnibble-client: ask a nibble server for rows and pooled bags.
 *
 * nb_client is one connection, used by one thread at a time; calls block until
 * the reply is there or the deadline has passed. nb_channel is for services:
 * connections to several replicas, many calls at once, on a libuv loop of the
 * caller's or on a thread of its own; see "channels" below.
 *
 * Fallible functions return 0 or a negative code of NB_ERR_MAP or -errno, and
 * say in *err (which may be NULL) what failed and where.
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

/* ---- channels --------------------------------------------------------- */

/*
 * A channel keeps connections to one or more replicas of a server, and sends
 * each call to the replica that has the fewest unanswered. It connects by
 * itself and, when a connection is lost, again, after a pause that doubles up
 * to a limit; a call whose connection is lost is sent again elsewhere, since no
 * request changes anything. Calls without a connection wait for one, until
 * their deadline.
 *
 * Threads. A channel with a thread of its own takes every function from any
 * thread; `done` runs on the channel's thread, and must not block it. A channel
 * on the caller's loop belongs to the loop's thread, which alone may use it;
 * `done` runs there. `done` is never called from within a function of the
 * channel, but for nb_channel_close() of a channel with a thread.
 */
struct nb_channel;
struct uv_loop_s; /* uv_loop_t of libuv */

/*
 * Zero-filled is every default.
 *
 * Hedges come out of a budget: each call adds hedge_percent of one, up to
 * hedge_percent of max_calls (at least one), with which the channel begins. So
 * a replica that stalls is hedged against at once, and when all of them are
 * slow their load grows by that share and no more.
 */
struct nb_channel_options {
    uint32_t connections;        /* to each replica, 0: 1; at most 256 */
    uint32_t max_calls;          /* unanswered at once, 0: 1,024; <= 65,536 */
    uint32_t max_attempts;       /* of sending a call, hedges apart, 0: 3 */
    uint32_t timeout_ms;         /* of a call that says none, 0: 30,000 */
    uint32_t connect_timeout_ms; /* 0: 5,000 */
    uint32_t max_reply_bytes;    /* 0: 256 MiB; a larger reply ends its
                                    connection */
    uint32_t hedge_ms;           /* a call unanswered for so long is also sent
                                    to another replica; 0: never */
    uint32_t hedge_percent;      /* of calls, that may be: 0: 10; at most 100 */
    uint32_t keepalive_ms;       /* a Ping after so long a silence, 0: 10,000 */
    uint32_t silence_ms;         /* a connection that owes an answer and is
                                    silent for so long is closed, 0: 10,000 */
    uint32_t backoff_ms;         /* before connecting again, 0: 50; doubled */
    uint32_t backoff_max_ms;     /* each time up to this, 0: 10,000 */
    uint64_t seed;               /* of the pauses' jitter, 0: one of its own */
};

/*
 * Opens a channel with a thread of its own. addresses are as for
 * nb_client_connect() and copied; options may be NULL. Nobody is waited for: an
 * address that does not answer is an error of the calls, not of this one.
 * The caller ends *channel with nb_channel_close().
 * NB_ERR_INVALID (an address, an option), NB_ERR_NOMEM, -errno.
 */
NB_API int nb_channel_open(const char *const *addresses, size_t n_addresses,
                           const struct nb_channel_options *options,
                           struct nb_channel **channel, struct nb_errctx *err);

/* The same on the caller's loop, which stays alive until the channel has been
 * closed. */
NB_API int nb_channel_open_loop(struct uv_loop_s *loop,
                                const char *const *addresses,
                                size_t n_addresses,
                                const struct nb_channel_options *options,
                                struct nb_channel **channel,
                                struct nb_errctx *err);

/*
 * Ends a channel and frees it; NULL is allowed. Calls that are not done end
 * with NB_ERR_CANCELLED; a name that is being looked up is waited for. With a
 * thread of its own: waits until that has ended; not to be called from `done`,
 * nor while another thread is in any function but the two that wait, and in
 * those only once the call has begun: no new one may be on its way.
 * On a loop: returns at once, also from `done`; the calls end on the loop, and
 * `closed` (may be NULL) is called there when nothing is left.
 */
typedef void nb_channel_closed_fn(void *arg);
NB_API void nb_channel_close(struct nb_channel *channel,
                             nb_channel_closed_fn *closed, void *arg);

/* Memory of the caller's for values. */
struct nb_target {
    void *values; /* any alignment */
    size_t bytes; /* that there is room for */
};

/*
 * Where the values of a call go. With `targets` the block of feature i is
 * written to targets[i], row after row. With `matrix` all blocks stand side by
 * side, [rows x sum of dims], and every feature must have as many rows (bags).
 * Values are of the request's dtype, but rows asked for as NB_PACKED are
 * decoded to fp32 on the way, with parameters that the channel asks for and
 * keeps. With neither, values are only there while `done` runs, packed ones as
 * they came.
 */
struct nb_call_options {
    uint32_t timeout_ms;             /* 0: the channel's */
    const struct nb_target *targets; /* one a feature, or NULL */
    const struct nb_target *matrix;  /* one, or NULL */
    struct nb_block *blocks;         /* to be filled, one a feature, or NULL */
};

/* How a call ended. All of it is valid while `done` runs. */
struct nb_outcome {
    int code;                      /* 0, or why not */
    uint32_t remote_code;          /* NB_ERR_REMOTE: the server's gRPC code */
    const char *message;           /* of an error: one line; "" otherwise */
    const char *address;           /* that answered; NULL: none did */
    uint64_t version;              /* of the model that answered */
    size_t n_blocks;               /* lookup, pool: one a feature, or none */
    const struct nb_block *blocks; /* values lie in the target, if there is one;
                                      in a matrix, row_bytes is that of it */
    const void *body;              /* status: as of nb_client_status() */
    size_t body_bytes;
};

typedef void nb_done_fn(void *arg, const struct nb_outcome *outcome);

/*
 * Starts a lookup or a pool. The request, all that it points to, and what the
 * options (may be NULL) point to are borrowed until `done` is called, which
 * happens exactly once if this returns 0, and not at all otherwise; the structs
 * *request and *options themselves may go at once. *ticket (may be NULL) names
 * the call to nb_channel_cancel(), and is written before `done` can be called.
 *
 * NB_ERR_EXHAUSTED: max_calls are unanswered. NB_ERR_INVALID (names the
 * feature), NB_ERR_NOMEM. `done` gets 0, NB_ERR_REMOTE, NB_ERR_TIMEOUT,
 * NB_ERR_CANCELLED, NB_ERR_TOO_LARGE (a target is too small for the values, or
 * a reply is over the limit), NB_ERR_UNSUPPORTED (packed rows of a codec that
 * is not known here), NB_ERR_NOMEM; and, when max_attempts have failed, what
 * ended the last connection.
 */
NB_API int nb_channel_lookup(struct nb_channel *channel,
                             const struct nb_request *request,
                             const struct nb_call_options *options,
                             nb_done_fn *done, void *arg, uint64_t *ticket,
                             struct nb_errctx *err);
NB_API int nb_channel_pool(struct nb_channel *channel,
                           const struct nb_request *request,
                           const struct nb_call_options *options,
                           nb_done_fn *done, void *arg, uint64_t *ticket,
                           struct nb_errctx *err);

/* Asks one replica for its status. As nb_channel_lookup(). */
NB_API int nb_channel_status(struct nb_channel *channel, uint32_t timeout_ms,
                             nb_done_fn *done, void *arg, uint64_t *ticket,
                             struct nb_errctx *err);

/* The call, if it is not done, ends with NB_ERR_CANCELLED soon. A ticket whose
 * call is done names nothing any more. */
NB_API void nb_channel_cancel(struct nb_channel *channel, uint64_t ticket);

/*
 * The same calls, waited for, on a channel with a thread of its own; not from
 * `done`. The return value is outcome->code; *outcome (may be NULL) has blocks
 * if options->blocks is set, whose values are NULL unless they have a target:
 * they are gone; its message is in *err. NB_ERR_INVALID besides: a
 * channel on a loop, which would wait for itself.
 */
NB_API int nb_channel_lookup_wait(struct nb_channel *channel,
                                  const struct nb_request *request,
                                  const struct nb_call_options *options,
                                  struct nb_outcome *outcome,
                                  struct nb_errctx *err);
NB_API int nb_channel_pool_wait(struct nb_channel *channel,
                                const struct nb_request *request,
                                const struct nb_call_options *options,
                                struct nb_outcome *outcome,
                                struct nb_errctx *err);

/* What a channel has done since it was opened. From any thread. */
struct nb_channel_counts {
    uint64_t calls;       /* taken */
    uint64_t failed;      /* of these, ended with an error */
    uint64_t retries;     /* sent again after a loss, or a refusal for now */
    uint64_t hedges;      /* sent to a second replica */
    uint64_t hedge_won;   /* of these, the answers that came first */
    uint64_t hedges_held; /* not sent: over hedge_percent */
    uint64_t connects;    /* connections made */
    uint64_t losses;      /* connections lost, or not made */
    uint32_t connected;   /* now */
    uint32_t unanswered;  /* now: calls */
};
NB_API void nb_channel_count(struct nb_channel *channel,
                             struct nb_channel_counts *counts);

#ifdef __cplusplus
}
#endif
#endif
