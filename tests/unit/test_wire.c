/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/run_suite.h"

/* A block of its own size, so that a read past its end is seen. */
static uint8_t *copy(const void *bytes, size_t n)
{
    uint8_t *block = malloc(n > 0 ? n : 1);
    ck_assert_ptr_nonnull(block);
    memcpy(block, bytes, n);
    return block;
}

START_TEST(varints_there_and_back)
{
    static const uint64_t values[] = {0,          1,          127,
                                      128,        16383,      16384,
                                      UINT32_MAX, 1ull << 35, UINT64_MAX - 1,
                                      UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t bytes[WIRE_VARINT_MAX];
        size_t n = (size_t)(wire_put_varint(bytes, values[i]) - bytes);
        ck_assert_uint_eq(n, wire_varint_bytes(values[i]));
        for (size_t cut = 0; cut <= n; cut++) {
            uint8_t *block = copy(bytes, cut);
            struct wire wire = {block, block + cut};
            uint64_t value = 0;
            int rv = wire_varint(&wire, &value);
            ck_assert_int_eq(rv, cut == n ? 0 : NB_ERR_MESSAGE);
            ck_assert(rv != 0 || value == values[i]);
            ck_assert(rv != 0 || wire.at == wire.end);
            free(block);
        }
    }
}
END_TEST

static int parse_varint(const char *bytes, size_t n)
{
    uint8_t *block = copy(bytes, n);
    struct wire wire = {block, block + n};
    uint64_t value;
    int rv = wire_varint(&wire, &value);
    free(block);
    return rv;
}

START_TEST(varints_over_64_bits)
{
    ck_assert_int_eq(
        parse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10), 0);
    ck_assert_int_eq(
        parse_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10),
        NB_ERR_MESSAGE);
    ck_assert_int_eq(
        parse_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11),
        NB_ERR_MESSAGE);
}
END_TEST

START_TEST(fields_of_every_type)
{
    static const char message[] = "\x08\x96\x01"
                                  "\x11\x08\x07\x06\x05\x04\x03\x02\x01"
                                  "\x7a\x02hi"
                                  "\x25\x04\x03\x02\x01";
    struct wire wire = {(const uint8_t *)message,
                        (const uint8_t *)message + sizeof(message) - 1};
    struct wire_field field;
    ck_assert_int_eq(wire_next(&wire, &field), 1);
    ck_assert(field.number == 1 && field.type == WIRE_VARINT);
    ck_assert_uint_eq(field.value, 150);
    ck_assert_int_eq(wire_next(&wire, &field), 1);
    ck_assert(field.number == 2 && field.type == WIRE_FIXED64);
    ck_assert_uint_eq(field.value, 0x0102030405060708);
    ck_assert_int_eq(wire_next(&wire, &field), 1);
    ck_assert(field.number == 15 && field.type == WIRE_BYTES);
    ck_assert_uint_eq(field.bytes, 2);
    ck_assert_mem_eq(field.data, "hi", 2);
    ck_assert_int_eq(wire_next(&wire, &field), 1);
    ck_assert(field.number == 4 && field.type == WIRE_FIXED32);
    ck_assert_uint_eq(field.value, 0x01020304);
    ck_assert_int_eq(wire_next(&wire, &field), 0);
}
END_TEST

#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t n;
} malformed[] = {
    {BYTES("\x80")},                          /* a tag cut short */
    {BYTES("\x00\x01")},                      /* field number 0 */
    {BYTES("\x80\x80\x80\x80\x10")},          /* field number 2^29 */
    {BYTES("\x88\x80\x80\x80\x80\x00\x01")},  /* a tag of six bytes */
    {BYTES("\x0a\x81\x80\x80\x80\x80\x00x")}, /* so its length */
    {BYTES("\x08")},                          /* no value */
    {BYTES("\x08\x80")},
    {BYTES("\x09\x01\x02\x03\x04\x05\x06\x07")},
    {BYTES("\x0d\x01\x02\x03")},
    {BYTES("\x0a\x01")}, /* longer than the message */
    {BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
    {BYTES("\x0b\x0c")}, /* groups */
    {BYTES("\x0e")},     /* no such wire type */
};

START_TEST(malformed_messages)
{
    uint8_t *block = copy(malformed[_i].bytes, malformed[_i].n);
    struct wire wire = {block, block + malformed[_i].n};
    struct wire_field field;
    ck_assert_int_eq(wire_next(&wire, &field), NB_ERR_MESSAGE);
    ck_assert_ptr_eq(wire.at, block);
    free(block);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("wire");
    TCase *tcase = tcase_create("wire");
    tcase_add_test(tcase, varints_there_and_back);
    tcase_add_test(tcase, varints_over_64_bits);
    tcase_add_test(tcase, fields_of_every_type);
    tcase_add_loop_test(tcase, malformed_messages, 0,
                        sizeof(malformed) / sizeof(malformed[0]));
    suite_add_tcase(suite, tcase);
    return suite;
}
