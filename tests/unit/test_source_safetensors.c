/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/half.h"
#include "storage/source/safetensors_header.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/source_checks.h"

static const struct source_options AUTO;
static const struct source_options NAMED = {.format = "safetensors"};

static const float SIX[6] = {1, -2, 0.5f, 4, -0.125f, 7};

/* A file of this header, of length n, and data. */
static const char *write_n(const char *header, size_t n, const void *data,
                           size_t data_bytes)
{
    uint8_t *bytes = calloc(1, 8 + n + data_bytes + 1);
    ck_assert_ptr_nonnull(bytes);
    put_u64(bytes, n);
    memcpy(bytes + 8, header, n);
    memcpy(bytes + 8 + n, data, data_bytes);
    const char *path =
        scratch_write("t.safetensors", bytes, 8 + n + data_bytes);
    free(bytes);
    return path;
}

static const char *write_file(const char *header, const void *data,
                              size_t data_bytes)
{
    return write_n(header, strlen(header), data, data_bytes);
}

#define TENSOR(name, dtype, shape, begin, end)                                 \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape                   \
    ",\"data_offsets\":[" #begin "," #end "]}"

START_TEST(dtypes)
{
    uint8_t half[12];
    uint8_t bfloat[12];
    double wide[6];
    for (size_t i = 0; i < 6; i++) {
        put_u16(half + 2 * i, half_from_float(SIX[i]));
        put_u16(bfloat + 2 * i, bf16_from_float(SIX[i]));
        wide[i] = (double)SIX[i];
    }
    static const char *const f = "safetensors";
    source_check_rows(
        write_file("{" TENSOR("e", "F32", "[3,2]", 0, 24) "}", SIX, 24), &AUTO,
        f, SIX, 3, 2);
    source_check_rows(
        write_file("{" TENSOR("e", "F16", "[3,2]", 0, 12) "}", half, 12), &AUTO,
        f, SIX, 3, 2);
    source_check_rows(
        write_file("{" TENSOR("e", "BF16", "[2,3]", 0, 12) "}", bfloat, 12),
        &NAMED, f, SIX, 2, 3);
    source_check_rows(
        write_file("{" TENSOR("e", "F64", "[6,1]", 0, 48) "}", wide, 48), &AUTO,
        f, SIX, 6, 1);
}
END_TEST

/* Two matrices, a vector, an index and a scalar, not in order of place. */
static const char MODEL[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"}\":\"\\\"{\"},"
    "\"bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
    "\"user.w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[32,40]},"
    "\"item.w\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"
    "\"ids\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[40,48]},"
    "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[48,52]}}    ";

static const char *write_model(void)
{
    float data[13] = {0};
    memcpy(data, SIX, 24);
    data[8] = 5;
    data[9] = 6;
    return write_file(MODEL, data, sizeof(data));
}

START_TEST(several_tensors)
{
    const char *path = write_model();
    const float user[2] = {5, 6};
    struct source_options options = {.tensor = "item.w"};
    source_check_rows(path, &options, "safetensors", SIX, 3, 2);
    options.tensor = "user.w";
    source_check_rows(path, &options, "safetensors", user, 1, 2);
    source_check_refused(path, &AUTO, NB_ERR_INVALID,
                         "has 2 matrices, one must be named: user.w, item.w");
    options.tensor = "user";
    source_check_refused(
        path, &options, NB_ERR_NOT_FOUND,
        "no tensor 'user'; matrices of floats: user.w, item.w");
    options.tensor = "bias";
    source_check_refused(path, &options, NB_ERR_UNSUPPORTED,
                         "tensor 'bias' has 1 axes");
    options.tensor = "ids";
    source_check_refused(path, &options, NB_ERR_UNSUPPORTED,
                         "tensor 'ids' is of I64");
    options.tensor = "__metadata__";
    source_check_refused(path, &options, NB_ERR_NOT_FOUND, "no tensor");
}
END_TEST

/* A vector beside the matrix leaves no doubt; nor does a type never heard of.
 */
START_TEST(only_matrix)
{
    float data[7] = {0, 1, -2, 0.5f, 4, -0.125f, 7};
    source_check_rows(write_file("{" TENSOR("b", "F32", "[1]", 0, 4) "," TENSOR(
                                     "w", "F32", "[3,2]", 4, 28) "}",
                                 data, 28),
                      &AUTO, "safetensors", SIX, 3, 2);
    source_check_rows(
        write_file("{" TENSOR("b", "F4_NEW", "[8,1]", 0,
                              4) "," TENSOR("w", "F32", "[3,2]", 4, 28) "}",
                   data, 28),
        &AUTO, "safetensors", SIX, 3, 2);
    source_check_rows(
        write_file("{" TENSOR("w", "F32", "[3,2]", 0, 24) "," TENSOR(
                       "none", "I8", "[0,9]", 24,
                       24) "," TENSOR("nothing", "F32", "[0]", 0, 0) "}",
                   SIX, 24),
        &AUTO, "safetensors", SIX, 3, 2);
    source_check_refused(
        write_file("{" TENSOR("b", "F32", "[1]", 0, 4) "}", data, 4), &AUTO,
        NB_ERR_UNSUPPORTED, "no matrix of floats");
    source_check_refused(write_file("{}", data, 0), &AUTO, NB_ERR_UNSUPPORTED,
                         "no matrix of floats");
    source_check_refused(
        write_file("{" TENSOR("w", "F32", "[1,0]", 0, 0) "}", data, 0),
        &(struct source_options){.tensor = "w"}, NB_ERR_UNSUPPORTED,
        "0 columns");
    source_check_refused(
        write_file("{" TENSOR("w", "F32", "[0,65537]", 0, 0) "}", data, 0),
        &(struct source_options){.tensor = "w"}, NB_ERR_UNSUPPORTED,
        "65537 columns");
}
END_TEST

START_TEST(long_lists)
{
    char header[8192] = "{";
    size_t n = 1;
    for (unsigned i = 0; i < 40; i++) {
        n += (size_t)snprintf(
            header + n, sizeof(header) - n,
            "%s\"embedding.%u\":{\"dtype\":\"F32\",\"shape\":[1,1],"
            "\"data_offsets\":[%u,%u]}",
            i > 0 ? "," : "", i, 4 * i, 4 * i + 4);
    }
    header[n] = '}';
    float data[40] = {[39] = 3};
    const char *path = write_file(header, data, sizeof(data));
    source_check_refused(path, &AUTO, NB_ERR_INVALID, "has 40 matrices");
    source_check_refused(path, &AUTO, NB_ERR_INVALID, "embedding.1, ");
    source_check_refused(path, &AUTO, NB_ERR_INVALID, ", ...");
    source_check_rows(path, &(struct source_options){.tensor = "embedding.39"},
                      "safetensors", data + 39, 1, 1);
}
END_TEST

START_TEST(names)
{
    source_check_rows(
        write_file("{" TENSOR("a\\\"\\u00e9\\\\", "F32", "[3,2]", 0, 24) "}",
                   SIX, 24),
        &(struct source_options){.tensor = "a\"\xc3\xa9\\"}, "safetensors", SIX,
        3, 2);
    source_check_refused(
        write_file("{" TENSOR("a\\nb", "F32", "[3,1]", 0,
                              12) "," TENSOR("b", "F32", "[3,1]", 12, 24) "}",
                   SIX, 24),
        &AUTO, NB_ERR_INVALID, "named: a?b, b");
}
END_TEST

static void assert_malformed(const char *header, const char *words)
{
    source_check_refused(write_file(header, SIX, 24), &NAMED, NB_ERR_SOURCE,
                         words);
}

#define GOOD TENSOR("e", "F32", "[3,2]", 0, 24)

START_TEST(malformed)
{
    assert_malformed("", "byte 0: expected '{'");
    assert_malformed("[]", "byte 0: expected '{'");
    assert_malformed("{", "expected the name");
    assert_malformed("{" GOOD, "expected ',' or '}'");
    assert_malformed("{" GOOD ",}", "expected the name");
    assert_malformed("{" GOOD " " GOOD "}", "expected ',' or '}'");
    assert_malformed("{" GOOD "} x", "expected its end");
    assert_malformed("{e:{}}", "expected the name");
    assert_malformed("{\"e", "expected the name");
    assert_malformed("{\"e\\", "expected the name");
    assert_malformed("{\"e\"", "expected ':' and '{'");
    assert_malformed("{\"e\":", "expected ':' and '{'");
    assert_malformed("{\"e\":[]}", "expected ':' and '{'");
    assert_malformed("{\"e\":{", "ends inside a tensor");
    assert_malformed("{\"e\":{\"}", "ends inside a tensor");
    assert_malformed("{\"__metadata__\":{\"a\":{}", "inside the metadata");
    assert_malformed("{\"e\":{\"dtype\" \"F32\"}}", "byte ");
    assert_malformed("{\"\xff\":{}}", "byte 2");
    assert_malformed("{\"a\\u0000\":{}}", "byte ");
    assert_malformed("{\"e\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}",
                     "duplicate");
    assert_malformed("{" GOOD "," GOOD "}", "overlap at byte 0");
    assert_malformed("{" GOOD "," TENSOR("e", "F32", "[0]", 24, 24) "}",
                     "same name");
}
END_TEST

START_TEST(wrong_descriptions)
{
    assert_malformed("{\"e\":{}}", "tensor 'e': no dtype");
    assert_malformed("{\"e\":{\"dtype\":1}}", "no dtype");
    assert_malformed("{" TENSOR("e", "", "[3,2]", 0, 24) "}", "no dtype");
    assert_malformed("{" TENSOR("e", "A23456789ABCDEF0", "[3,2]", 0, 24) "}",
                     "no dtype");
    assert_malformed("{" TENSOR("e", "F32", "3", 0, 24) "}", "no shape");
    assert_malformed("{" TENSOR("e", "F32", "[3,2.0]", 0, 24) "}", "no shape");
    assert_malformed("{" TENSOR("e", "F32", "[-3,2]", 0, 24) "}", "no shape");
    assert_malformed(
        "{" TENSOR("e", "F32", "[4611686018427387904,2]", 0, 24) "}",
        "no shape");
    assert_malformed("{" TENSOR("e", "F32", "[3,2]", 0, 20) "}",
                     "has 20 bytes, its shape and dtype make 24");
    assert_malformed("{" TENSOR("e", "F32", "[3,2]", 24, 0) "}",
                     "no data_offsets");
    assert_malformed("{" TENSOR("e", "F32", "[3,2]", -24, 0) "}",
                     "no data_offsets");
    assert_malformed("{\"e\":{\"dtype\":\"F32\",\"shape\":[3,2],"
                     "\"data_offsets\":[0,24,0]}}",
                     "no data_offsets");
    assert_malformed("{" TENSOR("e", "F32", "[3,2]", 4, 28) "}",
                     "ends at byte 28 of the data, of which the file has 24");
    assert_malformed("{" TENSOR("e", "F32", "[3,1]", 12, 24) "}",
                     "leave a hole at byte 0");
    assert_malformed("{" TENSOR("e", "F32", "[3,1]", 0,
                                12) "," TENSOR("f", "F32", "[1,2]", 16, 24) "}",
                     "leave a hole at byte 12");
    assert_malformed("{" TENSOR("e", "F32", "[3,1]", 0,
                                12) "," TENSOR("f", "F32", "[2,2]", 8, 24) "}",
                     "overlap at byte 8");
    assert_malformed("{" TENSOR("e", "F32", "[5,1]", 0, 20) "}",
                     "tensors end at byte 20 of the data, the file has 24");
}
END_TEST

/* Lengths that lie, and a file cut at every byte. */
START_TEST(cut_files)
{
    size_t n;
    uint8_t *bytes = scratch_read(write_model(), &n);
    for (size_t cut = 0; cut < n; cut++) {
        source_check_refused(scratch_write("c.safetensors", bytes, cut), &NAMED,
                             NB_ERR_SOURCE, "c.safetensors: ");
    }
    put_u64(bytes, SAFETENSORS_HEADER_MAX + 1);
    source_check_refused(scratch_write("c.safetensors", bytes, n), &NAMED,
                         NB_ERR_SOURCE, "the limit is 100000000");
    put_u64(bytes, SAFETENSORS_HEADER_MAX);
    source_check_refused(scratch_write("c.safetensors", bytes, n), &NAMED,
                         NB_ERR_SOURCE, "header of 100000000 bytes (offset 0)");
    put_u64(bytes, UINT64_MAX);
    source_check_refused(scratch_write("c.safetensors", bytes, n), &NAMED,
                         NB_ERR_SOURCE, "header of 18446744073709551615 bytes");
    free(bytes);
}
END_TEST

/* Writes text without its NUL. */
static void put_text(char *at, const char *text)
{
    while (*text != '\0') {
        *at++ = *text++;
    }
}

/* What a header may hold is bounded where it would be parsed as a whole. */
START_TEST(long_descriptions)
{
    size_t n = 80000;
    char *header = calloc(1, n + 1);
    memset(header, ' ', n);
    put_text(header, "{\"e\":{");
    put_text(header + n - 2, "}}");
    source_check_refused(write_file(header, SIX, 24), &NAMED, NB_ERR_SOURCE,
                         "is described in over 65536 bytes");
    memset(header, 'e', n);
    put_text(header, "{\"");
    put_text(header + n - 5, "\":{}}");
    source_check_refused(write_file(header, SIX, 24), &NAMED, NB_ERR_SOURCE,
                         "name of over 4096 bytes");
    /* Metadata may be long. */
    memset(header, 'e', n);
    put_text(header, "{\"__metadata__\":{\"");
    snprintf(header + n - 100, 101, "\":\"\"}," GOOD "}");
    source_check_rows(write_file(header, SIX, 24), &NAMED, "safetensors", SIX,
                      3, 2);
    free(header);
}
END_TEST

/* Bytes that are not text never stand outside of strings. */
START_TEST(zeros)
{
    char header[] = "{" GOOD "}";
    for (size_t i = 0; i + 1 < sizeof(header); i++) {
        char good = header[i];
        header[i] = '\0';
        source_check_refused(write_n(header, sizeof(header) - 1, SIX, 24),
                             &NAMED, NB_ERR_SOURCE, "t.safetensors: ");
        header[i] = good;
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_safetensors");
    TCase *tests = tcase_create("safetensors");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, dtypes);
    tcase_add_test(tests, several_tensors);
    tcase_add_test(tests, only_matrix);
    tcase_add_test(tests, long_lists);
    tcase_add_test(tests, names);
    tcase_add_test(tests, malformed);
    tcase_add_test(tests, wrong_descriptions);
    tcase_add_test(tests, cut_files);
    tcase_add_test(tests, long_descriptions);
    tcase_add_test(tests, zeros);
    suite_add_tcase(suite, tests);
    return suite;
}
