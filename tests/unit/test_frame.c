/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/frame.h"

#include <string.h>

#include "tests/lib/run_suite.h"

static const uint8_t bytes_of_one[FRAME_HEADER_BYTES] = {
    'N', 'B', 'L', '1', 1, 0, 3, 0, 0x44, 0x33, 0x22, 0x11, 5, 0, 1, 0};

START_TEST(bytes_on_the_wire)
{
    const struct frame_header header = {
        .kind = FRAME_REPLY,
        .method = FRAME_METHOD_lookup,
        .request_id = 0x11223344,
        .body_bytes = 65541,
    };
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_header_put(bytes, &header);
    ck_assert_mem_eq(bytes, bytes_of_one, sizeof(bytes));

    struct frame_header back = {0};
    ck_assert_int_eq(frame_header_get(bytes, 65541, &back, NULL), 0);
    ck_assert_uint_eq(back.kind, FRAME_REPLY);
    ck_assert_uint_eq(back.method, FRAME_METHOD_lookup);
    ck_assert_uint_eq(back.request_id, 0x11223344);
    ck_assert_uint_eq(back.body_bytes, 65541);
}
END_TEST

static const struct {
    unsigned at;
    uint8_t value;
    const char *text;
} wrong[] = {
    {0, 'G', "frame: magic is 47 42 4c, not \"NBL\""},
    {1, 0, "frame: magic is 4e 00 4c, not \"NBL\""},
    {2, 'l', "frame: magic is 4e 42 6c, not \"NBL\""},
    {3, '2', "frame: protocol version byte is 0x32, not '1'"},
    {4, 3, "frame: kind is 3, not 0, 1 or 2"},
    {5, 1, "frame: reserved byte is 1, not 0"},
};

START_TEST(wrong_headers)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    struct frame_header header;
    struct nb_errctx err;
    memcpy(bytes, bytes_of_one, sizeof(bytes));
    bytes[wrong[_i].at] = wrong[_i].value;
    ck_assert_int_eq(frame_header_get(bytes, UINT32_MAX, &header, &err),
                     NB_ERR_FRAME);
    ck_assert_str_eq(err.text, wrong[_i].text);
}
END_TEST

START_TEST(large_bodies_are_told_with_their_id)
{
    struct frame_header header = {0};
    struct nb_errctx err;
    ck_assert_int_eq(frame_header_get(bytes_of_one, 65540, &header, &err),
                     NB_ERR_TOO_LARGE);
    ck_assert_uint_eq(header.request_id, 0x11223344);
    ck_assert_uint_eq(header.body_bytes, 65541);
    ck_assert_str_eq(
        err.text,
        "frame: body of 65541 bytes is over the limit of 65540 bytes");
}
END_TEST

START_TEST(method_names)
{
    ck_assert_str_eq(frame_method_name(1), "ping");
    ck_assert_str_eq(frame_method_name(FRAME_METHOD_pool), "pool");
    ck_assert_ptr_null(frame_method_name(0));
    ck_assert_ptr_null(frame_method_name(65535));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("frame");
    TCase *tcase = tcase_create("frame");
    tcase_add_test(tcase, bytes_on_the_wire);
    tcase_add_loop_test(tcase, wrong_headers, 0,
                        sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(tcase, large_bodies_are_told_with_their_id);
    tcase_add_test(tcase, method_names);
    suite_add_tcase(suite, tcase);
    return suite;
}
