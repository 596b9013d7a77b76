/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Packed rows whose parameters the channel has to ask for: once, again when
 * they change, and in vain. */
#include <string.h>

#include "client/lib/nibble_client.h"
#include "proto/blocks.h"
#include "proto/nibble.pb-c.h"
#include "proto/rpc_code.h"
#include "quant/bytes.h"
#include "tests/lib/channel_fixture.h"
#include "tests/lib/run_suite.h"

/* Rows of q4 with fp16 scales: codes 1 and 2, scale 1, bias 0. */
#define ROW_BYTES 5

static struct channel_fixture fixture;
static struct fake_server server;
static struct fixture_call calls[8];

/* What the server says; rows tell `id`, the status `told_id`. */
static struct {
    atomic_uint id;
    atomic_uint told_id;
    atomic_uint n_status;
    atomic_uint n_refusals; /* of the status, to come */
    atomic_bool id_runs;    /* a new one for every reply */
} world;

static void write_packed(int fd, uint32_t id,
                         const struct frame_header *request)
{
    const struct block_head head = {.rows = PEER_ROWS,
                                    .dim = PEER_DIM,
                                    .dtype = NB_PACKED,
                                    .row_bytes = ROW_BYTES,
                                    .codec = 1,
                                    .params = id};
    uint8_t body[256];
    uint64_t bytes;
    blocks_bytes(&head, 1, 3, sizeof(body), &bytes);
    struct blocks_writer writer;
    blocks_begin(&writer, body, 3);
    uint8_t *row = blocks_add(&writer, &head);
    for (int i = 0; i < PEER_ROWS; i++, row += ROW_BYTES) {
        row[0] = 0x21;
        put_u16(row + 1, 0x3c00);
        put_u16(row + 3, 0);
    }
    blocks_end(&writer, 0);
    peer_write_frame(fd, request, FRAME_REPLY, body, bytes);
}

static void write_params(int fd, uint32_t id,
                         const struct frame_header *request)
{
    float means[PEER_DIM] = {100, 200};
    Nibble__V1__TableParams params = NIBBLE__V1__TABLE_PARAMS__INIT;
    Nibble__V1__StatusReply reply = NIBBLE__V1__STATUS_REPLY__INIT;
    params.version = 3;
    params.codec = 1;
    params.dim = PEER_DIM;
    params.params = id;
    params.n_column_mean = PEER_DIM;
    params.column_mean = means;
    reply.params = &params;
    uint8_t body[256];
    size_t bytes = nibble__v1__status_reply__pack(&reply, body);
    peer_write_frame(fd, request, FRAME_REPLY, body, bytes);
}

static void serve_packed(struct fake_server *of, int fd, unsigned nth)
{
    (void)nth;
    struct frame_header request;
    uint32_t own = (uint32_t)of->value; /* of this replica, 0: of all */
    while (peer_read_request(fd, &request)) {
        of->n_requests++;
        if (request.method == FRAME_METHOD_lookup) {
            world.id += world.id_runs;
            write_packed(fd, own != 0 ? own : world.id, &request);
        } else if (world.n_refusals > 0) {
            world.n_refusals--;
            world.n_status++;
            peer_write_error(fd, &request, RPC_NOT_FOUND, "version: gone");
        } else {
            world.n_status++;
            write_params(fd, own != 0 ? own : world.told_id, &request);
        }
    }
}

/* ---- many tables ------------------------------------------------------ */

/* Every block of the reply has parameters of its own. */
#define MANY 1100

static size_t n_many; /* that are asked for at once */

static void write_many(int fd, const struct frame_header *request)
{
    static struct block_head heads[MANY];
    static uint8_t body[MANY * 64];
    uint64_t bytes;
    struct blocks_writer writer;
    for (size_t i = 0; i < n_many; i++) {
        heads[i] = (struct block_head){.rows = 1,
                                       .dim = PEER_DIM,
                                       .dtype = NB_PACKED,
                                       .row_bytes = ROW_BYTES,
                                       .codec = 1,
                                       .params = 100 + i};
    }
    ck_assert_int_eq(blocks_bytes(heads, n_many, 3, sizeof(body), &bytes), 0);
    blocks_begin(&writer, body, 3);
    for (size_t i = 0; i < n_many; i++) {
        static const uint8_t row[ROW_BYTES] = {0x21, 0, 0x3c, 0, 0};
        memcpy(blocks_add(&writer, &heads[i]), row, ROW_BYTES);
        blocks_end(&writer, 0);
    }
    peer_write_frame(fd, request, FRAME_REPLY, body, bytes);
}

/* Says the parameters in the order in which they are asked for. */
static void serve_many(struct fake_server *of, int fd, unsigned nth)
{
    struct frame_header request;
    uint32_t n_told = 0;
    (void)nth;
    while (peer_read_request(fd, &request)) {
        of->n_requests++;
        if (request.method == FRAME_METHOD_lookup) {
            write_many(fd, &request);
        } else {
            write_params(fd, 100 + n_told++, &request);
        }
    }
}

static void ask_many(size_t n, struct fixture_call *call)
{
    static struct nb_feature features[MANY];
    static float values[MANY][PEER_DIM];
    static const uint64_t id = 1;
    const struct nb_target matrix = {values, sizeof(values)};
    const struct nb_call_options options = {.matrix = &matrix};
    n_many = n;
    for (size_t i = 0; i < n; i++) {
        features[i] =
            (struct nb_feature){.table = "t", .ids = {.u64 = &id, .n = 1}};
    }
    struct nb_request request = {
        .dtype = NB_PACKED, .features = features, .n_features = n};
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &request, &options,
                                       fixture_done, call, NULL, NULL),
                     0);
    fixture_run(&fixture, call, 1);
    ck_assert_msg(call->code == 0, "%s", call->message);
    for (size_t i = 0; i < n; i++) {
        ck_assert_float_eq(values[i][0], 101);
        ck_assert_float_eq(values[i][1], 202);
    }
}

static struct fake_server many;

/* The first are gone when the last come, and their rows are there already: they
 * are not asked for again. */
START_TEST(more_tables_than_parameters_are_kept)
{
    fake_server_start(&many, serve_many);
    fixture_channel_open(&fixture, NULL, many.address, NULL);
    ask_many(MANY, &calls[0]);
    ck_assert_uint_eq(many.n_requests, 1 + MANY);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&many);
}
END_TEST

static struct nb_request packed_request(void)
{
    struct nb_request request = fixture_request;
    request.dtype = NB_PACKED;
    return request;
}

/* Rows of the table to the call's values. */
static void look_up(struct fixture_call *call, bool matrix)
{
    const struct nb_request request = packed_request();
    *call = (struct fixture_call){.n_done = 0};
    call->target = (struct nb_target){call->values, sizeof(call->values)};
    const struct nb_call_options options = {
        .targets = matrix ? NULL : &call->target,
        .matrix = matrix ? &call->target : NULL,
    };
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &request, &options,
                                       fixture_done, call, NULL, NULL),
                     0);
    fixture_run(&fixture, call, 1);
}

static void check_values(const struct fixture_call *call, float first,
                         float second)
{
    ck_assert_msg(call->code == 0, "%s", call->message);
    for (size_t i = 0; i < PEER_ROWS; i++) {
        ck_assert_float_eq(call->values[2 * i], first);
        ck_assert_float_eq(call->values[2 * i + 1], second);
    }
}

/* ---- hedges ----------------------------------------------------------- */

static struct fake_server pair[2];

static struct {
    struct fake_server *_Atomic first; /* that is asked */
    unsigned hedged; /* which of its requests it holds until there is a hedge */
    bool changed;    /* the parameters, the first time */
    atomic_bool late; /* the hedge is answered */
} hedging;

static void answer_hedged(int fd, const struct frame_header *request,
                          uint32_t told_id)
{
    if (request->method == FRAME_METHOD_lookup) {
        write_packed(fd, 7, request);
    } else {
        write_params(fd, told_id, request);
    }
}

/* The first one holds a request until the other one has the hedge, which is
 * answered when the next request has come, while that one is held. */
static void serve_hedged(struct fake_server *of, int fd, unsigned nth)
{
    struct frame_header request;
    struct fake_server *other = &pair[of == &pair[0]];
    struct fake_server *none = NULL;
    (void)nth;
    for (unsigned i = 0; peer_read_request(fd, &request); i++) {
        atomic_compare_exchange_strong(&hedging.first, &none, of);
        bool is_hedge = hedging.first != of;
        if (is_hedge || i == hedging.hedged + 1) {
            other->gate = true;
        }
        if (is_hedge || i == hedging.hedged || i == hedging.hedged + 1) {
            fake_server_wait(of, fd);
            of->gate = false;
        }
        answer_hedged(fd, &request, hedging.changed && i == 1 ? 8 : 7);
        hedging.late = hedging.late || is_hedge;
    }
}

static bool is_late(void *arg)
{
    (void)arg;
    return hedging.late;
}

/* What a hedge is answered when the call asks something else is nobody's. */
static void run_hedged(unsigned hedged, bool changed)
{
    const struct nb_channel_options options = {.hedge_ms = 300};
    const struct nb_request request = packed_request();
    hedging.first = NULL;
    hedging.hedged = hedged;
    hedging.changed = changed;
    hedging.late = false;
    for (int i = 0; i < 2; i++) {
        memset(&pair[i], 0, sizeof(pair[i]));
        fake_server_start(&pair[i], serve_hedged);
    }
    fixture_channel_open(&fixture, &options, pair[0].address, pair[1].address);
    fixture_run_connected(&fixture, 2);
    calls[0].target =
        (struct nb_target){calls[0].values, sizeof(calls[0].values)};
    const struct nb_call_options call = {.targets = &calls[0].target};
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &request, &call,
                                       fixture_done, &calls[0], NULL, NULL),
                     0);
    fixture_run_until(&fixture, is_late, NULL);
    uv_run(&fixture.loop, UV_RUN_ONCE); /* perhaps the tick only */
    uv_run(&fixture.loop, UV_RUN_ONCE);
    atomic_load(&hedging.first)->gate = true;
    fixture_run(&fixture, calls, 1);
    check_values(&calls[0], 101, 202);
    ck_assert_uint_eq(fixture_counts(&fixture).hedges, 1);
    ck_assert_uint_eq(fixture_counts(&fixture).retries, changed);
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&pair[0]);
    fake_server_stop(&pair[1]);
}

START_TEST(rows_that_a_hedge_gets_late)
{
    run_hedged(0, false);
}
END_TEST

START_TEST(parameters_that_a_hedge_gets_late)
{
    run_hedged(1, true);
}
END_TEST

static void setup(void)
{
    memset(&server, 0, sizeof(server));
    memset(calls, 0, sizeof(calls));
    world.id = world.told_id = 7;
    world.n_status = world.n_refusals = 0;
    world.id_runs = false;
    fake_server_start(&server, serve_packed);
    fixture_channel_open(&fixture, NULL, server.address, NULL);
}

static void teardown(void)
{
    fixture_channel_close(&fixture);
    fake_server_stop(&server);
}

START_TEST(parameters_are_asked_for_once)
{
    look_up(&calls[0], false);
    check_values(&calls[0], 101, 202);
    look_up(&calls[1], true);
    check_values(&calls[1], 101, 202);
    ck_assert_uint_eq(world.n_status, 1);
    world.id = world.told_id = 8; /* quantized anew */
    look_up(&calls[2], false);
    check_values(&calls[2], 101, 202);
    ck_assert_uint_eq(world.n_status, 2);
    world.id = 7; /* of an older version: still known */
    look_up(&calls[3], false);
    check_values(&calls[3], 101, 202);
    ck_assert_uint_eq(world.n_status, 2);
    world.id = 0; /* a table that has none */
    look_up(&calls[4], false);
    check_values(&calls[4], 1, 2);
    ck_assert_uint_eq(world.n_status, 2);
    ck_assert_uint_eq(fixture_counts(&fixture).retries, 0);
}
END_TEST

START_TEST(without_a_target_rows_stay_packed)
{
    const struct nb_request request = packed_request();
    ck_assert_int_eq(nb_channel_lookup(fixture.channel, &request, NULL,
                                       fixture_done, &calls[0], NULL, NULL),
                     0);
    fixture_run(&fixture, calls, 1);
    ck_assert_int_eq(calls[0].code, 0);
    ck_assert_mem_eq(&calls[0].value, "\x21\x00\x3c\x00", 4);
    ck_assert_uint_eq(world.n_status, 0);
}
END_TEST

START_TEST(a_version_that_goes_meanwhile)
{
    world.n_refusals = 1;
    look_up(&calls[0], false);
    check_values(&calls[0], 101, 202);
    ck_assert_uint_eq(world.n_status, 2);
    ck_assert_uint_eq(server.n_requests, 4); /* twice both */
    ck_assert_uint_eq(fixture_counts(&fixture).retries, 1);
}
END_TEST

/* Each replica has a version of its own. */
START_TEST(the_replica_that_answered_is_asked)
{
    static struct fake_server servers[2];
    fixture_channel_close(&fixture);
    for (int i = 0; i < 2; i++) {
        memset(&servers[i], 0, sizeof(servers[i]));
        servers[i].value = (float)(50 + i);
        fake_server_start(&servers[i], serve_packed);
    }
    fixture_channel_open(&fixture, NULL, servers[0].address,
                         servers[1].address);
    fixture_run_connected(&fixture, 2);
    for (int i = 0; i < 6; i++) {
        look_up(&calls[i], false);
        check_values(&calls[i], 101, 202);
    }
    ck_assert_uint_eq(world.n_status, 2);
    ck_assert_uint_eq(fixture_counts(&fixture).retries, 0);
    fixture_channel_close(&fixture);
    fake_server_stop(&servers[0]);
    fake_server_stop(&servers[1]);
    fixture_channel_open(&fixture, NULL, server.address, NULL);
}
END_TEST

START_TEST(parameters_that_change_for_ever)
{
    world.id_runs = true;
    look_up(&calls[0], false);
    ck_assert_int_eq(calls[0].code, NB_ERR_REMOTE);
    ck_assert_ptr_nonnull(strstr(calls[0].message, "change while"));
    ck_assert_uint_eq(world.n_status, 3); /* max_attempts is 3 */
    ck_assert_uint_eq(fixture_counts(&fixture).losses, 0);
}
END_TEST

START_TEST(a_table_that_is_gone)
{
    world.n_refusals = 9;
    look_up(&calls[0], false);
    ck_assert_int_eq(calls[0].code, NB_ERR_REMOTE);
    ck_assert_ptr_nonnull(strstr(calls[0].message, "version: gone"));
    ck_assert_uint_eq(world.n_status, 3);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("channel_packed");
    TCase *tcase = tcase_create("packed");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, parameters_are_asked_for_once);
    tcase_add_test(tcase, without_a_target_rows_stay_packed);
    tcase_add_test(tcase, a_version_that_goes_meanwhile);
    tcase_add_test(tcase, the_replica_that_answered_is_asked);
    tcase_add_test(tcase, parameters_that_change_for_ever);
    tcase_add_test(tcase, a_table_that_is_gone);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("many");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, more_tables_than_parameters_are_kept);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("hedges");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, rows_that_a_hedge_gets_late);
    tcase_add_test(tcase, parameters_that_a_hedge_gets_late);
    suite_add_tcase(suite, tcase);
    return suite;
}
