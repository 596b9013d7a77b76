/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Servers that do what their test wants, several at a time: each takes any
 * number of connections, and runs the script for each on a thread of its own.
 * Scripts are made of the peer_ functions of fake_peer.h. */
#ifndef NB_TESTS_LIB_FAKE_SERVER_H
#define NB_TESTS_LIB_FAKE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/fake_peer.h"

#define FAKE_CONNS_MAX 256

struct fake_server;

/* What is done with the nth connection, from 0, which is closed afterwards. */
typedef void fake_script_fn(struct fake_server *server, int fd, unsigned nth);

struct fake_server {
    char address[64];
    fake_script_fn *script;
    float value;            /* for the script: of its rows */
    atomic_uint n_requests; /* for the script: that it has read */
    atomic_uint n_accepted;
    atomic_bool gate; /* for the script: may it go on? */
    int listener;
    uint16_t port;
    pthread_t thread;
    struct fake_conn {
        struct fake_server *server;
        pthread_t thread;
        int fd;
        unsigned nth;
    } conns[FAKE_CONNS_MAX];
    unsigned n_conns;
};

/* The first time on a port of its own, then on the same one again. */
void fake_server_start(struct fake_server *server, fake_script_fn *script);

/* Ends listening and every connection; waits for the scripts. */
void fake_server_stop(struct fake_server *server);

/* For scripts: until the gate is opened, or the client has gone. */
void fake_server_wait(struct fake_server *server, int fd);

/* Until the client has gone; reads nothing. */
void fake_server_wait_end(int fd);

/* A script: answers every request with rows of `value`, and Pings. */
void fake_serve(struct fake_server *server, int fd, unsigned nth);

/* The answer to one request, of whatever method. */
void fake_answer(struct fake_server *server, int fd,
                 const struct frame_header *request);

/* A script: reads, and says nothing. */
void fake_ignore(struct fake_server *server, int fd, unsigned nth);

#endif
