/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Answers every request of a profile with the same bytes, as fast as a socket
 * takes them: the limit that a load tester is measured against.
 *     static_server --profile NAME [--dtype fp32|packed] [--stall-ms N]
 * listens on a free port of 127.0.0.1, prints the address, and serves until it
 * is ended. --stall-ms: once a second it does nothing for so long.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/bench/profile.h"
#include "proto/blocks.h"
#include "proto/frame.h"
#include "proto/nibble.pb-c.h"

#define EVENTS_MAX  64
#define READ_BYTES  (256u << 10)
#define QUEUE_MAX   4096u /* replies of a connection: a power of two */
#define PIECES_MAX  128
#define STALL_EVERY 1000000000u /* ns */

struct reply {
    uint8_t header[FRAME_HEADER_BYTES];
    const struct body *body;
};

struct body {
    void *data;
    size_t bytes;
};

struct peer {
    int fd;
    uint8_t header[FRAME_HEADER_BYTES];
    size_t header_bytes; /* there are of it */
    size_t skip;         /* bytes of a body still to come */
    struct reply *queue; /* a ring */
    uint32_t first;
    uint32_t n;
    size_t head_sent; /* of the first */
};

static struct body blocks_body;
static struct body status_body;
static const struct body empty_body;
static uint8_t scratch[READ_BYTES];

static void die(const char *what)
{
    fprintf(stderr, "static_server: %s: %s\n", what, nb_strerror(-errno));
    exit(1); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void *must(void *memory)
{
    if (memory == NULL) {
        die("memory");
    }
    return memory;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- what is answered ------------------------------------------------- */

static void make_blocks(const struct profile *profile, uint32_t dtype)
{
    struct nb_format format = {.dim = profile->dim};
    size_t row_bytes = profile->dim * nb_dtype_bytes(dtype);
    nb_codec_by_name("q4", &format.codec);
    if (dtype == NB_PACKED) {
        nb_row_bytes(&format, &row_bytes);
    }
    struct block_head *heads = must(calloc(profile->n_tables, sizeof(*heads)));
    for (size_t i = 0; i < profile->n_tables; i++) {
        uint32_t bags = profile->samples;
        heads[i] = (struct block_head){
            .rows = profile->method == FRAME_METHOD_pool
                        ? bags
                        : bags * profile_bag(profile, i),
            .dim = profile->dim,
            .dtype = dtype,
            .row_bytes = (uint32_t)row_bytes,
            .codec = dtype == NB_PACKED ? format.codec : 0,
        };
    }
    uint64_t bytes;
    if (blocks_bytes(heads, profile->n_tables, 1, 1u << 30, &bytes) != 0) {
        die("reply");
    }
    blocks_body = (struct body){must(calloc(1, bytes)), bytes};
    struct blocks_writer writer;
    blocks_begin(&writer, blocks_body.data, 1);
    for (size_t i = 0; i < profile->n_tables; i++) {
        blocks_add(&writer, &heads[i]);
        blocks_end(&writer, 0);
    }
    free(heads);
}

static void make_status(const struct profile *profile)
{
    size_t n = profile->n_tables;
    Nibble__V1__TableStatus *tables = must(calloc(n, sizeof(*tables)));
    Nibble__V1__TableStatus **list = must(calloc(n, sizeof(*tables)));
    char(*names)[PROFILE_TABLE_BYTES] = must(calloc(n, sizeof(*names)));
    for (size_t i = 0; i < n; i++) {
        nibble__v1__table_status__init(&tables[i]);
        profile_table_name(i, names[i]);
        tables[i].name = names[i];
        tables[i].rows = profile->rows;
        tables[i].dim = profile->dim;
        list[i] = &tables[i];
    }
    Nibble__V1__ModelStatus model = NIBBLE__V1__MODEL_STATUS__INIT;
    char name[] = "static";
    model.name = name;
    model.version = 1;
    model.tables = list;
    model.n_tables = n;
    Nibble__V1__ModelStatus *models = &model;
    Nibble__V1__StatusReply reply = NIBBLE__V1__STATUS_REPLY__INIT;
    reply.server_version = name;
    reply.models = &models;
    reply.n_models = 1;
    status_body.bytes = nibble__v1__status_reply__get_packed_size(&reply);
    status_body.data = must(malloc(status_body.bytes));
    nibble__v1__status_reply__pack(&reply, status_body.data);
    free(tables);
    free(list);
    free(names);
}

/* ---- a connection ----------------------------------------------------- */

static const struct body *body_of(uint16_t method)
{
    return method == FRAME_METHOD_status ? &status_body
           : method == FRAME_METHOD_ping ? &empty_body
                                         : &blocks_body;
}

/* False: the peer sends no frames, or more than it takes replies to. */
static bool take_header(struct peer *peer)
{
    struct frame_header header;
    if (frame_header_get(peer->header, 1u << 30, &header, NULL) != 0 ||
        peer->n == QUEUE_MAX) {
        return false;
    }
    peer->skip = header.body_bytes;
    peer->header_bytes = 0;
    struct reply *reply = &peer->queue[(peer->first + peer->n++) % QUEUE_MAX];
    reply->body = body_of(header.method);
    header.kind = FRAME_REPLY;
    header.body_bytes = (uint32_t)reply->body->bytes;
    frame_header_put(reply->header, &header);
    return true;
}

static bool take_bytes(struct peer *peer, const uint8_t *from, size_t n)
{
    while (n > 0) {
        size_t *left = &peer->skip;
        size_t part = *left;
        if (part == 0) {
            part = FRAME_HEADER_BYTES - peer->header_bytes;
            part = n < part ? n : part;
            memcpy(peer->header + peer->header_bytes, from, part);
            peer->header_bytes += part;
        } else {
            part = n < part ? n : part;
            *left -= part;
        }
        from += part;
        n -= part;
        if (peer->header_bytes == FRAME_HEADER_BYTES && !take_header(peer)) {
            return false;
        }
    }
    return true;
}

static int gather(struct peer *peer, struct iovec *pieces)
{
    int n = 0;
    size_t skip = peer->head_sent;
    for (uint32_t i = 0; i < peer->n && n + 2 <= PIECES_MAX; i++) {
        struct reply *reply = &peer->queue[(peer->first + i) % QUEUE_MAX];
        size_t of_header =
            skip < FRAME_HEADER_BYTES ? skip : (size_t)FRAME_HEADER_BYTES;
        skip -= of_header;
        pieces[n++] = (struct iovec){reply->header + of_header,
                                     FRAME_HEADER_BYTES - of_header};
        if (reply->body->bytes > skip) {
            pieces[n++] = (struct iovec){(uint8_t *)reply->body->data + skip,
                                         reply->body->bytes - skip};
        }
        skip = 0;
    }
    return n;
}

static bool send_replies(struct peer *peer)
{
    struct iovec pieces[PIECES_MAX];
    while (peer->n > 0) {
        const struct msghdr message = {
            .msg_iov = pieces, .msg_iovlen = (size_t)gather(peer, pieces)};
        ssize_t sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN;
        }
        peer->head_sent += (size_t)sent;
        while (peer->n > 0) {
            size_t bytes =
                FRAME_HEADER_BYTES + peer->queue[peer->first].body->bytes;
            if (peer->head_sent < bytes) {
                break;
            }
            peer->head_sent -= bytes;
            peer->first = (peer->first + 1) % QUEUE_MAX;
            peer->n--;
        }
    }
    return true;
}

static bool serve_peer(struct peer *peer, uint32_t events)
{
    if ((events & EPOLLIN) != 0) {
        ssize_t n = recv(peer->fd, scratch, sizeof(scratch), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN) ||
            (n > 0 && !take_bytes(peer, scratch, (size_t)n))) {
            return false;
        }
    }
    return (events & EPOLLERR) == 0 && send_replies(peer);
}

static void add_peer(int epoll, int listener)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct peer *peer = must(calloc(1, sizeof(*peer)));
    peer->fd = fd;
    peer->queue = must(calloc(QUEUE_MAX, sizeof(*peer->queue)));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl");
    }
} /* NOLINT(clang-analyzer-unix.Malloc): the peer is with its event */

static void watch_peer(int epoll, struct peer *peer)
{
    struct epoll_event event = {
        .events = EPOLLIN | (peer->n > 0 ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = peer};
    epoll_ctl(epoll, EPOLL_CTL_MOD, peer->fd, &event);
}

/* ---- the server ------------------------------------------------------- */

static void stall(uint64_t ns, uint64_t *next)
{
    if (ns > 0 && now_ns() >= *next) {
        const struct timespec time = {.tv_nsec = (long)ns};
        nanosleep(&time, NULL);
        *next += STALL_EVERY;
    }
}

static void serve(int epoll, int listener, uint64_t stall_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t next = now_ns() + STALL_EVERY;
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        stall(stall_ns, &next);
        for (int i = 0; i < n; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == NULL) {
                add_peer(epoll, listener);
                continue;
            }
            bool waited = peer->n > 0;
            if (!serve_peer(peer, events[i].events)) {
                close(peer->fd);
                free(peer->queue);
                free(peer);
            } else if (waited != (peer->n > 0)) {
                watch_peer(epoll, peer);
            }
        }
    }
}

static int start_listener(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &bytes) != 0) {
        die("listen");
    }
    printf("127.0.0.1:%u\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"profile", required_argument, NULL, 'p'},
        {"dtype", required_argument, NULL, 'd'},
        {"stall-ms", required_argument, NULL, 's'},
        {0}};
    const struct profile *profile = NULL;
    uint32_t dtype = NB_FP32;
    uint64_t stall_ms = 0;
    int c;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'p') {
            profile = profile_by_name(optarg);
        } else if (c == 'd') {
            dtype = strcmp(optarg, "packed") == 0 ? NB_PACKED : NB_FP32;
        } else if (c == 's') {
            stall_ms = strtoull(optarg, NULL, 10);
        }
    }
    if (profile == NULL || stall_ms > 900) {
        fprintf(stderr, "usage: static_server --profile NAME "
                        "[--dtype packed] [--stall-ms 0..900]\n");
        return 2;
    }
    make_blocks(profile, dtype);
    make_status(profile);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = start_listener();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
        die("epoll");
    }
    serve(epoll, listener, stall_ms * 1000000u);
    return 0;
}
