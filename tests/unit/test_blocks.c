/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Blocks as we write them, read by protobuf-c, and the other way round. */
#include "proto/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "proto/nibble.pb-c.h"
#include "tests/lib/run_suite.h"

static const struct block_head heads[] = {
    {.rows = 2, .dim = 3, .dtype = NB_FP32, .row_bytes = 12},
    {.rows = 0, .dim = 3, .dtype = NB_FP16, .row_bytes = 6},
    {.rows = 300, .dim = 1, .dtype = NB_BF16, .row_bytes = 2},
    {.rows = 5,
     .dim = 7,
     .dtype = NB_PACKED,
     .row_bytes = 12,
     .codec = 1,
     .scales = NB_SCALES_FP32},
};
#define N_HEADS (sizeof(heads) / sizeof(heads[0]))

static const uint32_t unseen[N_HEADS] = {0, 1, 128, UINT32_MAX};

static size_t n_values(size_t i)
{
    return (size_t)heads[i].rows * heads[i].row_bytes;
}

/* In a block of its own size; the caller frees it. */
static uint8_t *write_all(uint64_t version, size_t *bytes)
{
    uint64_t total;
    ck_assert_int_eq(blocks_bytes(heads, N_HEADS, version, UINT32_MAX, &total),
                     0);
    uint8_t *body = malloc(total);
    ck_assert_ptr_nonnull(body);
    struct blocks_writer writer;
    blocks_begin(&writer, body, version);
    for (size_t i = 0; i < N_HEADS; i++) {
        memset(blocks_add(&writer, &heads[i]), (int)i + 1, n_values(i));
        blocks_end(&writer, unseen[i]);
    }
    ck_assert_ptr_eq(writer.at, body + total);
    *bytes = total;
    return body;
}

START_TEST(protobuf_reads_what_we_write)
{
    const uint64_t version = _i == 0 ? 0 : UINT64_MAX;
    size_t bytes;
    uint8_t *body = write_all(version, &bytes);
    Nibble__V1__BlocksReply *reply =
        nibble__v1__blocks_reply__unpack(NULL, bytes, body);
    ck_assert_ptr_nonnull(reply);
    ck_assert_uint_eq(reply->version, version);
    ck_assert_uint_eq(reply->n_blocks, N_HEADS);
    for (size_t i = 0; i < N_HEADS; i++) {
        const Nibble__V1__Block *block = reply->blocks[i];
        ck_assert_uint_eq(block->rows, heads[i].rows);
        ck_assert_uint_eq(block->dim, heads[i].dim);
        ck_assert_uint_eq(block->dtype, heads[i].dtype);
        ck_assert_uint_eq(block->row_bytes, heads[i].row_bytes);
        ck_assert_uint_eq(block->codec, heads[i].codec);
        ck_assert_uint_eq(block->scales, heads[i].scales);
        ck_assert_uint_eq(block->unseen, unseen[i]);
        ck_assert_uint_eq(block->values.len, n_values(i));
        for (size_t j = 0; j < n_values(i); j++) {
            ck_assert_uint_eq(block->values.data[j], i + 1);
        }
    }
    nibble__v1__blocks_reply__free_unpacked(reply, NULL);
    free(body);
}
END_TEST

START_TEST(we_read_what_we_write)
{
    size_t bytes;
    uint8_t *body = write_all(9, &bytes);
    struct blocks_reader reader;
    struct block_view view;
    ck_assert_int_eq(blocks_open(&reader, body, bytes, NULL), 0);
    ck_assert_uint_eq(reader.version, 9);
    ck_assert_uint_eq(reader.n_blocks, N_HEADS);
    for (size_t i = 0; i < N_HEADS; i++) {
        ck_assert_int_eq(blocks_next(&reader, &view, NULL), 1);
        ck_assert_mem_eq(&view.head, &heads[i], sizeof(heads[i]));
        ck_assert_uint_eq(view.unseen, unseen[i]);
        ck_assert(view.values >= body);
        ck_assert(view.values + n_values(i) <= body + bytes);
    }
    ck_assert_int_eq(blocks_next(&reader, &view, NULL), 0);
    free(body);
}
END_TEST

/* A reply as protobuf-c packs it, changed by `change`, in memory of its own. */
static uint8_t *pack(void (*change)(Nibble__V1__Block *block), size_t *bytes)
{
    static uint8_t values[24];
    Nibble__V1__Block block = NIBBLE__V1__BLOCK__INIT;
    block.rows = 2;
    block.dim = 3;
    block.row_bytes = 12;
    block.unseen = 1;
    block.values = (ProtobufCBinaryData){sizeof(values), values};
    Nibble__V1__Block other = block;
    change(&block);
    Nibble__V1__Block *blocks[] = {&other, &block};
    Nibble__V1__BlocksReply reply = NIBBLE__V1__BLOCKS_REPLY__INIT;
    reply.version = 4;
    reply.n_blocks = 2;
    reply.blocks = blocks;
    *bytes = nibble__v1__blocks_reply__get_packed_size(&reply);
    uint8_t *body = malloc(*bytes);
    ck_assert_ptr_nonnull(body);
    nibble__v1__blocks_reply__pack(&reply, body);
    return body;
}

static void keep(Nibble__V1__Block *block)
{
    (void)block;
}

static void new_dtype(Nibble__V1__Block *block)
{
    block->dtype = (Nibble__V1__DType)4;
}

static void longer_rows(Nibble__V1__Block *block)
{
    block->row_bytes = 16;
}

static void more_rows(Nibble__V1__Block *block)
{
    block->rows = 3;
}

static void wrapping_rows(Nibble__V1__Block *block)
{
    block->rows = 0x80000000;
    block->dim = 0x40000000;
    block->row_bytes = 0;
}

static void packed_rows(Nibble__V1__Block *block)
{
    block->dtype = NIBBLE__V1__DTYPE__PACKED;
    block->row_bytes = 11;
}

static const struct {
    void (*change)(Nibble__V1__Block *block);
    const char *text;
} changes[] = {
    {keep, NULL},
    {new_dtype, "reply: blocks[1]: dtype: 4 is not known"},
    {longer_rows, "reply: blocks[1]: row_bytes: 16, but dim 3 takes 12"},
    {more_rows, "reply: blocks[1]: values: 24 bytes, but 3 rows of 12"},
    {wrapping_rows,
     "reply: blocks[1]: row_bytes: 0, but dim 1073741824 takes 4294967296"},
    {packed_rows, "reply: blocks[1]: values: 24 bytes, but 2 rows of 11"},
};

START_TEST(we_check_what_protobuf_writes)
{
    size_t bytes;
    uint8_t *body = pack(changes[_i].change, &bytes);
    struct blocks_reader reader;
    struct block_view view;
    struct nb_errctx err = {""};
    ck_assert_int_eq(blocks_open(&reader, body, bytes, &err), 0);
    ck_assert_uint_eq(reader.version, 4);
    ck_assert_int_eq(blocks_next(&reader, &view, &err), 1);
    ck_assert_uint_eq(view.unseen, 1);
    int rv = blocks_next(&reader, &view, &err);
    if (changes[_i].text == NULL) {
        ck_assert_int_eq(rv, 1);
    } else {
        ck_assert_int_eq(rv, NB_ERR_MESSAGE);
        ck_assert_str_eq(err.text, changes[_i].text);
    }
    free(body);
}
END_TEST

START_TEST(replies_cut_anywhere)
{
    size_t bytes;
    uint8_t *body = pack(keep, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        ck_assert_ptr_nonnull(part);
        memcpy(part, body, cut);
        struct blocks_reader reader;
        struct block_view view;
        size_t n = 0;
        int rv = blocks_open(&reader, part, cut, NULL);
        while (rv == 0 && blocks_next(&reader, &view, NULL) == 1) {
            n++;
        }
        ck_assert_uint_lt(n, 2);
        free(part);
    }
    free(body);
}
END_TEST

#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t n;
    const char *text;
} malformed[] = {
    {BYTES("\x0a\x00"), "reply: field 1 has wire type 2"},
    {BYTES("\x10\x00"), "reply: field 2 has wire type 0"},
    {BYTES("\x08\x01\x0b"), "reply: malformed at byte 2"},
    {BYTES("\x12\x02\x0a\x00"), "reply: blocks[0]: field 1 has wire type 2"},
    {BYTES("\x12\x02\x78\x00"), "reply: blocks[0]: field 15 has wire type 0"},
    {BYTES("\x12\x01\x08"), "reply: blocks[0]: malformed"},
};

START_TEST(malformed_replies)
{
    struct blocks_reader reader;
    struct block_view view;
    struct nb_errctx err = {""};
    int rv = blocks_open(&reader, malformed[_i].bytes, malformed[_i].n, &err);
    if (rv == 0) {
        rv = blocks_next(&reader, &view, &err);
    }
    ck_assert_int_eq(rv, NB_ERR_MESSAGE);
    ck_assert_str_eq(err.text, malformed[_i].text);
}
END_TEST

START_TEST(fields_of_newer_peers_and_their_order)
{
    static const char bytes[] = "\x12\x0d\x7a\x02" /* values first */
                                "ab\x08\x01\x18\x03\x20\x02\x98\x06\x07"
                                "\xa2\x06\x01"
                                "x\x08\x05"; /* the version last */
    struct blocks_reader reader;
    struct block_view view;
    ck_assert_int_eq(blocks_open(&reader, bytes, sizeof(bytes) - 1, NULL), 0);
    ck_assert_uint_eq(reader.version, 5);
    ck_assert_int_eq(blocks_next(&reader, &view, NULL), 1);
    ck_assert_uint_eq(view.head.rows, 1);
    ck_assert_mem_eq(view.values, "ab", 2);
    ck_assert_int_eq(blocks_next(&reader, &view, NULL), 0);
}
END_TEST

START_TEST(sizes_over_the_limit)
{
    uint64_t bytes = 0;
    uint64_t exact;
    ck_assert_int_eq(blocks_bytes(heads, N_HEADS, 1, UINT32_MAX, &exact), 0);
    ck_assert_int_eq(blocks_bytes(heads, N_HEADS, 1, exact, &bytes), 0);
    ck_assert_uint_eq(bytes, exact);
    ck_assert_int_eq(blocks_bytes(heads, N_HEADS, 1, exact - 1, &bytes),
                     NB_ERR_TOO_LARGE);
    ck_assert_int_eq(blocks_bytes(NULL, 0, 1, 1, &bytes), NB_ERR_TOO_LARGE);
    ck_assert_int_eq(blocks_bytes(NULL, 0, 0, 0, &bytes), 0);
    ck_assert_uint_eq(bytes, 0);
    const struct block_head huge[] = {
        {.rows = UINT32_MAX, .row_bytes = UINT32_MAX},
        {.rows = UINT32_MAX, .row_bytes = UINT32_MAX},
    };
    ck_assert_int_eq(blocks_bytes(huge, 2, 1, UINT64_MAX, &bytes),
                     NB_ERR_TOO_LARGE);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("blocks");
    TCase *tcase = tcase_create("blocks");
    tcase_add_loop_test(tcase, protobuf_reads_what_we_write, 0, 2);
    tcase_add_test(tcase, we_read_what_we_write);
    tcase_add_loop_test(tcase, we_check_what_protobuf_writes, 0,
                        sizeof(changes) / sizeof(changes[0]));
    tcase_add_test(tcase, replies_cut_anywhere);
    tcase_add_loop_test(tcase, malformed_replies, 0,
                        sizeof(malformed) / sizeof(malformed[0]));
    tcase_add_test(tcase, fields_of_newer_peers_and_their_order);
    tcase_add_test(tcase, sizes_over_the_limit);
    suite_add_tcase(suite, tcase);
    return suite;
}
