/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * A closed loop of as little as can be done: the same frame always, as many as
 * replies have come, whose bytes are counted and not looked at. What a client
 * on epoll can reach against static_server, and so what `nibble bench` is
 * measured against.
 *     raw_client --server HOST:PORT --profile NAME [--dtype fp32|packed]
 *                [--connections 16] [--depth 1] [--ms 2000]
 * prints requests/s.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "client/bench/workload.h"
#include "client/lib/dial.h"
#include "client/lib/request_frame.h"
#include "proto/frame.h"

#define READ_BYTES (256u << 10)
#define EVENTS_MAX 64
#define WARM_UP_MS 300u

struct peer {
    int fd;
    size_t got;    /* of the replies, since the last whole one */
    size_t at;     /* in a frame: where sending goes on */
    size_t unsent; /* bytes of frames that are due */
    uint32_t events;
};

static struct {
    const char *server;
    uint32_t connections;
    uint32_t depth;
    uint32_t ms;
    uint8_t *frames; /* depth + 1 of them, one behind another */
    size_t frame_bytes;
    size_t reply_bytes;
    int epoll;
} load = {.connections = 16, .depth = 1, .ms = 2000};

static uint8_t scratch[READ_BYTES];

static void die(const char *why)
{
    fprintf(stderr, "raw_client: %s\n", why);
    exit(1); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void *must(void *memory)
{
    if (memory == NULL) {
        die("no memory");
    }
    return memory;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the frame -------------------------------------------------------- */

static void repeat_frame(const struct request_frame *frame)
{
    load.frame_bytes = frame->bytes;
    load.frames = must(malloc(frame->bytes * (load.depth + 1)));
    uint8_t *to = load.frames;
    for (uint32_t copy = 0; copy <= load.depth; copy++) {
        for (size_t i = 0; i < frame->n_iov; i++) {
            memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
            to += frame->iov[i].iov_len;
        }
    }
}

static void make_frames(const struct profile *profile, uint32_t dtype)
{
    const struct workload_options options = {.dtype = dtype};
    struct workload workload;
    struct request_frame frame = {0};
    struct nb_errctx err;
    if (workload_of_profile(profile, &options, &workload, &err) != 0) {
        die(err.text);
    }
    uint64_t *ids = must(calloc(workload.n_ids, sizeof(*ids)));
    for (size_t i = 0; i < workload.n_ids; i++) {
        ids[i] = i * 7919 % profile->rows;
    }
    for (size_t i = 0; i < workload.n_tables; i++) {
        workload.features[i].ids.u64 = ids;
    }
    const struct request_call call = {
        .method = workload.method, .request_id = 1, .timeout_ms = 30000};
    if (request_frame_encode(&frame, &call, &workload.request, &err) != 0) {
        die(err.text);
    }
    repeat_frame(&frame);
    request_frame_fini(&frame);
    workload_fini(&workload);
    free(ids);
}

/* ---- connections ------------------------------------------------------ */

static void send_due(struct peer *peer)
{
    while (peer->unsent > 0) {
        ssize_t n =
            send(peer->fd, load.frames + peer->at, peer->unsent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            die(nb_strerror(-errno));
        }
        peer->unsent -= (size_t)n;
        peer->at = (peer->at + (size_t)n) % load.frame_bytes;
    }
    uint32_t events = EPOLLIN | (peer->unsent > 0 ? (uint32_t)EPOLLOUT : 0);
    if (events != peer->events) {
        struct epoll_event event = {.events = events, .data.ptr = peer};
        peer->events = events;
        if (epoll_ctl(load.epoll, EPOLL_CTL_MOD, peer->fd, &event) != 0) {
            die(nb_strerror(-errno));
        }
    }
}

/* How many replies that made whole. */
static size_t receive(struct peer *peer)
{
    ssize_t n = recv(peer->fd, scratch, sizeof(scratch), 0);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n <= 0) {
        die(n == 0 ? "the server closed a connection" : nb_strerror(-errno));
    }
    peer->got += (size_t)n;
    size_t replies = peer->got / load.reply_bytes;
    peer->got %= load.reply_bytes;
    peer->unsent += replies * load.frame_bytes;
    return replies;
}

/* Every reply is as long as this one. */
static void learn_reply(int fd)
{
    struct frame_header header;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    size_t got = 0;
    struct peer peer = {
        .fd = fd, .unsent = load.frame_bytes, .events = EPOLLIN};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peer};
    epoll_ctl(load.epoll, EPOLL_CTL_ADD, fd, &event);
    while (got < FRAME_HEADER_BYTES) {
        send_due(&peer);
        poll(&wait, 1, 1);
        ssize_t n = recv(fd, scratch + got, FRAME_HEADER_BYTES - got, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            die("no reply");
        }
        got += n > 0 ? (size_t)n : 0;
    }
    if (frame_header_get(scratch, 1u << 30, &header, NULL) != 0 ||
        header.kind != FRAME_REPLY) {
        die("a reply of another kind");
    }
    load.reply_bytes = FRAME_HEADER_BYTES + (size_t)header.body_bytes;
    for (size_t left = header.body_bytes; left > 0;) {
        poll(&wait, 1, -1);
        ssize_t n = recv(fd, scratch,
                         left < sizeof(scratch) ? left : sizeof(scratch), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            die("no reply");
        }
        left -= n > 0 ? (size_t)n : 0;
    }
    epoll_ctl(load.epoll, EPOLL_CTL_DEL, fd, NULL);
}

static void open_peer(struct peer *peer)
{
    struct nb_errctx err;
    if (dial_connect(load.server, 5000, &peer->fd, &err) != 0) {
        die(err.text);
    }
    if (load.reply_bytes == 0) {
        learn_reply(peer->fd);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    peer->events = EPOLLIN;
    peer->unsent = load.frame_bytes * load.depth;
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, peer->fd, &event) != 0) {
        die(nb_strerror(-errno));
    }
}

/* ---- the load --------------------------------------------------------- */

static double run_until(uint64_t until)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t from = now_ns();
    uint64_t now = from;
    uint64_t replies = 0;
    while (now < until) {
        int n = epoll_wait(load.epoll, events, EVENTS_MAX, 100);
        for (int i = 0; i < n; i++) {
            struct peer *peer = events[i].data.ptr;
            replies += receive(peer);
            send_due(peer);
        }
        now = now_ns();
    }
    return (double)replies / ((double)(now - from) * 1e-9);
}

static uint32_t number(const char *text, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < 1 || value > max) {
        die("a number is not one, or out of range");
    }
    return (uint32_t)value;
}

static void parse(int argc, char **argv, const struct profile **profile,
                  uint32_t *dtype)
{
    static const struct option rows[] = {
        {"server", required_argument, NULL, 's'},
        {"profile", required_argument, NULL, 'p'},
        {"dtype", required_argument, NULL, 't'},
        {"connections", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"ms", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    int row;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while ((row = getopt_long(argc, argv, "", rows, NULL)) != -1) {
        if (row == 's') {
            load.server = optarg;
        } else if (row == 'p') {
            *profile = profile_by_name(optarg);
        } else if (row == 't') {
            *dtype = strcmp(optarg, "packed") == 0 ? NB_PACKED : NB_FP32;
        } else if (row == 'c') {
            load.connections = number(optarg, 1024);
        } else if (row == 'd') {
            load.depth = number(optarg, 1024);
        } else if (row == 'm') {
            load.ms = number(optarg, 3600000);
        }
    }
    if (load.server == NULL || *profile == NULL) {
        die("--server HOST:PORT and --profile NAME are needed");
    }
}

int main(int argc, char **argv)
{
    const struct profile *profile = NULL;
    uint32_t dtype = NB_FP32;
    parse(argc, argv, &profile, &dtype);
    make_frames(profile, dtype);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct peer *peers = must(calloc(load.connections, sizeof(*peers)));
    for (uint32_t i = 0; i < load.connections; i++) {
        open_peer(&peers[i]);
    }
    for (uint32_t i = 0; i < load.connections; i++) {
        send_due(&peers[i]);
    }
    (void)run_until(now_ns() + WARM_UP_MS * UINT64_C(1000000));
    printf("%.0f requests/s\n",
           run_until(now_ns() + load.ms * UINT64_C(1000000)));
    free(peers);
    free(load.frames);
    return 0;
}
