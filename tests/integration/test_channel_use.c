/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What callers may do with a channel: call at any moment of their loop's turn,
 * free everything in the callback, set limits at their ends, ask for nothing;
 * and how much hedging they get. */
#include <stdlib.h>
#include <string.h>

#include "client/lib/nibble_client.h"
#include "proto/blocks.h"
#include "tests/lib/channel_fixture.h"
#include "tests/lib/run_suite.h"

static struct channel_fixture fixture;
static struct fake_server servers[2];
static struct fixture_call calls[32];

static void setup(void)
{
    memset(servers, 0, sizeof(servers));
    memset(calls, 0, sizeof(calls));
    servers[0].value = 1;
    servers[1].value = 2;
}

static void answer_late(struct fake_server *server, int fd, unsigned nth)
{
    struct frame_header request;
    (void)nth;
    while (peer_read_request(fd, &request)) {
        server->n_requests++;
        fake_server_wait(server, fd);
        fake_answer(server, fd, &request);
    }
}

static bool was_asked(void *arg)
{
    return ((struct fake_server *)arg)->n_requests > 0;
}

/* ---- when ------------------------------------------------------------- */

static void call_once(uv_prepare_t *prepare)
{
    if (prepare->data != NULL) {
        prepare->data = NULL;
        ck_assert_int_eq(fixture_lookup(&fixture, &calls[0], 0), 0);
    }
}

/* The channel's own preparations are over by then, and nothing else happens
 * on the loop for minutes. */
START_TEST(a_call_just_before_the_loop_waits)
{
    const struct nb_channel_options options = {.keepalive_ms = 600000,
                                               .silence_ms = 600000};
    uv_prepare_t last;
    fake_server_start(&servers[0], fake_serve);
    ck_assert_int_eq(uv_loop_init(&fixture.loop), 0);
    uv_timer_init(&fixture.loop, &fixture.tick);
    uv_prepare_init(&fixture.loop, &last);
    last.data = NULL;
    uv_prepare_start(&last, call_once); /* what was started last runs first */
    const char *address = servers[0].address;
    ck_assert_int_eq(nb_channel_open_loop(&fixture.loop, &address, 1, &options,
                                          &fixture.channel, NULL),
                     0);
    fixture_run_connected(&fixture, 1);
    last.data = &last;
    fixture_run(&fixture, calls, 1);
    ck_assert_int_eq(calls[0].code, 0);
    uv_close((uv_handle_t *)&last, NULL);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static void call_again(void *arg, const struct nb_outcome *outcome)
{
    struct fixture_call *call = arg;
    fixture_done(call, outcome);
    if (call + 1 < calls + 32) {
        ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request,
                                           NULL, call_again, call + 1, NULL,
                                           NULL),
                         0);
    }
}

/* There is one place, which is free by the time of the callback. */
START_TEST(calls_from_callbacks)
{
    const struct nb_channel_options options = {.max_calls = 1};
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request, NULL,
                                       call_again, &calls[0], NULL, NULL),
                     0);
    fixture_run(&fixture, calls, 32);
    for (int i = 0; i < 32; i++) {
        ck_assert_int_eq(calls[i].code, 0);
        ck_assert_uint_eq(calls[i].n_done, 1);
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* ---- whose memory it is ----------------------------------------------- */

struct own_call {
    struct fixture_call *told;
    uint64_t *ids;
    char *table;
    struct nb_feature *feature;
    struct nb_target target;
};

/* All that the call has borrowed goes: sanitizers see who touches it. */
static void free_all(void *arg, const struct nb_outcome *outcome)
{
    struct own_call *own = arg;
    fixture_done(own->told, outcome);
    free(own->ids);
    free(own->table);
    free(own->feature);
    free(own->target.values);
    free(own);
}

static uint64_t call_with_own_memory(struct fixture_call *told)
{
    struct own_call *own = calloc(1, sizeof(*own));
    own->told = told;
    own->ids = calloc(PEER_ROWS, sizeof(*own->ids));
    own->ids[0] = UINT64_MAX; /* such ids are sent from where they are */
    own->table = strdup("t");
    own->feature = calloc(1, sizeof(*own->feature));
    own->target.bytes = sizeof(calls[0].values);
    own->target.values = malloc(own->target.bytes);
    own->feature->table = own->table;
    own->feature->ids.u64 = own->ids;
    own->feature->ids.n = PEER_ROWS;
    const struct nb_request request = {.features = own->feature,
                                       .n_features = 1};
    const struct nb_call_options options = {.targets = &own->target};
    uint64_t ticket = 0;
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &request, &options,
                                       free_all, own, &ticket, NULL),
                     0);
    return ticket;
}

START_TEST(an_answer_to_a_call_that_is_gone)
{
    fake_server_start(&servers[0], answer_late);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    uint64_t ticket = call_with_own_memory(&calls[0]);
    fixture_run_until(&fixture, was_asked, &servers[0]);
    nb_channel_cancel(fixture.channel, ticket);
    fixture_run(&fixture, calls, 1);
    ck_assert_int_eq(calls[0].code, NB_ERR_CANCELLED);
    servers[0].gate = true; /* the next answer comes behind that one */
    fixture_call_once(&fixture, &calls[1], 0, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

START_TEST(a_loser_of_a_hedge_that_answers_late)
{
    const struct nb_channel_options options = {.hedge_ms = 1};
    fake_server_start(&servers[0], answer_late);
    fake_server_start(&servers[1], fake_serve);
    fixture_channel_open(&fixture, &options, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    int n_calls = 0;
    while (servers[0].n_requests == 0 && n_calls < 31) {
        struct fixture_call *call = &calls[n_calls++];
        call_with_own_memory(call);
        fixture_run(&fixture, call, 1);
        ck_assert_int_eq(call->code, 0);
        ck_assert_float_eq(call->value, 2);
    }
    fixture_run_until(&fixture, was_asked, &servers[0]);
    servers[0].gate = true;
    fake_server_stop(&servers[1]);
    fixture_run_connected(&fixture, 1);
    fixture_call_once(&fixture, &calls[31], 0, 0); /* behind the late answer */
    ck_assert_float_eq(calls[31].value, 1);
    for (int i = 0; i < n_calls; i++) {
        ck_assert_uint_eq(calls[i].n_done, 1);
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* ---- how much --------------------------------------------------------- */

static bool hedges_were_due(void *n)
{
    const struct nb_channel_counts counts = fixture_counts(&fixture);
    return counts.hedges + counts.hedges_held == *(uint64_t *)n;
}

/* Two slow replicas are asked no more than a tenth above what they are. */
START_TEST(hedges_are_a_share_of_the_calls)
{
    const struct nb_channel_options options = {.hedge_ms = 1, .max_calls = 10};
    fake_server_start(&servers[0], fake_ignore);
    fake_server_start(&servers[1], fake_ignore);
    fixture_channel_open(&fixture, &options, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    for (unsigned round = 1; round <= 3; round++) {
        uint64_t due = UINT64_C(10) * round;
        for (int i = 0; i < 10; i++) {
            ck_assert_int_eq(fixture_lookup(&fixture, &calls[i], 0), 0);
        }
        fixture_run_until(&fixture, hedges_were_due, &due);
        ck_assert_uint_eq(fixture_counts(&fixture).hedges, round);
        while (servers[0].n_requests + servers[1].n_requests < 11 * round) {
            uv_run(&fixture.loop, UV_RUN_ONCE);
        }
        for (int i = 0; i < 10; i++) {
            nb_channel_cancel(fixture.channel, calls[i].ticket);
        }
        fixture_run(&fixture, calls, 10);
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
    ck_assert_uint_eq(servers[0].n_requests + servers[1].n_requests, 33);
}
END_TEST

START_TEST(limits_at_their_ends)
{
    const struct nb_channel_options options = {
        .connections = 2,
        .max_calls = 65536,
        .max_attempts = UINT32_MAX,
        .timeout_ms = UINT32_MAX,
        .connect_timeout_ms = UINT32_MAX,
        .max_reply_bytes = UINT32_MAX,
        .hedge_ms = UINT32_MAX,
        .hedge_percent = 100,
        .keepalive_ms = UINT32_MAX,
        .silence_ms = UINT32_MAX,
        .backoff_ms = UINT32_MAX,
        .backoff_max_ms = UINT32_MAX,
    };
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    fixture_call_once(&fixture, &calls[0], 0, 0);
    fixture_call_once(&fixture, &calls[1], UINT32_MAX, 0);
    fixture_channel_close(&fixture);
    const struct nb_channel_options least = {
        .connections = 1,
        .max_calls = 1,
        .max_attempts = 1,
        .timeout_ms = 1,
        .connect_timeout_ms = 1,
        .max_reply_bytes = 1, /* less than any answer */
        .hedge_ms = 1,
        .hedge_percent = 1,
        .keepalive_ms = 1,
        .silence_ms = 1,
        .backoff_ms = 1,
        .backoff_max_ms = 1,
    };
    fixture_channel_open(&fixture, &least, servers[0].address, NULL);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[2], 60000), 0);
    fixture_run(&fixture, &calls[2], 1);
    ck_assert_int_ne(calls[2].code, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static uint32_t told_timeout(int fd, struct frame_header *request)
{
    uint8_t body[64] = {0};
    uint32_t value = 0;
    peer_read_frame(fd, request, body, sizeof(body));
    for (unsigned i = 0; body[0] == 0x18 && i < 5; i++) {
        value |= (uint32_t)(body[1 + i] & 0x7f) << 7 * i;
        if (body[1 + i] < 0x80) {
            break;
        }
    }
    return value;
}

static atomic_uint told_in_turn[2];

/* The first connection ends when the gate is opened. */
static void tell_twice(struct fake_server *server, int fd, unsigned nth)
{
    struct frame_header request;
    told_in_turn[nth != 0] = told_timeout(fd, &request);
    server->n_requests++;
    if (nth == 0) {
        fake_server_wait(server, fd);
        return;
    }
    fake_answer(server, fd, &request);
    fake_serve(server, fd, nth);
}

static bool is_past(void *ns)
{
    return uv_hrtime() > *(uint64_t *)ns;
}

/* Who is asked late, for want of a connection or after a loss, is told what is
 * left. */
START_TEST(a_late_attempt_is_told_what_is_left)
{
    const struct nb_channel_options options = {.backoff_ms = 1,
                                               .backoff_max_ms = 1};
    fake_server_start(&servers[0], tell_twice); /* for a port */
    fake_server_stop(&servers[0]);
    servers[0].n_accepted = 0;
    fixture_channel_open(&fixture, &options, servers[0].address, NULL);
    ck_assert_int_eq(fixture_lookup(&fixture, &calls[0], 60000), 0);
    uint64_t then = uv_hrtime() + 20000000;
    fixture_run_until(&fixture, is_past, &then);
    fake_server_start(&servers[0], tell_twice);
    while (servers[0].n_requests == 0) {
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
    then = uv_hrtime() + 20000000;
    fixture_run_until(&fixture, is_past, &then);
    servers[0].gate = true;
    fixture_run(&fixture, &calls[0], 1);
    ck_assert_msg(calls[0].code == 0, "%s", calls[0].message);
    ck_assert_uint_ge(told_in_turn[1], 1);
    ck_assert_uint_le(told_in_turn[0], 60000 - 19);
    ck_assert_uint_le(told_in_turn[1], told_in_turn[0] - 19);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static atomic_uint n_told;

/* Whoever is asked first is silent, the other one answers. */
static void tell_in_order(struct fake_server *server, int fd, unsigned nth)
{
    struct frame_header request;
    uint32_t told = told_timeout(fd, &request);
    if (told == 0) {
        return; /* the client has gone */
    }
    unsigned at = atomic_fetch_add(&n_told, 1);
    if (at < 2) {
        told_in_turn[at] = told;
    }
    if (at == 0) {
        fake_server_wait(server, fd);
        return;
    }
    fake_answer(server, fd, &request);
    fake_serve(server, fd, nth);
}

START_TEST(a_hedge_is_told_what_is_left)
{
    const struct nb_channel_options options = {.hedge_ms = 30};
    n_told = 0;
    fake_server_start(&servers[0], tell_in_order);
    fake_server_start(&servers[1], tell_in_order);
    fixture_channel_open(&fixture, &options, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    fixture_call_once(&fixture, &calls[0], 60000, 0);
    ck_assert_uint_eq(fixture_counts(&fixture).hedge_won, 1);
    ck_assert_uint_eq(told_in_turn[0], 60000);
    ck_assert_uint_le(told_in_turn[1], 60000 - 29);
    ck_assert_uint_ge(told_in_turn[1], 1);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
}
END_TEST

/* ---- what is asked and answered --------------------------------------- */

static void answer_empty(struct fake_server *server, int fd, unsigned nth)
{
    const struct block_head head = {.dim = PEER_DIM, .row_bytes = 8};
    struct frame_header request;
    (void)server;
    (void)nth;
    while (peer_read_request(fd, &request)) {
        uint8_t body[64];
        uint64_t bytes;
        struct blocks_writer writer;
        blocks_bytes(&head, 1, 1, sizeof(body), &bytes);
        blocks_begin(&writer, body, 1);
        blocks_add(&writer, &head);
        blocks_end(&writer, 0);
        peer_write_frame(fd, &request, FRAME_REPLY, body, bytes);
    }
}

/* No ids, no bags: a block of a dim and no rows, for which no memory is. */
START_TEST(nothing_is_asked_for)
{
    const struct nb_feature nothing = {.table = "t"};
    const struct nb_request request = {.features = &nothing, .n_features = 1};
    const struct nb_target target = {NULL, 0};
    struct nb_block block = {.rows = 9};
    const struct nb_call_options options[] = {
        {.targets = &target, .blocks = &block},
        {.matrix = &target, .blocks = &block},
        {.blocks = &block}};
    fake_server_start(&servers[0], answer_empty);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    for (int i = 0; i < 3; i++) {
        block = (struct nb_block){.rows = 9};
        ck_assert_int_eq(nb_channel_pool(fixture.channel, &request, &options[i],
                                         fixture_done, &calls[i], NULL, NULL),
                         0);
        while (calls[i].n_done == 0) {
            uv_run(&fixture.loop, UV_RUN_ONCE);
        }
        ck_assert_msg(calls[i].code == 0, "%s", calls[i].message);
        ck_assert_uint_eq(block.rows, 0);
        ck_assert_uint_eq(block.dim, PEER_DIM);
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

/* No memory has no room, whatever is said of it. */
START_TEST(a_target_that_is_null)
{
    const struct nb_target target = {NULL, 1000};
    const struct nb_call_options options[] = {{.targets = &target},
                                              {.matrix = &target}};
    fake_server_start(&servers[0], fake_serve);
    fixture_channel_open(&fixture, NULL, servers[0].address, NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(nb_channel_lookup(fixture.channel, &fixture_request,
                                           &options[i], fixture_done, &calls[i],
                                           NULL, NULL),
                         0);
        fixture_run(&fixture, &calls[i], 1);
        ck_assert_int_eq(calls[i].code, NB_ERR_TOO_LARGE);
    }
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
}
END_TEST

static void answer_wider(struct fake_server *server, int fd, unsigned nth)
{
    const struct block_head head = {
        .rows = PEER_ROWS, .dim = 2 * PEER_DIM, .row_bytes = 8 * PEER_DIM};
    struct frame_header request;
    (void)nth;
    while (peer_read_request(fd, &request)) {
        uint8_t body[256];
        uint64_t bytes;
        struct blocks_writer writer;
        server->n_requests++;
        blocks_bytes(&head, 1, 1, sizeof(body), &bytes);
        blocks_begin(&writer, body, 1);
        memset(blocks_add(&writer, &head), 0x7f,
               sizeof(float) * 2 * PEER_DIM * PEER_ROWS);
        blocks_end(&writer, 0);
        peer_write_frame(fd, &request, FRAME_REPLY, body, bytes);
    }
}

/* Replicas that have different tables: the wider rows do not fit, and are not
 * written in part; those of the other replica do. */
START_TEST(replicas_that_disagree_on_dim)
{
    fake_server_start(&servers[0], fake_serve);
    fake_server_start(&servers[1], answer_wider);
    fixture_channel_open(&fixture, NULL, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(fixture_lookup(&fixture, &calls[i], 0), 0);
        fixture_run(&fixture, &calls[i], 1);
        bool wide = strcmp(calls[i].address, servers[1].address) == 0;
        ck_assert_int_eq(calls[i].code, wide ? NB_ERR_TOO_LARGE : 0);
        for (size_t j = 0; j < (size_t)PEER_ROWS * PEER_DIM; j++) {
            ck_assert_float_eq(calls[i].values[j], wide ? 0 : 1);
        }
    }
    ck_assert_uint_ge(servers[1].n_requests, 1);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel_use");
    TCase *tcase = tcase_create("use");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_call_just_before_the_loop_waits);
    tcase_add_test(tcase, calls_from_callbacks);
    tcase_add_test(tcase, an_answer_to_a_call_that_is_gone);
    tcase_add_test(tcase, a_loser_of_a_hedge_that_answers_late);
    tcase_add_test(tcase, hedges_are_a_share_of_the_calls);
    tcase_add_test(tcase, limits_at_their_ends);
    tcase_add_test(tcase, a_late_attempt_is_told_what_is_left);
    tcase_add_test(tcase, a_hedge_is_told_what_is_left);
    tcase_add_test(tcase, nothing_is_asked_for);
    tcase_add_test(tcase, a_target_that_is_null);
    tcase_add_test(tcase, replicas_that_disagree_on_dim);
    suite_add_tcase(suite, tcase);
    return suite;
}
