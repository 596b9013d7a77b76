/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/codec/codec.h"
#include "quant/codec/q4.h"
#include "tests/lib/run_suite.h"

START_TEST(test_codecs_are_found_by_name_and_id)
{
    size_t n = 0;
#define CODEC(number, name, text)                                              \
    {                                                                          \
        uint32_t id = 0;                                                       \
        ck_assert_int_eq(nb_codec_by_name(text, &id), 0);                      \
        ck_assert_uint_eq(id, number);                                         \
        ck_assert_str_eq(nb_codec_name(number), text);                         \
        ck_assert_str_eq(nb_codec_at(n), text);                                \
        ck_assert_uint_eq(codec_by_id(number)->id, number);                    \
        n++;                                                                   \
    }
#include "quant/codec/codecs.def"
#undef CODEC
    ck_assert_ptr_null(nb_codec_at(n));
    ck_assert_ptr_null(nb_codec_at(SIZE_MAX));
}
END_TEST

START_TEST(test_unknown_codecs)
{
    uint32_t id = 77;
    ck_assert_int_eq(nb_codec_by_name("q5", &id), NB_ERR_NOT_FOUND);
    ck_assert_int_eq(nb_codec_by_name("", &id), NB_ERR_NOT_FOUND);
    ck_assert_uint_eq(id, 77);
    ck_assert_ptr_null(nb_codec_name(0));
    ck_assert_ptr_null(nb_codec_name(UINT32_MAX));
    ck_assert_ptr_null(codec_by_id(0));
}
END_TEST

static int row_bytes(uint32_t codec, uint32_t dim, uint32_t scales,
                     size_t *bytes)
{
    struct nb_format format = {.codec = codec, .dim = dim, .scales = scales};
    return nb_row_bytes(&format, bytes);
}

START_TEST(test_traits)
{
    struct nb_codec_traits traits = {.scales = 77};
    ck_assert_int_eq(nb_codec_traits(0, &traits), NB_ERR_NOT_FOUND);
    ck_assert_uint_eq(traits.scales, 77);
    ck_assert_int_eq(nb_codec_traits(CODEC_q4, &traits), 0);
    ck_assert_uint_eq(traits.scales, NB_SCALES_FP16);
    ck_assert(traits.other_scales && traits.searched);
    ck_assert_int_eq(nb_codec_traits(CODEC_q8, &traits), 0);
    ck_assert_uint_eq(traits.scales, NB_SCALES_FP32);
    ck_assert(traits.other_scales && !traits.searched);
    ck_assert_int_eq(nb_codec_traits(CODEC_fp16, &traits), 0);
    ck_assert_uint_eq(traits.scales, NB_SCALES_FP16);
    ck_assert(!traits.other_scales && !traits.searched);
}
END_TEST

/* What a codec is used with unless told otherwise is one it can be. */
START_TEST(test_usual_formats_are_good)
{
    const char *name;
    for (size_t i = 0; (name = nb_codec_at(i)) != NULL; i++) {
        struct nb_codec_traits traits;
        size_t bytes;
        uint32_t id;
        ck_assert_int_eq(nb_codec_by_name(name, &id), 0);
        ck_assert_int_eq(nb_codec_traits(id, &traits), 0);
        ck_assert_int_eq(row_bytes(id, 8, traits.scales, &bytes), 0);
        ck_assert_int_eq(row_bytes(id, 8, 1 - traits.scales, &bytes),
                         traits.other_scales ? 0 : NB_ERR_INVALID);
    }
}
END_TEST

START_TEST(test_row_bytes)
{
    static const struct {
        uint32_t codec, dim, scales;
        size_t bytes;
    } cases[] = {
        {CODEC_q4, 1, NB_SCALES_FP16, 5},
        {CODEC_q4, 2, NB_SCALES_FP16, 5},
        {CODEC_q4, 3, NB_SCALES_FP16, 6},
        {CODEC_q4, 50, NB_SCALES_FP16, 29},
        {CODEC_q4, 64, NB_SCALES_FP16, 36},
        {CODEC_q4, 64, NB_SCALES_FP32, 40},
        {CODEC_q4, 7, NB_SCALES_FP32, 12},
        {CODEC_q4, NB_DIM_MAX, NB_SCALES_FP16, 32772},
        {CODEC_q8, 1, NB_SCALES_FP32, 9},
        {CODEC_q8, 64, NB_SCALES_FP32, 72},
        {CODEC_q8, 64, NB_SCALES_FP16, 68},
        {CODEC_fp16, 3, NB_SCALES_FP16, 6},
        {CODEC_fp32, 3, NB_SCALES_FP32, 12},
        {CODEC_fp32, NB_DIM_MAX, NB_SCALES_FP32, 262144},
        {CODEC_q4_kmeans, 64, NB_SCALES_FP16, 64},
        {CODEC_q4_kmeans, 5, NB_SCALES_FP32, 67},
        {CODEC_q4_kmeans2, 5, NB_SCALES_FP32, 5},
        {CODEC_q4_shared, 64, NB_SCALES_FP16, 36},
        {CODEC_q4_shared8, 64, NB_SCALES_FP32, 40},
        {CODEC_q4_trellis, 63, NB_SCALES_FP16, 36},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = 0;
        ck_assert_int_eq(
            row_bytes(cases[i].codec, cases[i].dim, cases[i].scales, &bytes),
            0);
        ck_assert_uint_eq(bytes, cases[i].bytes);
    }
}
END_TEST

START_TEST(test_bad_formats)
{
    size_t bytes = 77;
    ck_assert_int_eq(row_bytes(CODEC_q4, 0, 0, &bytes), NB_ERR_INVALID);
    ck_assert_int_eq(row_bytes(CODEC_q4, NB_DIM_MAX + 1, 0, &bytes),
                     NB_ERR_INVALID);
    ck_assert_int_eq(row_bytes(CODEC_q4, UINT32_MAX, 0, &bytes),
                     NB_ERR_INVALID);
    ck_assert_int_eq(row_bytes(CODEC_q4, 8, 2, &bytes), NB_ERR_INVALID);
    ck_assert_int_eq(row_bytes(CODEC_fp16, 8, NB_SCALES_FP32, &bytes),
                     NB_ERR_INVALID);
    ck_assert_int_eq(row_bytes(CODEC_fp32, 8, NB_SCALES_FP16, &bytes),
                     NB_ERR_INVALID);
    ck_assert_int_eq(row_bytes(0, 8, 0, &bytes), NB_ERR_UNSUPPORTED);
    ck_assert_int_eq(row_bytes(UINT32_MAX, 8, 0, &bytes), NB_ERR_UNSUPPORTED);
    ck_assert_uint_eq(bytes, 77);
}
END_TEST

START_TEST(test_dtype_bytes)
{
    ck_assert_uint_eq(nb_dtype_bytes(NB_FP32), 4);
    ck_assert_uint_eq(nb_dtype_bytes(NB_FP16), 2);
    ck_assert_uint_eq(nb_dtype_bytes(NB_BF16), 2);
    ck_assert_uint_eq(nb_dtype_bytes(NB_PACKED), 0);
    ck_assert_uint_eq(nb_dtype_bytes(4), 0);
    ck_assert_uint_eq(nb_dtype_bytes(UINT32_MAX), 0);
}
END_TEST

START_TEST(test_q4_scale_and_bias_are_read_where_they_stand)
{
    static const uint8_t half[] = {0xff, 0x0f, 0x00, 0x3c, 0x00, 0xc0};
    ck_assert(q4_scale(half, 3, NB_SCALES_FP16) == 1.0f);
    ck_assert(q4_bias(half, 3, NB_SCALES_FP16) == -2.0f);
    static const uint8_t full[] = {0x12, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0};
    ck_assert(q4_scale(full, 2, NB_SCALES_FP32) == 1.0f);
    ck_assert(q4_bias(full, 2, NB_SCALES_FP32) == -2.0f);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("codec");
    TCase *tcase = tcase_create("codec");
    tcase_add_test(tcase, test_codecs_are_found_by_name_and_id);
    tcase_add_test(tcase, test_unknown_codecs);
    tcase_add_test(tcase, test_traits);
    tcase_add_test(tcase, test_usual_formats_are_good);
    tcase_add_test(tcase, test_row_bytes);
    tcase_add_test(tcase, test_bad_formats);
    tcase_add_test(tcase, test_dtype_bytes);
    tcase_add_test(tcase, test_q4_scale_and_bias_are_read_where_they_stand);
    suite_add_tcase(suite, tcase);
    return suite;
}
