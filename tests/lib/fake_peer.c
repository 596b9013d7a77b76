/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/fake_peer.h"

#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/blocks.h"
#include "proto/nibble.pb-c.h"

static struct {
    int listener;
    pthread_t thread;
    peer_script_fn *script;
    char address[160];
    const char *path; /* of a Unix socket, NULL otherwise */
} peer;

static void *run_script(void *unused)
{
    int fd = accept(peer.listener, NULL, NULL);
    if (fd < 0) {
        abort(); /* check's own assertions allocate */
    }
    peer.script(fd);
    close(fd);
    return unused;
}

static void start(int fd, struct sockaddr *at, socklen_t bytes,
                  peer_script_fn *script)
{
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, at, bytes), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, at, &bytes), 0);
    peer.listener = fd;
    peer.script = script;
    ck_assert_int_eq(pthread_create(&peer.thread, NULL, run_script, NULL), 0);
}

const char *peer_start(peer_script_fn *script)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    start(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof(at),
          script);
    snprintf(peer.address, sizeof(peer.address), "localhost:%u",
             ntohs(at.sin_port));
    peer.path = NULL;
    return peer.address;
}

const char *peer_start_unix(peer_script_fn *script)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *scratch = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe) */
    snprintf(at.sun_path, sizeof(at.sun_path), "%.80s/%d.sock",
             scratch != NULL ? scratch : "/tmp", (int)getpid());
    unlink(at.sun_path);
    snprintf(peer.address, sizeof(peer.address), "unix:%s", at.sun_path);
    peer.path = peer.address + strlen("unix:");
    start(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof(at),
          script);
    return peer.address;
}

void peer_stop(void)
{
    pthread_join(peer.thread, NULL);
    close(peer.listener);
    if (peer.path != NULL) {
        unlink(peer.path);
    }
}

static bool read_all(int fd, void *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = recv(fd, (char *)to + at, n - at, 0);
        if (got <= 0) {
            return false;
        }
        at += (size_t)got;
    }
    return true;
}

/* Allocates nothing: a test may count allocations. */
static bool skip(int fd, size_t n)
{
    char part[4096];
    while (n > 0) {
        size_t take = n < sizeof(part) ? n : sizeof(part);
        if (!read_all(fd, part, take)) {
            return false;
        }
        n -= take;
    }
    return true;
}

void peer_write(int fd, const void *from, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t put = send(fd, (const char *)from + at, n - at, MSG_NOSIGNAL);
        if (put <= 0) {
            return;
        }
        at += (size_t)put;
    }
}

bool peer_read_frame(int fd, struct frame_header *header, void *body,
                     size_t max)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    if (!read_all(fd, bytes, sizeof(bytes)) ||
        frame_header_get(bytes, UINT32_MAX, header, NULL) != 0) {
        return false;
    }
    size_t n = header->body_bytes < max ? header->body_bytes : max;
    return read_all(fd, body, n) && skip(fd, header->body_bytes - n);
}

bool peer_read_request(int fd, struct frame_header *header)
{
    return peer_read_frame(fd, header, NULL, 0);
}

void peer_write_frame(int fd, const struct frame_header *request,
                      enum frame_kind kind, const void *body, size_t bytes)
{
    struct frame_header header = *request;
    header.kind = (uint8_t)kind;
    header.body_bytes = (uint32_t)bytes;
    uint8_t head[FRAME_HEADER_BYTES];
    frame_header_put(head, &header);
    peer_write(fd, head, sizeof(head));
    peer_write(fd, body, bytes);
}

static void write_rows(int fd, const struct frame_header *request, float value,
                       bool newer)
{
    const struct block_head head = {.rows = PEER_ROWS,
                                    .dim = PEER_DIM,
                                    .row_bytes = PEER_DIM * sizeof(float)};
    static const uint8_t field[] = {0x9a, 0x06, 1, 'x'}; /* number 99, "x" */
    uint8_t body[256];
    uint64_t bytes;
    blocks_bytes(&head, 1, 1, sizeof(body), &bytes);
    struct blocks_writer writer;
    blocks_begin(&writer, body, 1);
    uint8_t *values = blocks_add(&writer, &head);
    for (size_t i = 0; i < (size_t)PEER_ROWS * PEER_DIM; i++) {
        memcpy(values + i * sizeof(value), &value, sizeof(value));
    }
    blocks_end(&writer, 0);
    memcpy(body + bytes, field, sizeof(field));
    peer_write_frame(fd, request, FRAME_REPLY, body,
                     bytes + (newer ? sizeof(field) : 0));
}

void peer_write_rows(int fd, const struct frame_header *request, float value)
{
    write_rows(fd, request, value, false);
}

void peer_write_newer_rows(int fd, const struct frame_header *request,
                           float value)
{
    write_rows(fd, request, value, true);
}

void peer_write_error(int fd, const struct frame_header *request, uint32_t code,
                      char *message)
{
    Nibble__V1__Error error = NIBBLE__V1__ERROR__INIT;
    error.code = code;
    error.message = message;
    uint8_t body[256];
    size_t bytes = nibble__v1__error__pack(&error, body);
    peer_write_frame(fd, request, FRAME_ERROR, body, bytes);
}

void peer_drain(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}
