/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What a server may say of a table's parameters, true or not. */
#include "client/lib/reply_params.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/nibble.pb-c.h"
#include "tests/lib/run_suite.h"

#define DIM 3

static float mean[DIM] = {1, -2, 0.5f};
static float scale[DIM] = {1, 2, 3};
static Nibble__V1__TableParams sent;
static struct nb_errctx err;

static void setup(void)
{
    nibble__v1__table_params__init(&sent);
    sent.version = 7;
    sent.codec = 1;
    sent.dim = DIM;
    sent.params = UINT64_C(0x8000000000000001);
    sent.column_mean = mean;
    sent.n_column_mean = DIM;
    sent.column_scale = scale;
    sent.n_column_scale = DIM;
}

/* Encodes the reply; the caller frees it. */
static uint8_t *encode(Nibble__V1__TableParams *params, size_t *bytes)
{
    Nibble__V1__StatusReply reply = NIBBLE__V1__STATUS_REPLY__INIT;
    reply.server_version = "9.9";
    reply.params = params;
    *bytes = nibble__v1__status_reply__get_packed_size(&reply);
    uint8_t *body = malloc(*bytes + 1);
    ck_assert_ptr_nonnull(body);
    nibble__v1__status_reply__pack(&reply, body);
    return body;
}

static int read_sent(struct nb_table_params **params)
{
    size_t bytes;
    uint8_t *body = encode(&sent, &bytes);
    int rv = reply_params_read(body, bytes, params, &err);
    free(body);
    return rv;
}

static void assert_refused(const char *words)
{
    struct nb_table_params *params;
    ck_assert_int_eq(read_sent(&params), NB_ERR_MESSAGE);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    setup();
}

START_TEST(come_whole)
{
    struct nb_table_params *params;
    ck_assert_int_eq(read_sent(&params), 0);
    ck_assert_uint_eq(params->version, 7);
    ck_assert_uint_eq(params->id, UINT64_C(0x8000000000000001));
    ck_assert_uint_eq(params->format.dim, DIM);
    ck_assert_mem_eq(params->params.column_mean, mean, sizeof(mean));
    ck_assert_mem_eq(params->params.column_scale, scale, sizeof(scale));
    ck_assert_ptr_null(params->params.codebooks);
    nb_table_params_free(params);
    nb_table_params_free(NULL);
}
END_TEST

START_TEST(nothing_to_tell)
{
    struct nb_table_params *params;
    sent.params = 0;
    sent.n_column_mean = sent.n_column_scale = 0;
    ck_assert_int_eq(read_sent(&params), 0);
    ck_assert_uint_eq(params->id, 0);
    ck_assert_ptr_null(params->params.column_mean);
    nb_table_params_free(params);

    /* A server that does not know the question answers the one it knows. */
    size_t bytes;
    uint8_t *body = encode(NULL, &bytes);
    ck_assert_int_eq(reply_params_read(body, bytes, &params, &err),
                     NB_ERR_UNSUPPORTED);
    ck_assert_int_eq(reply_params_read(body, 0, &params, &err),
                     NB_ERR_UNSUPPORTED);
    free(body);
}
END_TEST

/* One float a field, as proto3 allows. */
START_TEST(not_packed)
{
    static const uint8_t body[] = {
        0x6a, 0x10, 0x18, 0x01, 0x20, 0x02, /* codec 1, dim 2 */
        0x3d, 0x00, 0x00, 0x80, 0x3f,       /* mean 1 */
        0x3d, 0x00, 0x00, 0x00, 0x40,       /* mean 2 */
        0x28, 0x00,                         /* scales fp16 */
    };
    struct nb_table_params *params;
    int rv = reply_params_read(body, sizeof(body), &params, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert(params->params.column_mean[0] == 1);
    ck_assert(params->params.column_mean[1] == 2);
    nb_table_params_free(params);
}
END_TEST

START_TEST(lies)
{
    sent.n_column_mean = DIM - 1;
    assert_refused("2 means");
    sent.n_column_scale = 1;
    assert_refused("1 scales");
    sent.dim = 0;
    assert_refused("for dim 0");
    sent.n_column_mean = 0;
    assert_refused("scales without means");
    sent.scales = 9;
    assert_refused("scale type");
    sent.codebooks = sent.levels = UINT32_MAX;
    assert_refused("0 levels");
    sent.codebook_levels = mean;
    sent.n_codebook_levels = DIM;
    sent.codebooks = 1;
    sent.levels = DIM;
    assert_refused("codec q4 has none");
    scale[1] = 0;
    assert_refused("column scale 1");
    scale[1] = 2;
    mean[2] = NAN;
    assert_refused("column mean 2");
    mean[2] = 0.5f;
    sent.dim = 0;
    sent.n_column_mean = sent.n_column_scale = 0;
    assert_refused("dim");
}
END_TEST

START_TEST(unknown_codec)
{
    struct nb_table_params *params;
    sent.codec = 9999;
    ck_assert_int_eq(read_sent(&params), NB_ERR_UNSUPPORTED);
}
END_TEST

/* Cut anywhere, in memory of its own. */
START_TEST(cut_short)
{
    size_t bytes;
    uint8_t *body = encode(&sent, &bytes);
    for (size_t n = 0; n < bytes; n++) {
        struct nb_table_params *params;
        uint8_t *cut = malloc(n + 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, body, n);
        ck_assert_int_ne(reply_params_read(cut, n, &params, &err), 0);
        free(cut);
    }
    free(body);
}
END_TEST

START_TEST(wrong_wire_types)
{
    for (unsigned field = 2; field <= 11; field++) {
        const uint8_t body[] = {0x6a, 2, (uint8_t)(field << 3 | 2), 0};
        uint8_t odd[] = {0x6a, 3, (uint8_t)(field << 3 | 2), 1, 0};
        struct nb_table_params *params;
        bool list = field == 7 || field == 8 || field == 11;
        ck_assert_int_eq(reply_params_read(body, sizeof(body), &params, &err),
                         NB_ERR_MESSAGE);
        ck_assert_int_eq(strstr(err.text, "is malformed") != NULL, !list);
        ck_assert_int_eq(reply_params_read(odd, sizeof(odd), &params, &err),
                         NB_ERR_MESSAGE);
        ck_assert_ptr_nonnull(strstr(err.text, "is malformed"));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("reply_params");
    TCase *tests = tcase_create("params");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, come_whole);
    tcase_add_test(tests, nothing_to_tell);
    tcase_add_test(tests, not_packed);
    tcase_add_test(tests, lies);
    tcase_add_test(tests, unknown_codec);
    tcase_add_test(tests, cut_short);
    tcase_add_test(tests, wrong_wire_types);
    suite_add_tcase(suite, tests);
    return suite;
}
