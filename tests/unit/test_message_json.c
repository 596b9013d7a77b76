/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/admin/message_json.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "proto/nibble.pb-c.h"
#include "tests/lib/run_suite.h"

static struct text_buf json;

static void teardown(void)
{
    text_buf_fini(&json);
}

START_TEST(fields_of_every_type)
{
    float levels[] = {1.5f, -0.25f, INFINITY};
    Nibble__V1__TableParams params = NIBBLE__V1__TABLE_PARAMS__INIT;
    params.table = "a\"b\\c\n\x01\xc3\xa9";
    params.params = UINT64_MAX;
    params.dim = UINT32_MAX;
    params.n_codebook_levels = 3;
    params.codebook_levels = levels;
    message_json(&params.base, &json);
    static const char expected[] =
        "{\"table\":\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\",\"version\":0,"
        "\"codec\":0,\"dim\":4294967295,\"scales\":0,"
        "\"params\":18446744073709551615,\"column_mean\":[],"
        "\"column_scale\":[],\"codebooks\":0,\"levels\":0,"
        "\"codebook_levels\":[1.5,-0.25,null]}";
    ck_assert_uint_eq(json.bytes, strlen(expected));
    ck_assert_mem_eq(json.text, expected, json.bytes);
}
END_TEST

START_TEST(messages_in_messages)
{
    uint64_t loaded[] = {2, 1};
    Nibble__V1__ReloadStatus reload = NIBBLE__V1__RELOAD_STATUS__INIT;
    Nibble__V1__ModelStatus with = NIBBLE__V1__MODEL_STATUS__INIT;
    Nibble__V1__ModelStatus without = NIBBLE__V1__MODEL_STATUS__INIT;
    Nibble__V1__ModelStatus *models[] = {&with, &without};
    Nibble__V1__StatusReply reply = NIBBLE__V1__STATUS_REPLY__INIT;
    reload.result = "failed";
    with.reload = &reload;
    with.n_loaded = 2;
    with.loaded = loaded;
    reply.draining = 1;
    reply.n_models = 2;
    reply.models = models;
    message_json(&reply.base, &json);
    json_t *parsed = json_loadb(json.text, json.bytes, 0, NULL);
    ck_assert_ptr_nonnull(parsed);
    ck_assert(json_is_true(json_object_get(parsed, "draining")));
    json_t *first = json_array_get(json_object_get(parsed, "models"), 0);
    json_t *second = json_array_get(json_object_get(parsed, "models"), 1);
    json_t *result =
        json_object_get(json_object_get(first, "reload"), "result");
    ck_assert_str_eq(json_string_value(result), "failed");
    ck_assert_uint_eq(json_array_size(json_object_get(first, "loaded")), 2);
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_null(json_object_get(second, "reload"));
    json_decref(parsed);
}
END_TEST

START_TEST(text_grows)
{
    for (int i = 0; i < 10000; i++) {
        text_buf_print(&json, "%05d", i);
        text_buf_add(&json, ",", 1);
    }
    ck_assert(!json.failed);
    ck_assert_uint_eq(json.bytes, 60000);
    ck_assert_mem_eq(json.text + 7404, "01234,01235,", 12);
    text_buf_add(&json, "x", SIZE_MAX);
    ck_assert(json.failed);
    ck_assert_uint_eq(json.bytes, 60000);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("message_json");
    TCase *tcase = tcase_create("message_json");
    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, fields_of_every_type);
    tcase_add_test(tcase, messages_in_messages);
    tcase_add_test(tcase, text_grows);
    suite_add_tcase(suite, tcase);
    return suite;
}
