/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/fake_server.h"

#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *run_conn(void *arg)
{
    struct fake_conn *conn = arg;
    conn->server->script(conn->server, conn->fd, conn->nth);
    shutdown(conn->fd, SHUT_RDWR); /* closed by fake_server_stop() */
    return NULL;
}

static void *run_listener(void *arg)
{
    struct fake_server *server = arg;
    int fd;
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        /* The peer_ functions write headers and bodies apart. */
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (server->n_conns == FAKE_CONNS_MAX) {
            abort(); /* check's own assertions allocate */
        }
        struct fake_conn *conn = &server->conns[server->n_conns++];
        *conn = (struct fake_conn){
            .server = server, .fd = fd, .nth = server->n_accepted++};
        if (pthread_create(&conn->thread, NULL, run_conn, conn) != 0) {
            abort();
        }
    }
    return NULL;
}

void fake_server_start(struct fake_server *server, fake_script_fn *script)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(server->port)};
    socklen_t bytes = sizeof(at);
    int on = 1;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(server->listener, 0);
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    ck_assert_int_eq(bind(server->listener, (struct sockaddr *)&at, sizeof(at)),
                     0);
    ck_assert_int_eq(listen(server->listener, 64), 0);
    ck_assert_int_eq(
        getsockname(server->listener, (struct sockaddr *)&at, &bytes), 0);
    server->port = ntohs(at.sin_port);
    snprintf(server->address, sizeof(server->address), "127.0.0.1:%u",
             server->port);
    server->script = script;
    server->n_conns = 0;
    ck_assert_int_eq(
        pthread_create(&server->thread, NULL, run_listener, server), 0);
}

void fake_server_stop(struct fake_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (unsigned i = 0; i < server->n_conns; i++) {
        shutdown(server->conns[i].fd, SHUT_RDWR);
    }
    for (unsigned i = 0; i < server->n_conns; i++) {
        pthread_join(server->conns[i].thread, NULL);
        close(server->conns[i].fd);
    }
}

void fake_server_wait(struct fake_server *server, int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLRDHUP};
    while (!server->gate && poll(&wait, 1, 1) == 0) {
    }
}

void fake_server_wait_end(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLRDHUP};
    (void)poll(&wait, 1, -1);
}

void fake_answer(struct fake_server *server, int fd,
                 const struct frame_header *request)
{
    if (request->method == FRAME_METHOD_ping ||
        request->method == FRAME_METHOD_status) {
        peer_write_frame(fd, request, FRAME_REPLY, NULL, 0);
    } else {
        peer_write_rows(fd, request, server->value);
    }
}

void fake_serve(struct fake_server *server, int fd, unsigned nth)
{
    (void)nth;
    struct frame_header request;
    while (peer_read_request(fd, &request)) {
        server->n_requests++;
        fake_answer(server, fd, &request);
    }
}

void fake_ignore(struct fake_server *server, int fd, unsigned nth)
{
    (void)nth;
    struct frame_header request;
    while (peer_read_request(fd, &request)) {
        server->n_requests++;
    }
}
