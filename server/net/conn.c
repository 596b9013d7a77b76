/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Happy path: bytes are read into the session's window; what it answers to one
 * read is sent at once, in one gathered write, without a request of libuv. What
 * the socket does not take goes on as one outstanding uv_write; replies queued
 * meanwhile follow it.
 *
 * Ending: the peer shuts its side, or framing is lost, or the server drains.
 * What is queued is sent, then the sending side is shut and input discarded
 * until the peer closes too (CONN_LINGER): closing over unread input would
 * reset the connection and take replies from the peer that it has not read.
 *
 * Failure modes: an error of the socket, a timeout or no memory closes at once.
 *
 * On close: the handle is closed, which cancels the outstanding write; with
 * the last completion `closed` is called.
 */
#include "server/net/conn.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "proto/rpc_code.h"

#define GATHER_MAX 16
/* As many as a uv_write_t holds without allocating. */
#define WRITE_MAX 4

/* How long a peer that was sent everything may take to close. */
#define LINGER_NS UINT64_C(1000000000)

/* Draining: a pause of many round trips, and how long one is waited for. */
#define DRAIN_QUIET_NS UINT64_C(100000000)
#define DRAIN_SERVE_NS UINT64_C(1000000000)

static void conn_advance(struct conn *conn);
static void set_reading(struct conn *conn, bool reading);

/* ---- closing --------------------------------------------------------- */

static void conn_maybe_finish(struct conn *conn)
{
    if (conn->state != CONN_CLOSING || conn->n_open != 0) {
        return;
    }
    session_fini(&conn->session);
    conn->closed(conn); /* frees conn */
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    conn->n_open--;
    conn_maybe_finish(conn); /* may free conn */
}

void conn_close(struct conn *conn, const char *reason)
{
    if (conn->state == CONN_CLOSING) {
        return;
    }
    conn->state = CONN_CLOSING;
    if (reason != NULL) {
        conn->reason = reason;
    }
    uv_close(&conn->io.handle, on_handle_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct conn *conn = request->data;
    conn->n_open--;
    if (status != 0) {
        conn_close(conn, NULL); /* the peer is gone */
    }
    conn_maybe_finish(conn); /* may free conn */
}

/* Everything is sent. */
static void end_sending(struct conn *conn)
{
    if (conn->peer_done) {
        conn_close(conn, NULL);
        return;
    }
    conn->state = CONN_LINGER;
    conn->linger_ns = conn->session.service->now_ns();
    if (uv_shutdown(&conn->shutdown, &conn->io.stream, on_shutdown) != 0) {
        conn_close(conn, NULL);
        return;
    }
    conn->n_open++;
    set_reading(conn, true);
}

/* ---- writing --------------------------------------------------------- */

/* Bytes in a queue of the socket: FIONREAD, SIOCOUTQ. */
static size_t queued_bytes(const struct conn *conn, unsigned long queue)
{
    uv_os_fd_t fd;
    int bytes = 0;
    if (uv_fileno(&conn->io.handle, &fd) != 0 ||
        ioctl(fd, queue, &bytes) != 0 || bytes < 0) {
        return 0;
    }
    return (size_t)bytes;
}

/* Of what is outstanding, what the peer's side has not taken. The socket's own
 * queue counts: it is megabytes, and a slow peer that reads all the time may
 * not make room in it for the next write within a timeout. */
static size_t untaken_bytes(const struct conn *conn)
{
    return uv_stream_get_write_queue_size(&conn->io.stream) +
           queued_bytes(conn, SIOCOUTQ);
}

static unsigned gather(const struct conn *conn, uv_buf_t *bufs, unsigned max)
{
    struct iovec vectors[GATHER_MAX];
    unsigned n = outq_gather(&conn->session.out, vectors, max);
    for (unsigned i = 0; i < n; i++) {
        bufs[i] = (uv_buf_t){vectors[i].iov_base, vectors[i].iov_len};
    }
    return n;
}

static void on_written(uv_write_t *request, int status)
{
    struct conn *conn = request->data;
    conn->n_open--;
    conn->writing = false;
    if (status == 0) {
        session_sent(&conn->session, conn->write_bytes);
        conn->active_ns = conn->session.service->now_ns();
    } else {
        conn_close(conn, NULL); /* the peer is gone, or we closed */
    }
    conn_advance(conn);
    conn_maybe_finish(conn); /* may free conn */
}

static void write_rest(struct conn *conn)
{
    uv_buf_t bufs[WRITE_MAX];
    unsigned n = gather(conn, bufs, WRITE_MAX);
    conn->write_bytes = 0;
    for (unsigned i = 0; i < n; i++) {
        conn->write_bytes += bufs[i].len;
    }
    if (uv_write(&conn->write, &conn->io.stream, bufs, n, on_written) != 0) {
        conn_close(conn, NULL);
        return;
    }
    conn->writing = true;
    conn->stalled_bytes = untaken_bytes(conn);
    conn->progress_ns = conn->session.service->now_ns();
    conn->n_open++;
}

/* Sends what the socket takes; the rest becomes an outstanding write. */
static void flush(struct conn *conn)
{
    while (conn->state == CONN_OPEN && !conn->writing &&
           conn->session.out.bytes != 0) {
        uv_buf_t bufs[GATHER_MAX];
        unsigned n = gather(conn, bufs, GATHER_MAX);
        int rv = uv_try_write(&conn->io.stream, bufs, n);
        if (rv == UV_EAGAIN) {
            write_rest(conn);
        } else if (rv < 0) {
            conn_close(conn, NULL);
        } else {
            session_sent(&conn->session, (size_t)rv);
        }
    }
}

/* ---- reading --------------------------------------------------------- */

/* Behind the cut, nothing is read but what had arrived by then and the end of
 * the frame it breaks off in. */
static size_t wanted(const struct conn *conn, size_t bytes)
{
    size_t limit = bytes;
    if (conn->drain == CONN_DRAIN_CUT) {
        limit = conn->drain_bytes != 0 ? conn->drain_bytes
                                       : session_missing(&conn->session);
    }
    return limit < bytes ? limit : bytes;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *conn = handle->data;
    struct service *service = conn->session.service;
    void *base = service->scratch;
    size_t bytes = SERVICE_SCRATCH_BYTES;
    if (conn->state == CONN_OPEN) {
        /* No memory: no bytes, which on_read() is told as UV_ENOBUFS. */
        (void)session_window(&conn->session, &base, &bytes);
        bytes = wanted(conn, bytes);
    }
    *buf = (uv_buf_t){base, bytes};
}

static void on_bytes(struct conn *conn, size_t bytes)
{
    struct service *service = conn->session.service;
    counter_add(&service->counters->bytes_received, bytes);
    conn->drain_bytes -= bytes < conn->drain_bytes ? bytes : conn->drain_bytes;
    if (conn->state != CONN_OPEN) {
        return;
    }
    conn->active_ns = service_turn_ns(service);
    session_received(&conn->session, bytes, conn->active_ns);
    conn_advance(conn);
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buf)
{
    (void)buf;
    struct conn *conn = stream->data;
    if (bytes > 0) {
        on_bytes(conn, (size_t)bytes);
    } else if (bytes == UV_EOF && conn->state == CONN_OPEN) {
        conn->reading = false;
        conn->peer_done = true;
        conn_advance(conn);
    } else if (bytes == UV_ENOBUFS) {
        conn_close(conn, "out of memory");
    } else if (bytes < 0) {
        conn_close(conn, NULL);
    }
}

static void set_reading(struct conn *conn, bool reading)
{
    if (conn->reading == reading) {
        return;
    }
    conn->reading = reading;
    if (!reading) {
        uv_read_stop(&conn->io.stream);
    } else if (uv_read_start(&conn->io.stream, on_alloc, on_read) != 0) {
        conn_close(conn, NULL);
    }
}

/* ---- the whole ------------------------------------------------------- */

/* Bytes that have arrived and are not read. */
static size_t unread_bytes(const struct conn *conn)
{
    return queued_bytes(conn, FIONREAD);
}

/* Has the peer paused for so long that no request is likely under way? */
static bool is_quiet(const struct conn *conn)
{
    uint64_t now_ns = conn->session.service->now_ns();
    return now_ns >= conn->active_ns + DRAIN_QUIET_NS &&
           unread_bytes(conn) == 0;
}

/* Will nothing more be queued? */
static bool is_finished(const struct conn *conn)
{
    const struct session *session = &conn->session;
    if (session->ended) {
        return true;
    }
    if (session_holds_back(session)) {
        return false; /* whole frames are held back */
    }
    if (conn->peer_done) {
        return true; /* a frame begun will not be ended */
    }
    if (session->in != NULL || session->skip_bytes != 0) {
        return false;
    }
    if (conn->drain == CONN_DRAIN_QUIET) {
        return is_quiet(conn);
    }
    return conn->drain == CONN_DRAIN_CUT && conn->drain_bytes == 0;
}

/* After anything has changed: sends, answers what was held back, and decides
 * whether to read on or to end. */
static void conn_advance(struct conn *conn)
{
    struct session *session = &conn->session;
    if (conn->state != CONN_OPEN) {
        return;
    }
    do {
        flush(conn);
    } while (conn->state == CONN_OPEN && session_resume(session));
    if (conn->state != CONN_OPEN) {
        return;
    }
    if (session->out.bytes == 0 && is_finished(conn)) {
        if (session->ended) {
            conn->reason = session->why.text;
        }
        end_sending(conn);
        return;
    }
    set_reading(conn, session_wants_input(session) && !conn->peer_done);
}

int conn_init(struct conn *conn, uv_loop_t *loop, bool is_unix,
              struct service *service)
{
    *conn = (struct conn){.state = CONN_OPEN};
    int rv = is_unix ? uv_pipe_init(loop, &conn->io.pipe, 0)
                     : uv_tcp_init(loop, &conn->io.tcp);
    if (rv != 0) {
        return rv;
    }
    conn->n_open = 1;
    conn->io.handle.data = conn;
    conn->write.data = conn;
    conn->shutdown.data = conn;
    conn->active_ns = service->now_ns();
    conn->opened_ns = conn->active_ns;
    session_init(&conn->session, service);
    return 0;
}

int conn_start(struct conn *conn)
{
    conn->reading = true;
    if (conn->io.handle.type == UV_TCP) {
        /* Replies are whole frames: nothing is gained by waiting for more. */
        uv_tcp_nodelay(&conn->io.tcp, 1);
    }
    return uv_read_start(&conn->io.stream, on_alloc, on_read);
}

static struct conn *conn_of(struct session *session)
{
    return (struct conn *)((char *)session - offsetof(struct conn, session));
}

void conn_stop_waiting(struct session *session)
{
    struct conn *conn = conn_of(session);
    session_stop_waiting(session, conn->state == CONN_OPEN);
    conn_advance(conn);
}

void conn_continue(struct session *session)
{
    struct conn *conn = conn_of(session);
    session_continue(session, conn->state == CONN_OPEN);
    conn_advance(conn);
}

void conn_stop_reading(struct session *session)
{
    struct conn *conn = conn_of(session);
    session_stop_reading(session, conn->state == CONN_OPEN);
    conn_advance(conn);
}

void conn_refuse(struct conn *conn, const char *why)
{
    session_refuse(&conn->session, RPC_UNAVAILABLE, why);
    conn_advance(conn);
}

void conn_drain(struct conn *conn)
{
    if (conn->state != CONN_OPEN || conn->drain != CONN_DRAIN_NO) {
        return;
    }
    conn->drain = CONN_DRAIN_QUIET;
    conn->drain_ns = conn->session.service->now_ns();
    conn_advance(conn);
}

/* A peer that does not pause is not waited for without end. */
static void check_drain(struct conn *conn, uint64_t now_ns)
{
    if (conn->drain == CONN_DRAIN_QUIET &&
        now_ns > conn->drain_ns + DRAIN_SERVE_NS) {
        conn->drain = CONN_DRAIN_CUT;
        conn->drain_bytes = unread_bytes(conn);
    }
}

static bool is_over(uint64_t since_ns, uint64_t now_ns, uint64_t limit_ms)
{
    return limit_ms != 0 && now_ns > since_ns &&
           now_ns - since_ns > limit_ms * 1000000u;
}

/* Has the peer taken nothing of the outstanding write for too long? */
static bool is_stalled(struct conn *conn, uint64_t now_ns)
{
    if (!conn->writing) {
        return false;
    }
    size_t untaken = untaken_bytes(conn);
    if (untaken != conn->stalled_bytes) {
        conn->stalled_bytes = untaken;
        conn->progress_ns = now_ns;
    }
    return is_over(conn->progress_ns, now_ns,
                   conn->session.service->options->write_timeout_ms);
}

/* A tenth more or less, by the connection's number: those that were opened
 * together do not come back together. */
static uint64_t age_limit_ms(const struct conn *conn)
{
    uint64_t limit = conn->session.service->options->max_connection_age_ms;
    uint64_t mixed = conn->id * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    return limit - limit / 10 + limit / 5 * (mixed % 1024) / 1023;
}

void conn_check_time(struct conn *conn, uint64_t now_ns)
{
    const struct options *options = conn->session.service->options;
    if (conn->state == CONN_CLOSING) {
        return;
    }
    if (conn->state == CONN_LINGER) {
        if (now_ns > conn->linger_ns + LINGER_NS) {
            conn_close(conn, conn->reason);
        }
        return;
    }
    session_check_time(&conn->session, now_ns);
    if (options->max_connection_age_ms != 0 && conn->drain == CONN_DRAIN_NO &&
        is_over(conn->opened_ns, now_ns, age_limit_ms(conn))) {
        conn_drain(conn);
        if (conn->state != CONN_OPEN) {
            return;
        }
    }
    check_drain(conn, now_ns);
    if (is_stalled(conn, now_ns)) {
        conn_close(conn, "write timeout: the peer takes no replies");
    } else if (session_is_idle(&conn->session) &&
               is_over(conn->active_ns, now_ns, options->idle_timeout_ms)) {
        conn_close(conn, "idle timeout");
    } else {
        conn_advance(conn);
    }
}
