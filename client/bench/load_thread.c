/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * One loop around epoll. Each turn: read what has come, start what is due (or,
 * in a closed loop, what there is room for), send, sleep until the next request
 * is due. An open loop's arrivals are generated, not stored: those that find
 * every slot in use stay due, however long, and their latency counts from then.
 *
 * At the end of the time measured nothing is started any more. What was due by
 * then and not sent goes into the latencies with what it had waited; what was
 * sent is waited for, up to the timeout.
 *
 * A request that has waited for the timeout gives its slot back. If nothing at
 * all came over its connection for as long, that connection is dead, and is
 * dialled again.
 */
#include "client/bench/load_thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/bench/load_timeouts.h"
#include "client/bench/reply_reader.h"
#include "client/bench/thread_usage.h"

#define EVENTS_MAX 256
#define RETRY_NS   100000000u /* from a lost connection to a new try */
#define NEVER      UINT64_MAX

struct load_thread {
    const struct load_options *options;
    unsigned index;
    const struct request_set *set;
    struct load_conn *conns;
    struct load_conn **dirty; /* with something to send */
    uint32_t n_conns;
    uint32_t n_dirty;
    uint32_t next_conn; /* who is asked next: in turns */
    uint32_t n_down;
    size_t next_request;
    int epoll;
    bool end;    /* set by anybody */
    bool ending; /* nothing is started any more */
    struct arrivals arrivals;
    uint64_t next_due;      /* open loop */
    uint64_t starved_until; /* what was due by then found no free slot */
    uint64_t measure_from;
    uint64_t measure_to;
    struct load_timeouts timeouts;
    uint64_t n_waiting; /* requests without an answer */
    struct thread_usage usage_from;
    uint64_t usage_from_ns; /* 0: before the time measured */
    uint64_t held_up_before_ns;
    struct reply_reader reader;
    struct load_tally tally;
    struct load_result result;
};

static bool is_open_loop(const struct load_thread *thread)
{
    return thread->options->rate > 0;
}

static bool is_measured(const struct load_thread *thread, uint64_t at)
{
    return at >= thread->measure_from && at < thread->measure_to;
}

/* ---- life ------------------------------------------------------------- */

static uint32_t share_of(uint32_t n, unsigned index, unsigned threads)
{
    return n / threads + (index < n % threads);
}

static int watch(struct load_thread *thread, struct load_conn *conn, int op)
{
    struct epoll_event event = {
        .events = EPOLLIN | (conn->wants_output ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = conn,
    };
    return epoll_ctl(thread->epoll, op, conn->fd, &event) == 0 ? 0 : -errno;
}

static int open_conns(struct load_thread *thread, struct nb_errctx *err)
{
    const struct load_options *options = thread->options;
    uint32_t n =
        share_of(options->connections, thread->index, options->threads);
    thread->epoll = epoll_create1(EPOLL_CLOEXEC);
    thread->conns = calloc(n, sizeof(*thread->conns));
    thread->dirty = calloc(n, sizeof(struct load_conn *));
    if (thread->epoll < 0 || thread->conns == NULL || thread->dirty == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%u connections", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct load_conn *conn = &thread->conns[i];
        int rv = load_conn_open(conn, options->address, options->timeout_ms,
                                thread->set, options->depth, err);
        if (rv != 0) {
            return rv;
        }
        thread->n_conns++;
        rv = watch(thread, conn, EPOLL_CTL_ADD);
        if (rv != 0) {
            return nb_fail(err, rv, "epoll_ctl: %s", nb_strerror(rv));
        }
    }
    return 0;
}

int load_thread_create(const struct load_options *options, unsigned index,
                       struct load_thread **thread, struct nb_errctx *err)
{
    struct load_thread *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "a thread of the load");
    }
    made->options = options;
    made->index = index;
    made->set = &options->sets[index];
    made->epoll = -1;
    reply_reader_init(&made->reader, options->workload, made->set,
                      options->check);
    int rv = open_conns(made, err);
    if (rv != 0) {
        load_thread_destroy(made);
        return rv;
    }
    *thread = made;
    return 0;
}

void load_thread_destroy(struct load_thread *thread)
{
    if (thread == NULL) {
        return;
    }
    for (uint32_t i = 0; i < thread->n_conns; i++) {
        load_conn_close(&thread->conns[i]);
    }
    if (thread->epoll >= 0) {
        close(thread->epoll);
    }
    free(thread->conns);
    free(thread->dirty);
    reply_reader_fini(&thread->reader);
    free(thread);
}

const struct load_result *load_thread_result(const struct load_thread *thread)
{
    return &thread->result;
}

/* ---- counting --------------------------------------------------------- */

static void bump(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

void load_thread_end(struct load_thread *thread)
{
    __atomic_store_n(&thread->end, true, __ATOMIC_RELAXED);
}

struct load_tally load_thread_tally(const struct load_thread *thread)
{
    const struct load_tally *tally = &thread->tally;
    return (struct load_tally){
        .n_replies = __atomic_load_n(&tally->n_replies, __ATOMIC_RELAXED),
        .n_errors = __atomic_load_n(&tally->n_errors, __ATOMIC_RELAXED),
        .latency_ns = __atomic_load_n(&tally->latency_ns, __ATOMIC_RELAXED),
    };
}

static void count_error(struct load_thread *thread, unsigned kind,
                        const char *what)
{
    bump(&thread->tally.n_errors, 1);
    load_result_error(&thread->result, kind, what);
}

/* A request has had its reply, or has waited as long as it will. */
static void count_times(struct load_thread *thread,
                        const struct load_slot *slot, uint64_t now)
{
    bump(&thread->tally.latency_ns, now - slot->due);
    if (is_measured(thread, slot->due)) {
        load_result_times(&thread->result, slot, now, is_open_loop(thread));
    }
}

/* ---- answers ---------------------------------------------------------- */

static void on_answer(void *arg, const struct load_slot *slot,
                      const struct frame_header *header, const uint8_t *body,
                      uint64_t now)
{
    struct load_thread *thread = arg;
    if (slot->state == SLOT_GIVEN_UP) {
        return; /* it has been counted as a timeout */
    }
    thread->n_waiting--;
    count_times(thread, slot, now);
    struct nb_errctx why = {""};
    int kind = reply_reader_read(&thread->reader, slot->request, header, body,
                                 &thread->result, &why);
    if (kind != REPLY_IS_RIGHT) {
        count_error(thread, (unsigned)kind, why.text);
        return;
    }
    bump(&thread->tally.n_replies, 1);
    thread->result.n_replies += is_measured(thread, now);
}

/* ---- connections that are lost ---------------------------------------- */

/* There will be no answer to it. */
static void fail(struct load_thread *thread, const struct load_slot *slot,
                 unsigned kind, const char *what, uint64_t now)
{
    thread->n_waiting--;
    count_error(thread, kind, what);
    count_times(thread, slot, now);
}

static void drop(struct load_thread *thread, struct load_conn *conn,
                 const char *why, uint64_t now)
{
    for (uint32_t i = 0; i < conn->depth; i++) {
        if (conn->slots[i].state == SLOT_WAITING) {
            fail(thread, &conn->slots[i], LOAD_ERROR_CONNECTION, why, now);
        }
    }
    load_conn_drop(conn, now + RETRY_NS);
    thread->n_down++;
}

/* A server may close what it owes nothing: that is a reconnect, no error. */
static bool is_close(int rv)
{
    return rv == NB_ERR_CLOSED || rv == NB_ERR_REMOTE || rv == -ECONNRESET ||
           rv == -EPIPE;
}

static void lose(struct load_thread *thread, struct load_conn *conn, int rv,
                 const char *why)
{
    uint64_t waiting = thread->n_waiting;
    drop(thread, conn, why, load_now());
    if (thread->n_waiting == waiting && !is_close(rv)) {
        count_error(thread, LOAD_ERROR_CONNECTION, why);
    }
}

static void fail_dial(struct load_thread *thread, struct load_conn *conn,
                      uint64_t now)
{
    thread->result.n_failed_dials++;
    load_conn_drop(conn, now + RETRY_NS);
    conn->refused = true;
}

static void redial(struct load_thread *thread, uint64_t now)
{
    for (uint32_t i = 0; i < thread->n_conns; i++) {
        struct load_conn *conn = &thread->conns[i];
        if (conn->state == CONN_UP || conn->retry_at > now) {
            continue;
        }
        int rv = -ETIMEDOUT;
        if (conn->state == CONN_DOWN) {
            rv = load_conn_redial(conn, now + thread->timeouts.timeout_ns);
        }
        if (rv == 0) {
            rv = watch(thread, conn, EPOLL_CTL_ADD);
        }
        if (rv != 0) {
            fail_dial(thread, conn, now);
        }
    }
}

static void complete_dial(struct load_thread *thread, struct load_conn *conn)
{
    if (load_conn_dialled(conn) != 0 ||
        watch(thread, conn, EPOLL_CTL_MOD) != 0) {
        fail_dial(thread, conn, load_now());
        return;
    }
    thread->n_down--;
    conn->refused = false;
    thread->result.n_reconnects++;
}

/* ---- starting requests ------------------------------------------------ */

static void start(struct load_thread *thread, struct load_conn *conn,
                  uint64_t due, uint64_t now)
{
    struct load_slot *slot =
        load_conn_queue(conn, thread->options->workload->method,
                        thread->next_request, due, now);
    slot->held = due <= thread->starved_until || conn->wants_output;
    if (++thread->next_request == thread->set->n) {
        thread->next_request = 0;
    }
    thread->n_waiting++;
    if (!conn->dirty) {
        conn->dirty = true;
        thread->dirty[thread->n_dirty++] = conn;
    }
}

/* In turns; NULL if every slot is in use. */
static struct load_conn *free_conn(struct load_thread *thread)
{
    for (uint32_t i = 0; i < thread->n_conns; i++) {
        struct load_conn *conn = &thread->conns[thread->next_conn];
        if (++thread->next_conn == thread->n_conns) {
            thread->next_conn = 0;
        }
        if (conn->state == CONN_UP && conn->n_free > 0) {
            return conn;
        }
    }
    return NULL;
}

static void start_due(struct load_thread *thread, uint64_t now)
{
    while (thread->next_due <= now && thread->next_due < thread->measure_to) {
        struct load_conn *conn = free_conn(thread);
        if (conn == NULL) {
            thread->starved_until = now;
            return;
        }
        start(thread, conn, thread->next_due, now);
        thread->next_due = thread->measure_from - thread->options->warmup_ns +
                           arrivals_next(&thread->arrivals);
    }
}

static void start_all(struct load_thread *thread, uint64_t now)
{
    for (uint32_t i = 0; i < thread->n_conns; i++) {
        struct load_conn *conn = &thread->conns[i];
        while (conn->state == CONN_UP && conn->n_free > 0) {
            start(thread, conn, now, now);
        }
    }
}

static void flush(struct load_thread *thread, struct load_conn *conn,
                  uint64_t now)
{
    bool wanted = conn->wants_output;
    int rv = load_conn_flush(conn, now);
    if (rv == 0 && conn->wants_output != wanted) {
        rv = watch(thread, conn, EPOLL_CTL_MOD);
    }
    if (rv != 0) {
        lose(thread, conn, rv, nb_strerror(rv));
    }
}

static void flush_dirty(struct load_thread *thread)
{
    uint64_t now = thread->n_dirty > 0 ? load_now() : 0;
    for (uint32_t i = 0; i < thread->n_dirty; i++) {
        struct load_conn *conn = thread->dirty[i];
        conn->dirty = false;
        if (conn->state == CONN_UP && !conn->wants_output) {
            flush(thread, conn, now);
        }
    }
    thread->n_dirty = 0;
}

/* ---- the clock -------------------------------------------------------- */

static void begin_usage(struct load_thread *thread, uint64_t now)
{
    if (thread->usage_from_ns == 0 && now >= thread->measure_from) {
        thread->usage_from = thread_usage_now();
        thread->usage_from_ns = now;
        thread->held_up_before_ns = thread->timeouts.held_up_ns;
    }
}

static void end_usage(struct load_thread *thread, uint64_t now)
{
    struct load_result *result = &thread->result;
    if (thread->usage_from_ns == 0 || now <= thread->usage_from_ns) {
        return;
    }
    struct thread_usage usage = thread_usage_now();
    result->wall_s = (double)(now - thread->usage_from_ns) * 1e-9;
    result->busy_s = usage.busy_s - thread->usage_from.busy_s;
    result->busiest_share = result->busy_s / result->wall_s;
    result->waiting_share =
        (usage.waiting_s - thread->usage_from.waiting_s) / result->wall_s;
    uint64_t held_up = thread->timeouts.held_up_ns - thread->held_up_before_ns;
    result->held_up_share = (double)held_up * 1e-9 / result->wall_s;
}

/* A server that is not there in the end has failed, whatever it owed. */
static void count_refused(struct load_thread *thread)
{
    for (uint32_t i = 0; i < thread->n_conns; i++) {
        if (thread->conns[i].refused) {
            count_error(thread, LOAD_ERROR_CONNECTION,
                        "a lost connection could not be made again");
        }
    }
}

/* Nothing is started from here on. */
static void begin_end(struct load_thread *thread, uint64_t now)
{
    thread->ending = true;
    if (now < thread->measure_to) {
        thread->measure_to = now; /* stopped early */
    }
    end_usage(thread, now);
    count_refused(thread);
    struct load_result *result = &thread->result;
    while (is_open_loop(thread) && thread->next_due < thread->measure_to) {
        if (is_measured(thread, thread->next_due)) {
            result->n_requests++;
            result->n_unsent++;
            histogram_add(&result->latency, now - thread->next_due);
        }
        thread->next_due = thread->measure_from - thread->options->warmup_ns +
                           arrivals_next(&thread->arrivals);
    }
}

/* Gives up what is overdue. False: nothing is. */
static bool give_up_overdue(struct load_thread *thread, struct load_conn *conn,
                            uint64_t now)
{
    bool any = false;
    for (uint32_t i = 0; i < conn->depth; i++) {
        struct load_slot *slot = &conn->slots[i];
        if (load_timeouts_overdue(&thread->timeouts, slot, now)) {
            fail(thread, slot, LOAD_ERROR_TIMEOUT,
                 "no reply within the timeout", now);
            load_conn_give_up(conn, slot);
            any = true;
        }
    }
    return any;
}

static void look_at_timeouts(struct load_thread *thread, uint64_t now)
{
    for (uint32_t i = 0; i < thread->n_conns; i++) {
        struct load_conn *conn = &thread->conns[i];
        if (conn->state == CONN_UP && give_up_overdue(thread, conn, now) &&
            load_timeouts_silent(&thread->timeouts, conn, now)) {
            drop(thread, conn, "nothing came within the timeout", now);
        }
    }
}

/* False: all is done. */
static bool tick(struct load_thread *thread, uint64_t now)
{
    bool look = load_timeouts_due(&thread->timeouts, now);
    begin_usage(thread, now);
    if (!thread->ending &&
        (now >= thread->measure_to ||
         __atomic_load_n(thread->options->stop, __ATOMIC_RELAXED) ||
         __atomic_load_n(&thread->end, __ATOMIC_RELAXED))) {
        begin_end(thread, now);
    }
    if (look) {
        look_at_timeouts(thread, now);
    }
    if (thread->n_down > 0 && thread->timeouts.n_postponed == 0) {
        redial(thread, now);
    }
    return !thread->ending || thread->n_waiting > 0;
}

/* When there will be something to do, whatever the server does. */
static uint64_t next_wake(const struct load_thread *thread)
{
    uint64_t wake = thread->timeouts.next_look;
    if (!thread->ending && thread->measure_to < wake) {
        wake = thread->measure_to;
    }
    if (thread->n_down > 0 && thread->timeouts.n_postponed == 0) {
        for (uint32_t i = 0; i < thread->n_conns; i++) {
            const struct load_conn *conn = &thread->conns[i];
            if (conn->state != CONN_UP && conn->retry_at < wake) {
                wake = conn->retry_at;
            }
        }
    }
    bool starved = thread->next_due <= thread->starved_until;
    if (is_open_loop(thread) && !thread->ending && !starved &&
        thread->next_due < wake) {
        wake = thread->next_due;
    }
    return wake;
}

static int sleep_until(struct load_thread *thread, uint64_t wake,
                       struct epoll_event *events)
{
    uint64_t now = load_now();
    uint64_t ns = wake > now ? wake - now : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(ns / 1000000000u),
                                     .tv_nsec = (long)(ns % 1000000000u)};
    int n = epoll_pwait2(thread->epoll, events, EVENTS_MAX, &timeout, NULL);
    if (n < 0 && errno == ENOSYS) { /* Linux before 5.11 */
        n = epoll_wait(thread->epoll, events, EVENTS_MAX, (int)(ns / 1000000u));
    }
    return n;
}

/* ---- the loop --------------------------------------------------------- */

static void handle(struct load_thread *thread, const struct epoll_event *event)
{
    struct load_conn *conn = event->data.ptr;
    if (conn->state == CONN_DIALLING) {
        complete_dial(thread, conn);
        return;
    }
    if (conn->state == CONN_UP && (event->events & EPOLLOUT) != 0) {
        flush(thread, conn, load_now());
    }
    if (conn->state == CONN_UP &&
        (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
        struct nb_errctx why = {""};
        size_t bytes;
        int rv = load_conn_read(conn, on_answer, thread, &bytes, &why);
        if (is_measured(thread, load_now())) {
            thread->result.bytes_received += bytes;
        }
        if (rv != 0) {
            lose(thread, conn, rv, why.text);
        }
    }
}

static void begin(struct load_thread *thread, uint64_t from)
{
    const struct load_options *options = thread->options;
    thread->measure_from = from + options->warmup_ns;
    thread->measure_to = thread->measure_from + options->duration_ns;
    load_timeouts_begin(&thread->timeouts, options->timeout_ms, from);
    if (is_open_loop(thread)) {
        arrivals_init(&thread->arrivals, options->arrivals, options->rate,
                      thread->index, options->threads, options->seed);
        thread->next_due = from + arrivals_next(&thread->arrivals);
    }
    /* The kernel rounds sleeps up by 50 us otherwise. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

void load_thread_run(struct load_thread *thread, uint64_t start_at)
{
    struct epoll_event events[EVENTS_MAX];
    begin(thread, start_at);
    for (;;) {
        uint64_t now = load_now();
        if (!tick(thread, now)) {
            return;
        }
        if (!thread->ending && now >= start_at) {
            if (is_open_loop(thread)) {
                start_due(thread, now);
            } else {
                start_all(thread, now);
            }
        }
        flush_dirty(thread);
        uint64_t wake = now < start_at ? start_at : next_wake(thread);
        int n = sleep_until(thread, wake, events);
        for (int i = 0; i < n; i++) {
            handle(thread, &events[i]);
        }
    }
}
