/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The client where every allocation fails once, and from then on: an error, no
 * leak, and never a request half sent and forgotten. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "client/lib/nibble_client.h"
#include "tests/lib/fake_peer.h"
#include "tests/lib/faults.h"
#include "tests/lib/run_suite.h"

#define CALLS_MAX 100

static struct nb_errctx err;

static void answer(int fd)
{
    struct frame_header header;
    while (peer_read_request(fd, &header)) {
        peer_write_rows(fd, &header, 1.0F);
    }
}

/* One lookup of `n` ids over a new connection. */
static int ask(const char *address, uint32_t timeout_ms, const uint32_t *ids,
               size_t n)
{
    const struct nb_feature feature = {.table = "t",
                                       .ids = {.u32 = ids, .n = n}};
    const struct nb_request request = {.features = &feature, .n_features = 1};
    const struct nb_client_options options = {.timeout_ms = timeout_ms};
    struct nb_client *client = NULL;
    struct nb_reply reply;
    int rv = nb_client_connect(address, &options, &client, &err);
    if (rv == 0) {
        rv = nb_client_lookup(client, &request, &reply, &err);
    }
    if (rv == NB_ERR_NOMEM && client != NULL && timeout_ms == 0) {
        faults_disarm(); /* the connection lives on */
        rv = nb_client_lookup(client, &request, &reply, &err);
        rv = rv == 0 ? NB_ERR_NOMEM : NB_ERR_CLOSED;
    }
    nb_client_close(client);
    return rv;
}

START_TEST(lookups_without_memory)
{
    const uint32_t ids[PEER_ROWS] = {1, 2, 3};
    int rv = -1;
    size_t n = 0;
    for (; rv != 0; n++) {
        ck_assert_uint_lt(n, CALLS_MAX);
        const char *address = peer_start(answer);
        faults_arm(FAULT_ALLOC, n, ENOMEM, _i != 0);
        rv = ask(address, 0, ids, PEER_ROWS);
        faults_disarm();
        if (rv != 0) {
            ck_assert_msg(rv == NB_ERR_NOMEM, "call %zu: %d: %s", n, rv,
                          err.text);
            ck_assert_str_ne(err.text, "");
        }
        if (n == 0) { /* not even a client: nobody connects */
            ck_assert_int_eq(ask(address, 0, ids, PEER_ROWS), 0);
        }
        peer_stop();
    }
    ck_assert_uint_gt(n, 4);
}
END_TEST

#define MANY_IDS (4u << 20)

static pthread_barrier_t barrier;

static void take_nothing(int fd)
{
    (void)fd;
    pthread_barrier_wait(&barrier);
}

/* Giving a request up needs memory for its rest. Without it the connection is
 * over, and says so. */
START_TEST(requests_cut_short_without_memory)
{
    pthread_barrier_init(&barrier, NULL, 2);
    uint32_t *ids = calloc(MANY_IDS, sizeof(*ids));
    bool saw_closed = false;
    int rv = 0;
    for (size_t n = 1; rv != NB_ERR_TIMEOUT; n++) {
        ck_assert_uint_lt(n, CALLS_MAX);
        const char *address = peer_start(take_nothing);
        faults_arm(FAULT_ALLOC, n, ENOMEM, false);
        rv = ask(address, 50, ids, MANY_IDS);
        bool given = faults_disarm();
        pthread_barrier_wait(&barrier);
        peer_stop();
        ck_assert(given == (rv != NB_ERR_TIMEOUT));
        saw_closed = saw_closed || rv == NB_ERR_CLOSED;
    }
    ck_assert(saw_closed);
    free(ids);
    pthread_barrier_destroy(&barrier);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("client_faults");
    TCase *tcase = tcase_create("faults");
    tcase_add_loop_test(tcase, lookups_without_memory, 0, 2);
    tcase_add_test(tcase, requests_cut_short_without_memory);
    suite_add_tcase(suite, tcase);
    return suite;
}
