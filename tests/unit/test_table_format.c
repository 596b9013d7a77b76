/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <string.h>

#include "quant/bytes.h"
#include "storage/table/table_format.h"
#include "tests/lib/run_suite.h"

#define METADATA 40u

/* Ten rows of d = 5 (7 bytes), then metadata. */
static struct table_header make_header(void)
{
    struct table_header header = {
        .file_bytes = TABLE_PAGE + 72 + METADATA,
        .n_rows = 10,
        .stride = 7,
        .format = {.codec = 1, .dim = 5, .scales = NB_SCALES_FP16},
        .header_bytes = HEADER_SECTIONS + 2 * SECTION_BYTES,
        .n_sections = 2,
    };
    header.sections[0] = (struct table_section){.kind = SECTION_ROWS,
                                                .flags = SECTION_REQUIRED,
                                                .offset = TABLE_PAGE,
                                                .length = 70,
                                                .checksum = 11};
    header.sections[1] = (struct table_section){.kind = SECTION_METADATA,
                                                .offset = TABLE_PAGE + 72,
                                                .length = METADATA,
                                                .checksum = 12};
    return header;
}

static struct nb_errctx err;

static int decode(const uint8_t *bytes, size_t n, uint64_t file_bytes,
                  struct table_header *header)
{
    err.text[0] = '\0';
    return table_header_decode(bytes, n, file_bytes, "t.nbt", header, &err);
}

static int decode_header(const struct table_header *header,
                         struct table_header *decoded)
{
    uint8_t bytes[TABLE_HEADER_MAX] = {0};
    table_header_encode(header, bytes);
    return decode(bytes, sizeof(bytes), header->file_bytes, decoded);
}

static void assert_refused(const struct table_header *header, int rv,
                           const char *words)
{
    struct table_header decoded;
    ck_assert_int_eq(decode_header(header, &decoded), rv);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    ck_assert_msg(strncmp(err.text, "t.nbt: ", 7) == 0, "%s", err.text);
}

START_TEST(round_trip)
{
    struct table_header header = make_header();
    struct table_header decoded;
    header.format.scales = NB_SCALES_FP32;
    header.stride = 11;
    header.sections[0].length = 110;
    header.sections[1].offset = TABLE_PAGE + 112;
    header.file_bytes = TABLE_PAGE + 112 + METADATA;
    header.optional_flags = UINT64_C(1) << 63;
    ck_assert_int_eq(decode_header(&header, &decoded), 0);
    ck_assert_uint_eq(decoded.n_rows, 10);
    ck_assert_uint_eq(decoded.stride, 11);
    ck_assert_uint_eq(decoded.format.dim, 5);
    ck_assert_uint_eq(decoded.format.codec, 1);
    ck_assert_uint_eq(decoded.format.scales, NB_SCALES_FP32);
    ck_assert_uint_eq(decoded.file_bytes, header.file_bytes);
    ck_assert_uint_eq(decoded.optional_flags, header.optional_flags);
    ck_assert_uint_eq(decoded.n_sections, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct table_section *in = &header.sections[i];
        const struct table_section *out =
            table_header_section(&decoded, in->kind);
        ck_assert_ptr_nonnull(out);
        ck_assert_uint_eq(out->flags, in->flags);
        ck_assert_uint_eq(out->offset, in->offset);
        ck_assert_uint_eq(out->length, in->length);
        ck_assert_uint_eq(out->checksum, in->checksum);
    }
    ck_assert_ptr_null(table_header_section(&decoded, 99));
}
END_TEST

START_TEST(rows_beyond_32_bits)
{
    struct table_header header = make_header();
    struct table_header decoded;
    header.n_rows = (UINT64_C(1) << 33) + 3;
    header.sections[0].length = header.n_rows * 7;
    header.sections[1].offset =
        TABLE_PAGE + (header.sections[0].length + 7) / 8 * 8;
    header.file_bytes = header.sections[1].offset + METADATA;
    ck_assert_int_eq(decode_header(&header, &decoded), 0);
    ck_assert_uint_eq(decoded.n_rows, (UINT64_C(1) << 33) + 3);

    /* A product that wraps to the right length must not pass. */
    header = make_header();
    header.stride = 8;
    header.n_rows = (UINT64_C(1) << 61) + 9;
    header.sections[0].length = 72;
    assert_refused(&header, NB_ERR_FORMAT, "rows of stride");
}
END_TEST

START_TEST(envelope)
{
    struct table_header header = make_header();
    struct table_header decoded;
    uint8_t bytes[TABLE_HEADER_MAX] = {0};
    size_t n = table_header_encode(&header, bytes);
    uint64_t file_bytes = header.file_bytes;
    ck_assert_uint_eq(n, HEADER_SECTIONS + 2 * SECTION_BYTES);

    ck_assert_int_eq(decode(bytes, 0, 0, &decoded), NB_ERR_TRUNCATED);
    for (size_t cut = 1; cut < n; cut++) {
        ck_assert_int_eq(decode(bytes, cut, cut, &decoded), NB_ERR_TRUNCATED);
    }
    ck_assert_int_eq(decode((const uint8_t *)"PK\3\4", 4, 4, &decoded),
                     NB_ERR_MAGIC);
    ck_assert_int_eq(decode(bytes, sizeof(bytes), file_bytes - 1, &decoded),
                     NB_ERR_TRUNCATED);
    ck_assert_int_eq(decode(bytes, sizeof(bytes), file_bytes + 1, &decoded),
                     NB_ERR_FORMAT);
    ck_assert_int_eq(decode(bytes, sizeof(bytes), file_bytes, &decoded), 0);
}
END_TEST

START_TEST(every_flipped_bit_is_refused)
{
    struct table_header header = make_header();
    struct table_header decoded;
    uint8_t bytes[TABLE_HEADER_MAX] = {0};
    size_t n = table_header_encode(&header, bytes);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rv = decode(bytes, sizeof(bytes), header.file_bytes, &decoded);
        size_t at = bit / 8;
        if (at < HEADER_VERSION) {
            ck_assert_int_eq(rv, NB_ERR_MAGIC);
        } else if (at < HEADER_BYTES) {
            ck_assert(rv == NB_ERR_VERSION || rv == NB_ERR_FORMAT);
        } else if (at < HEADER_CHECKSUM) {
            ck_assert(rv == NB_ERR_FORMAT || rv == NB_ERR_CHECKSUM);
        } else {
            ck_assert_int_eq(rv, NB_ERR_CHECKSUM);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(newer_version)
{
    struct table_header header = make_header();
    struct table_header decoded;
    uint8_t bytes[TABLE_HEADER_MAX] = {0};
    table_header_encode(&header, bytes);
    put_u32(bytes + HEADER_VERSION, TABLE_VERSION + 1);
    memset(bytes + HEADER_BYTES, 0xff, 100); /* whatever a later one means */
    ck_assert_int_eq(decode(bytes, sizeof(bytes), 1 << 20, &decoded),
                     NB_ERR_VERSION);
    ck_assert_ptr_nonnull(strstr(err.text, "version 2"));
    put_u32(bytes + HEADER_VERSION, 0);
    ck_assert_int_eq(decode(bytes, sizeof(bytes), 1 << 20, &decoded),
                     NB_ERR_FORMAT);
}
END_TEST

START_TEST(row_shape)
{
    struct table_header header = make_header();
    header.format.codec = 77;
    assert_refused(&header, NB_ERR_UNSUPPORTED, "codec 77");
    header = make_header();
    header.format.dim = 0;
    assert_refused(&header, NB_ERR_FORMAT, "dim 0");
    header.format.dim = NB_DIM_MAX + 1;
    assert_refused(&header, NB_ERR_FORMAT, "dim 65537");
    header = make_header();
    header.format.scales = 2;
    assert_refused(&header, NB_ERR_FORMAT, "scale type 2");
    header = make_header();
    header.stride = 6;
    header.sections[0].length = 60;
    assert_refused(&header, NB_ERR_FORMAT, "stride 6");
    header.stride = 7 + TABLE_PAGE;
    header.sections[0].length = header.n_rows * header.stride;
    assert_refused(&header, NB_ERR_FORMAT, "stride 4103");
    header = make_header();
    header.n_rows = 0;
    header.sections[0].length = 0;
    assert_refused(&header, NB_ERR_FORMAT, "no rows");
    header = make_header();
    header.n_rows = 11;
    assert_refused(&header, NB_ERR_FORMAT, "11 rows");
}
END_TEST

START_TEST(section_places)
{
    struct table_header header = make_header();
    header.sections[0].offset = TABLE_PAGE + 8;
    assert_refused(&header, NB_ERR_FORMAT, "not page-aligned");
    header = make_header();
    header.sections[0].offset = 0;
    assert_refused(&header, NB_ERR_FORMAT, "the one before ends at 144");
    header = make_header();
    header.sections[1].offset -= 8; /* overlaps the rows */
    header.sections[1].length += 8;
    assert_refused(&header, NB_ERR_FORMAT, "the one before ends at 4166");
    header = make_header();
    header.sections[1].offset += 4; /* not of eight bytes */
    header.sections[1].length -= 4;
    assert_refused(&header, NB_ERR_FORMAT, "metadata section at 4172");
    header = make_header();
    header.sections[1].offset += TABLE_PAGE; /* too wide a gap */
    header.file_bytes += TABLE_PAGE;
    assert_refused(&header, NB_ERR_FORMAT, "metadata section at 8264");
    header = make_header();
    header.sections[1].length += 1; /* past the end */
    assert_refused(&header, NB_ERR_FORMAT, "file has 4208");
    header = make_header();
    header.sections[1].length = UINT64_MAX - 8; /* wraps */
    assert_refused(&header, NB_ERR_FORMAT, "file has 4208");
    header = make_header();
    header.sections[1].length -= 1; /* bytes of no section */
    assert_refused(&header, NB_ERR_FORMAT, "last section ends at 4207");
}
END_TEST

START_TEST(metadata_limit)
{
    struct table_header header = make_header();
    struct table_header decoded;
    header.sections[1].length = TABLE_METADATA_MAX;
    header.file_bytes += TABLE_METADATA_MAX - METADATA;
    ck_assert_int_eq(decode_header(&header, &decoded), 0);
    header.sections[1].length++;
    header.file_bytes++;
    assert_refused(&header, NB_ERR_FORMAT, "over the limit");
}
END_TEST

/* Adds a section of eight bytes at the end. */
static struct table_header with_section(uint32_t kind, uint32_t flags)
{
    struct table_header header = make_header();
    header.n_sections = 3;
    header.sections[2] = (struct table_section){
        .kind = kind, .flags = flags, .offset = header.file_bytes, .length = 8};
    header.file_bytes += 8;
    return header;
}

START_TEST(growth)
{
    struct table_header decoded;
    struct table_header header = with_section(1000, 0);
    ck_assert_int_eq(decode_header(&header, &decoded), 0);
    header = with_section(1000, 0xffff0000u); /* flags that may be ignored */
    ck_assert_int_eq(decode_header(&header, &decoded), 0);
    header = with_section(1000, SECTION_REQUIRED);
    assert_refused(&header, NB_ERR_UNSUPPORTED, "unknown kind 1000");
    header = with_section(1000, 0x8000u);
    assert_refused(&header, NB_ERR_UNSUPPORTED, "flags 0x8000");
    header = make_header();
    header.sections[0].flags |= 2;
    assert_refused(&header, NB_ERR_UNSUPPORTED, "flags 0x2 of the row");
    header = make_header();
    header.required_flags = UINT64_C(1) << 40;
    assert_refused(&header, NB_ERR_UNSUPPORTED, "required flags 0x10000000000");
}
END_TEST

START_TEST(one_section_of_a_kind)
{
    struct table_header header = with_section(SECTION_METADATA, 0);
    assert_refused(&header, NB_ERR_FORMAT, "1 row and 2 metadata");
    header = make_header();
    header.n_sections = 1;
    header.file_bytes = TABLE_PAGE + 70;
    assert_refused(&header, NB_ERR_FORMAT, "1 row and 0 metadata");
    header = make_header();
    header.n_sections = 0;
    header.file_bytes = HEADER_SECTIONS;
    assert_refused(&header, NB_ERR_FORMAT, "0 row and 0 metadata");
}
END_TEST

START_TEST(section_count)
{
    struct table_header header = make_header();
    struct table_header decoded;
    uint8_t bytes[TABLE_HEADER_MAX] = {0};
    size_t n = table_header_encode(&header, bytes);
    uint32_t lies[] = {0, 1, 3, 64, 65, 0x08000002, UINT32_MAX};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        put_u32(bytes + HEADER_N_SECTIONS, lies[i]);
        put_u64(bytes + HEADER_CHECKSUM, table_header_checksum(bytes, n));
        ck_assert_int_eq(
            decode(bytes, sizeof(bytes), header.file_bytes, &decoded),
            NB_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(err.text, "do not fill a header"));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_format");
    TCase *tests = tcase_create("header");
    tcase_add_test(tests, round_trip);
    tcase_add_test(tests, rows_beyond_32_bits);
    tcase_add_test(tests, envelope);
    tcase_add_test(tests, every_flipped_bit_is_refused);
    tcase_add_test(tests, newer_version);
    tcase_add_test(tests, row_shape);
    tcase_add_test(tests, section_places);
    tcase_add_test(tests, metadata_limit);
    tcase_add_test(tests, growth);
    tcase_add_test(tests, one_section_of_a_kind);
    tcase_add_test(tests, section_count);
    suite_add_tcase(suite, tests);
    return suite;
}
