/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/channel_fixture.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define DEADLINE_S UINT64_C(60)

static const uint64_t ids[PEER_ROWS] = {1, 2, 3};
static const struct nb_feature feature = {.table = "t",
                                          .ids = {.u64 = ids, .n = PEER_ROWS}};
const struct nb_request fixture_request = {.features = &feature,
                                           .n_features = 1};

static void on_tick(uv_timer_t *tick)
{
    (void)tick;
}

void fixture_channel_open(struct channel_fixture *fixture,
                          const struct nb_channel_options *options,
                          const char *first, const char *second)
{
    const char *addresses[] = {first, second};
    struct nb_errctx err = {""};
    ck_assert_int_eq(uv_loop_init(&fixture->loop), 0);
    uv_timer_init(&fixture->loop, &fixture->tick);
    uv_timer_start(&fixture->tick, on_tick, 2, 2);
    int rv =
        nb_channel_open_loop(&fixture->loop, addresses, second != NULL ? 2 : 1,
                             options, &fixture->channel, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void fixture_channel_close(struct channel_fixture *fixture)
{
    bool closed = false;
    nb_channel_close(fixture->channel, on_closed, &closed);
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    ck_assert_int_eq(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    ck_assert(closed);
    ck_assert_int_eq(uv_loop_close(&fixture->loop), 0);
}

void fixture_run_until(struct channel_fixture *fixture, fixture_cond_fn *holds,
                       void *arg)
{
    uint64_t deadline = uv_hrtime() + DEADLINE_S * 1000000000u;
    while (!holds(arg)) {
        if (uv_hrtime() > deadline) { /* an assertion that holds allocates */
            ck_abort_msg("not within %d s", (int)DEADLINE_S);
        }
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
}

struct all_done {
    const struct fixture_call *calls;
    unsigned n;
};

static bool are_done(void *arg)
{
    const struct all_done *all = arg;
    for (unsigned i = 0; i < all->n; i++) {
        if (all->calls[i].n_done == 0) {
            return false;
        }
    }
    return true;
}

void fixture_run(struct channel_fixture *fixture,
                 const struct fixture_call *calls, unsigned n)
{
    struct all_done all = {calls, n};
    fixture_run_until(fixture, are_done, &all);
}

struct connected {
    struct channel_fixture *fixture;
    unsigned n;
};

static bool is_connected(void *arg)
{
    const struct connected *wanted = arg;
    return fixture_counts(wanted->fixture).connected == wanted->n;
}

void fixture_run_connected(struct channel_fixture *fixture, unsigned n)
{
    struct connected wanted = {fixture, n};
    fixture_run_until(fixture, is_connected, &wanted);
}

void fixture_done(void *arg, const struct nb_outcome *outcome)
{
    struct fixture_call *call = arg;
    call->n_done++;
    call->code = outcome->code;
    call->remote_code = outcome->remote_code;
    snprintf(call->message, sizeof(call->message), "%s", outcome->message);
    snprintf(call->address, sizeof(call->address), "%s",
             outcome->address != NULL ? outcome->address : "");
    if (outcome->n_blocks > 0 && outcome->blocks[0].rows > 0) {
        memcpy(&call->value, outcome->blocks[0].values, sizeof(call->value));
    }
}

int fixture_lookup(struct channel_fixture *fixture, struct fixture_call *call,
                   uint32_t timeout_ms)
{
    *call = (struct fixture_call){.n_done = 0};
    call->target = (struct nb_target){call->values, sizeof(call->values)};
    call->options = (struct nb_call_options){.timeout_ms = timeout_ms,
                                             .targets = &call->target};
    return nb_channel_lookup(fixture->channel, &fixture_request, &call->options,
                             fixture_done, call, &call->ticket, NULL);
}

void fixture_call_once(struct channel_fixture *fixture,
                       struct fixture_call *call, uint32_t timeout_ms, int code)
{
    ck_assert_int_eq(fixture_lookup(fixture, call, timeout_ms), 0);
    ck_assert_uint_eq(call->n_done, 0);
    fixture_run(fixture, call, 1);
    ck_assert_uint_eq(call->n_done, 1);
    ck_assert_msg(call->code == code, "%d, not %d: %s", call->code, code,
                  call->message);
}

struct nb_channel_counts fixture_counts(struct channel_fixture *fixture)
{
    struct nb_channel_counts counts;
    nb_channel_count(fixture->channel, &counts);
    return counts;
}
