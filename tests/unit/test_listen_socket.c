/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/net/listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/run_suite.h"

#define N_SOCKETS 4u
#define N_RIVALS  4u
#define ROUNDS    200

static struct nb_errctx err;

static void close_fds(const int *fds)
{
    for (unsigned i = 0; i < N_SOCKETS; i++) {
        ck_assert_int_eq(close(fds[i]), 0);
    }
}

static struct listen_address address_of(const char *text)
{
    struct listen_address address;
    ck_assert_int_eq(listen_address_parse(text, &address, &err), 0);
    return address;
}

/* A port that is free, unless someone takes it now. */
static struct listen_address free_address(void)
{
    char text[LISTEN_ADDRESS_TEXT];
    int fds[N_SOCKETS];
    struct listen_address address = address_of("127.0.0.1:0");
    ck_assert_int_eq(listen_socket_open(&address, N_SOCKETS, fds, &err), 0);
    ck_assert_int_eq(listen_address_of(fds[0], text), 0);
    for (unsigned i = 1; i < N_SOCKETS; i++) {
        char other[LISTEN_ADDRESS_TEXT];
        ck_assert_int_eq(listen_address_of(fds[i], other), 0);
        ck_assert_str_eq(text, other);
    }
    close_fds(fds);
    return address_of(text);
}

/* ---- rivals ---------------------------------------------------------- */

struct rival {
    pthread_t thread;
    const struct listen_address *address;
    pthread_barrier_t *start;
    int rv;
    int fds[N_SOCKETS];
};

static void *take(void *arg)
{
    struct rival *rival = arg;
    struct nb_errctx why;
    pthread_barrier_wait(rival->start);
    rival->rv = listen_socket_open(rival->address, N_SOCKETS, rival->fds, &why);
    return NULL;
}

static void compete(const struct listen_address *address)
{
    struct rival rivals[N_RIVALS];
    pthread_barrier_t start;
    unsigned n_won = 0;
    pthread_barrier_init(&start, NULL, N_RIVALS);
    for (unsigned i = 0; i < N_RIVALS; i++) {
        rivals[i] = (struct rival){.address = address, .start = &start};
        ck_assert_int_eq(
            pthread_create(&rivals[i].thread, NULL, take, &rivals[i]), 0);
    }
    for (unsigned i = 0; i < N_RIVALS; i++) {
        pthread_join(rivals[i].thread, NULL);
        ck_assert(rivals[i].rv == 0 || rivals[i].rv == -EADDRINUSE);
        n_won += rivals[i].rv == 0;
    }
    ck_assert_uint_le(n_won, 1);
    for (unsigned i = 0; i < N_RIVALS; i++) {
        if (rivals[i].rv == 0) {
            close_fds(rivals[i].fds);
        }
    }
    pthread_barrier_destroy(&start);
}

START_TEST(a_port_is_taken_once)
{
    struct listen_address address = free_address();
    for (int i = 0; i < ROUNDS; i++) {
        compete(&address);
    }
}
END_TEST

/* ---- several addresses ----------------------------------------------- */

static struct sockaddr_in ipv4(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    ck_assert_int_eq(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return address;
}

static struct addrinfo info_of(struct sockaddr_in *address,
                               struct addrinfo *next)
{
    return (struct addrinfo){.ai_family = AF_INET,
                             .ai_addr = (struct sockaddr *)address,
                             .ai_addrlen = sizeof(*address),
                             .ai_next = next};
}

START_TEST(an_address_of_another_machine_is_passed_over)
{
    struct sockaddr_in ours = ipv4("127.0.0.1");
    struct sockaddr_in other = ipv4("192.0.2.1");
    struct addrinfo second = info_of(&ours, NULL);
    struct addrinfo first = info_of(&other, &second);
    char text[LISTEN_ADDRESS_TEXT];
    int fds[N_SOCKETS];
    ck_assert_int_eq(listen_socket_open_found(&first, N_SOCKETS, fds), 0);
    ck_assert_int_eq(listen_address_of(fds[N_SOCKETS - 1], text), 0);
    ck_assert_int_eq(strncmp(text, "127.0.0.1:", 10), 0);
    close_fds(fds);
    first.ai_next = NULL;
    ck_assert_int_eq(listen_socket_open_found(&first, N_SOCKETS, fds),
                     -EADDRNOTAVAIL);
}
END_TEST

/* Who asks for it does not want to be found at the next. */
START_TEST(an_address_that_is_taken_is_not)
{
    struct sockaddr_in taken = ipv4("127.0.0.2");
    struct sockaddr_in ours = ipv4("127.0.0.1");
    socklen_t bytes = sizeof(taken);
    struct addrinfo second = info_of(&ours, NULL);
    struct addrinfo first = info_of(&taken, &second);
    int fds[N_SOCKETS];
    int none[N_SOCKETS];
    ck_assert_int_eq(listen_socket_open_found(&first, N_SOCKETS, fds), 0);
    ck_assert_int_eq(getsockname(fds[0], (struct sockaddr *)&taken, &bytes), 0);
    ck_assert_int_eq(listen_socket_open_found(&first, N_SOCKETS, none),
                     -EADDRINUSE);
    close_fds(fds);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("listen_socket");
    TCase *tcase = tcase_create("listen_socket");
    tcase_add_test(tcase, a_port_is_taken_once);
    tcase_add_test(tcase, an_address_of_another_machine_is_passed_over);
    tcase_add_test(tcase, an_address_that_is_taken_is_not);
    suite_add_tcase(suite, tcase);
    return suite;
}
