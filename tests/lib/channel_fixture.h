/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A channel on a loop of the test's, and calls that note how they ended. */
#ifndef NB_TESTS_LIB_CHANNEL_FIXTURE_H
#define NB_TESTS_LIB_CHANNEL_FIXTURE_H

#include <stdbool.h>

#include <uv.h>

#include "client/lib/nibble_client.h"
#include "tests/lib/fake_server.h"

struct channel_fixture {
    uv_loop_t loop;
    uv_timer_t tick; /* so that a condition is looked at */
    struct nb_channel *channel;
};

/* A lookup of PEER_ROWS rows of a table "t". */
struct fixture_call {
    unsigned n_done; /* how often `done` was called */
    int code;
    uint32_t remote_code;
    float value; /* the first */
    uint64_t ticket;
    char message[256];
    char address[64];
    struct nb_target target;
    struct nb_call_options options; /* NULL target: none */
    float values[PEER_ROWS * PEER_DIM];
};

void fixture_channel_open(struct channel_fixture *fixture,
                          const struct nb_channel_options *options,
                          const char *first, const char *second);

/* Closes, and checks that nothing is left on the loop. */
void fixture_channel_close(struct channel_fixture *fixture);

/* Runs the loop until all `n` calls are done. */
void fixture_run(struct channel_fixture *fixture,
                 const struct fixture_call *calls, unsigned n);

/* Runs the loop until the condition holds. */
typedef bool fixture_cond_fn(void *arg);
void fixture_run_until(struct channel_fixture *fixture, fixture_cond_fn *holds,
                       void *arg);

/* Runs the loop until there are so many connections. */
void fixture_run_connected(struct channel_fixture *fixture, unsigned n);

/* Starts the call; its values go to call->values. */
int fixture_lookup(struct channel_fixture *fixture, struct fixture_call *call,
                   uint32_t timeout_ms);

/* Starts it, runs it to its end, which must be `code`. */
void fixture_call_once(struct channel_fixture *fixture,
                       struct fixture_call *call, uint32_t timeout_ms,
                       int code);

/* For calls that are started otherwise; arg is a struct fixture_call. */
void fixture_done(void *arg, const struct nb_outcome *outcome);

extern const struct nb_request fixture_request;

struct nb_channel_counts fixture_counts(struct channel_fixture *fixture);

#endif
