/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The parts of a channel, which see each other. Calls enter through channel.c,
 * which any thread may run; all else runs on the loop. channel_call.c takes a
 * call from its entry to its end, channel_dial.c and channel_conn.c keep a
 * connection, channel_open.c begins and ends it all, channel_wait.c waits for
 * calls.
 *
 * Nothing that a caller does takes effect before the loop comes to its
 * on_prepare(): a callback may do anything with the channel without being in
 * the way of what called it. There, too, all that was asked for since the last
 * time leaves in one write a connection.
 */
#ifndef NB_CLIENT_CHANNEL_H
#define NB_CLIENT_CHANNEL_H

#include <netdb.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "client/lib/backoff.h"
#include "client/lib/inflight.h"
#include "client/lib/nibble_client.h"
#include "client/lib/params_cache.h"
#include "client/lib/reply_blocks.h"
#include "client/lib/reply_buffer.h"
#include "client/lib/reply_place.h"
#include "client/lib/request_frame.h"
#include "client/lib/send_queue.h"

/* A request on one connection. */
struct channel_attempt {
    struct send_item item;     /* in conn->sends while some is to be sent */
    struct channel_conn *conn; /* NULL: it is not under way */
    struct channel_call *call; /* NULL: a Ping */
    uint32_t id;               /* in conn->inflight */
};

/* The first, and a hedge. */
#define CALL_ATTEMPTS 2

/* Each call earns hedge_percent. */
#define HEDGE_COST 100u

struct channel_call {
    struct nb_channel *channel;
    struct channel_call *next; /* in one of the channel's lists */
    struct channel_call *prev;
    struct channel_call *next_cancelled;
    uint64_t ticket;   /* 0: the call is free; under the lock */
    bool cancelled;    /* is in channel->cancelled; under the lock */
    bool begun;        /* the loop has it */
    bool waiting;      /* for a connection, in channel->waiting */
    bool hedged;       /* or there is to be no hedge */
    uint16_t method;   /* enum frame_method, of what is being asked now */
    uint16_t asked;    /* of what the caller asked */
    uint32_t n_failed; /* attempts */
    uint32_t timeout_ms;
    uint64_t hedge_at; /* uv_hrtime() */
    uint64_t deadline; /* uv_hrtime() */
    struct nb_request request;
    struct reply_target target;
    struct nb_block *blocks; /* the caller's, or NULL */
    nb_done_fn *done;
    void *arg;
    struct request_frame frame; /* memory is kept from call to call */
    struct channel_attempt attempts[CALL_ATTEMPTS];
    uint8_t *parked; /* a reply that waits for parameters of blocks */
    size_t parked_bytes;
    size_t n_placed;                       /* of its blocks */
    const struct channel_replica *replica; /* that answered, or NULL */
    bool has_timer;
    uv_timer_t timer;
};

struct call_list {
    struct channel_call *first;
    struct channel_call *last;
};

enum conn_state {
    CONN_IDLE,       /* until the timer ends the pause */
    CONN_RESOLVING,  /* a name is being looked up */
    CONN_CONNECTING, /* the poll handle waits for the outcome */
    CONN_READY,
    CONN_CLOSING /* the poll handle is */
};

struct channel_replica {
    char *address;
    uint32_t n_unanswered; /* of all its connections */
};

struct channel_conn {
    struct nb_channel *channel;
    struct channel_replica *replica;
    enum conn_state state;
    int fd;         /* while there is a poll handle */
    int events;     /* that are polled for */
    int send_error; /* why nothing more is sent; reading will tell more */
    bool flush;     /* in channel->unsent */
    bool heard;     /* an answer came, since it is ready */
    bool suspect;   /* a sibling was lost: not used until it is heard */
    bool pinging;
    uint32_t n_unanswered; /* requests begun, abandoned ones and Pings too */
    uint64_t heard_at;     /* uv_now() */
    uint64_t owed_since;   /* uv_now(), while n_unanswered is not 0 */
    struct channel_conn *next_unsent;
    struct addrinfo *found; /* by uv_getaddrinfo() */
    struct addrinfo *next;  /* to be tried */
    uint64_t connect_by;    /* uv_now() */
    struct backoff backoff;
    struct inflight inflight;
    struct send_queue sends;
    struct reply_buffer replies;
    struct channel_attempt ping;
    uv_timer_t timer; /* the pause, connecting, or looking for silence */
    uv_poll_t poll;
    uv_getaddrinfo_t lookup;
};

/* What nb_channel_count() tells; written on the loop, but `calls`. */
struct channel_tally {
    _Atomic uint64_t calls;
    _Atomic uint64_t failed;
    _Atomic uint64_t retries;
    _Atomic uint64_t hedges;
    _Atomic uint64_t hedge_won;
    _Atomic uint64_t hedges_held;
    _Atomic uint64_t connects;
    _Atomic uint64_t losses;
    _Atomic uint64_t connected;
    _Atomic uint64_t unanswered;
};

struct nb_channel {
    struct nb_channel_options options; /* none is 0 but hedge_ms */
    struct channel_replica *replicas;
    uint32_t n_replicas;
    struct channel_conn *conns; /* those of a replica stand together */
    uint32_t n_conns;
    struct channel_call *calls; /* options.max_calls */
    uint32_t n_calls;

    uv_mutex_t lock;                /* of what follows */
    struct channel_call *free;      /* a stack, by `next` */
    struct call_list entered;       /* taken, and not yet seen by the loop */
    struct channel_call *cancelled; /* to be */
    uint64_t n_tickets;
    bool closing;       /* nothing more is taken */
    uv_cond_t released; /* a call, while it is closing */

    /* of the loop */
    uv_loop_t *loop;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_idle_t stir;        /* runs while a wait for events would be too long */
    uint32_t n_open;       /* handles and lookups */
    uint32_t turn;         /* where the choice of a connection begins */
    uint64_t hedge_credit; /* hundredths of a hedge */
    bool shut;             /* handles are being closed */
    struct call_list waiting;    /* for a connection */
    struct channel_conn *unsent; /* connections that have what to send */
    struct reply_blocks blocks;  /* of the reply at hand */
    struct params_cache params;
    struct nb_errctx last_loss; /* why a connection was lost or not made */
    nb_channel_closed_fn *closed;
    void *closed_arg;
    struct channel_tally tally;

    /* of a thread of its own */
    bool has_thread;
    uv_loop_t own_loop;
    uv_thread_t thread;
};

/* By the one thread that writes it, or under the lock. */
static inline void tally_add(_Atomic uint64_t *counter, int64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + (uint64_t)n, memory_order_relaxed);
}

/* ---- channel.c -------------------------------------------------------- */

void call_list_push(struct call_list *list, struct channel_call *call);
void call_list_remove(struct call_list *list, struct channel_call *call);

/* Begins the calls that have entered and ends those to be cancelled; if the
 * channel is to be closed, channel_shut(). */
void channel_take_entered(struct nb_channel *channel);

/* Something was left for on_prepare(): the loop must not wait before that. With
 * a thread, under the lock: then the loop has not seen the end yet. */
void channel_wake(struct nb_channel *channel);

/* A free call goes back. */
void channel_release(struct nb_channel *channel, struct channel_call *call);

/* ---- channel_open.c --------------------------------------------------- */

/* Ends all calls and begins to close all handles. */
void channel_shut(struct nb_channel *channel);

/* A handle was closed, a lookup has ended. May free the channel. */
void channel_handle_closed(struct nb_channel *channel);

/* ---- channel_call.c --------------------------------------------------- */

/* What a channel begins with and can save up, in hundredths of a hedge. */
static inline uint64_t
call_hedge_credit_max(const struct nb_channel_options *options)
{
    uint64_t burst = (uint64_t)options->max_calls * options->hedge_percent;
    return burst > HEDGE_COST ? burst : HEDGE_COST;
}

/* A call has come in. */
void call_begin(struct channel_call *call);

/* The caller's own end of it. */
void call_cancel(struct channel_call *call);

/* There may be a connection for those that wait. */
void channel_send_waiting(struct nb_channel *channel);

/* The attempt, which is not under way any more, has come to nothing; the call
 * is sent again if there is an attempt left. */
void call_attempt_lost(struct channel_attempt *attempt, int code,
                       const char *why);

/* An answer has come to the attempt, which is not under way any more. An error:
 * the answer makes no sense, and nothing else on that connection does. */
int call_answered(struct channel_attempt *attempt,
                  const struct channel_replica *replica,
                  const struct frame_header *header, const uint8_t *body,
                  struct nb_errctx *err);

/* ---- channel_conn.c --------------------------------------------------- */

/* Makes the handles; begins to connect. */
void conn_open(struct channel_conn *conn);

/* Begins to close the handles. */
void conn_shut(struct channel_conn *conn);

/* Frees memory; nothing of it is open. */
void conn_fini(struct channel_conn *conn);

/* Can it take a request? */
bool conn_has_room(const struct channel_conn *conn);

/* Puts the frame behind those to be sent; conn_has_room(). */
void conn_send(struct channel_conn *conn, struct channel_attempt *attempt,
               const struct request_frame *frame, uint16_t method);

/* Nobody waits for the attempt any more. Nothing is borrowed after that. */
void conn_abandon(struct channel_attempt *attempt);

/* Sends what was put there since. */
void conn_flush(struct channel_conn *conn);

/* The socket is ready for something; the timer has run out. */
void conn_on_poll(uv_poll_t *poll, int status, int events);
void conn_on_timer(uv_timer_t *timer);

/* ---- channel_dial.c --------------------------------------------------- */

/* Begins to connect. Then the connection is CONN_CONNECTING, with its handle
 * polled, or there will be a pause. */
void conn_dial(struct channel_conn *conn);

/* Polls for these events, from now on. */
int conn_poll_for(struct channel_conn *conn, int events);

/* Closes the socket; then the next address is tried, or there is a pause. */
void conn_close_socket(struct channel_conn *conn);

/* Waits before connecting. */
void conn_pause(struct channel_conn *conn);

/* Forgets the addresses. */
void conn_drop_found(struct channel_conn *conn);

/* Counts a loss and says why. */
void conn_note_loss(struct channel_conn *conn, const char *why);

#endif
