/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the commands of nibble are made of: numbers in, words out. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/block_values.h"
#include "client/cli/cli_text.h"
#include "client/cli/json_line.h"
#include "client/cli/number_list.h"
#include "tests/lib/run_suite.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- numbers ---------------------------------------------------------- */

static const struct {
    const char *text;
    bool valid;
    uint64_t value;
} numbers[] = {
    {"0", true, 0},
    {"007", true, 7},
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"99999999999999999999999999", false, 0},
    {"", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"0x10", false, 0},
    {"1e3", false, 0},
};

START_TEST(numbers_are_read_strictly)
{
    uint64_t value = 77;
    const char *text = numbers[_i].text;
    ck_assert(number_parse(text, strlen(text), &value) == numbers[_i].valid);
    ck_assert_uint_eq(value, numbers[_i].valid ? numbers[_i].value : 77);
}
END_TEST

static const char *const words[][2] = {
    {"words=/a_b/c-1.nbt", "words=/a_b/c-1.nbt"},
    {"", "''"},
    {"two words", "'two words'"},
    {"$HOME;`x`\"\\", "'$HOME;`x`\"\\'"},
    {"~", "'~'"},
    {"it's", "'it'\\''s'"},
    {"\xc3\xa9", "'\xc3\xa9'"},
    {"a\033[2J'\\\n1", "$'a\\033[2J\\'\\\\\\0121'"},
    {"\x7f", "$'\\177'"},
};

START_TEST(words_can_be_pasted_back)
{
    char *printed = NULL;
    size_t n;
    FILE *to = open_memstream(&printed, &n);
    text_print_word(to, words[_i][0]);
    fclose(to);
    ck_assert_str_eq(printed, words[_i][1]);
    free(printed);
}
END_TEST

static const struct {
    const char *text;
    const char *says; /* NULL: accepted */
    size_t n;
} lists[] = {
    {"1,2,3", NULL, 3},
    {" 1\n2\t3 , 4\r\n", NULL, 4},
    {"", NULL, 0},
    {" \n", NULL, 0},
    {"1,,2", "item 2, ''", 0},
    {",", "item 1, ''", 0},
    {"1, ", "item 2, ''", 0},
    {"1;2", "item 1, '1;2'", 0},
};

START_TEST(lists_of_ids)
{
    struct id_list list = {0};
    struct nb_errctx err = {""};
    const char *text = lists[_i].text;
    int rv = id_list_parse(text, strlen(text), &list, &err);
    if (lists[_i].says != NULL) {
        ck_assert_int_eq(rv, NB_ERR_INVALID);
        ck_assert_msg(strstr(err.text, lists[_i].says) != NULL, "%s", err.text);
        return;
    }
    ck_assert_int_eq(rv, 0);
    ck_assert_uint_eq(list.n, lists[_i].n);
    for (size_t i = 0; i < list.n; i++) {
        ck_assert_uint_eq(list.ids[i], i + 1);
    }
    id_list_fini(&list);
}
END_TEST

START_TEST(bags_and_weights)
{
    struct bag_list bags;
    struct nb_errctx err = {""};
    ck_assert_int_eq(bag_list_parse("1,2,3;4;;5 6;", &bags, &err), 0);
    const uint32_t lengths[] = {3, 1, 0, 2, 0};
    ck_assert_uint_eq(bags.n_bags, 5);
    ck_assert_int_eq(memcmp(bags.lengths, lengths, sizeof(lengths)), 0);
    ck_assert_uint_eq(bags.ids.n, 6);
    ck_assert_uint_eq(bags.ids.ids[5], 6);
    float *weights = NULL;
    ck_assert_int_eq(
        weights_parse("1,-2,.5;inf;;1e-50 4;", &bags, &weights, &err), 0);
    ck_assert(weights[1] == -2.0F && weights[2] == 0.5F);
    ck_assert(isinf(weights[3]));
    ck_assert(weights[4] == 0.0F && weights[5] == 4.0F);
    free(weights);
    ck_assert_int_eq(weights_parse("1,2,3;4;5;6", &bags, &weights, &err),
                     NB_ERR_INVALID);
    ck_assert_int_eq(weights_parse("1,2,3;4;5;6,7;", &bags, &weights, &err),
                     NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "bag 2 has 0 ids but 1 weights"));
    bag_list_fini(&bags);
    ck_assert_int_eq(bag_list_parse("", &bags, &err), 0);
    ck_assert_uint_eq(bags.n_bags, 1);
    ck_assert_uint_eq(bags.ids.n, 0);
    bag_list_fini(&bags);
}
END_TEST

/* ---- words ------------------------------------------------------------ */

START_TEST(quantities_in_words)
{
    ck_assert_str_eq(text_count(0).text, "0");
    ck_assert_str_eq(text_count(999).text, "999");
    ck_assert_str_eq(text_count(1000).text, "1,000");
    ck_assert_str_eq(text_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
    ck_assert_str_eq(text_counted(1, "row").text, "1 row");
    ck_assert_str_eq(text_counted(2444, "row").text, "2,444 rows");
    ck_assert_str_eq(text_bytes(1).text, "1 byte");
    ck_assert_str_eq(text_bytes(1023).text, "1,023 bytes");
    ck_assert_str_eq(text_bytes(1536).text, "1,536 bytes (1.5 KiB)");
    ck_assert_str_eq(text_bytes(UINT64_MAX).text,
                     "18,446,744,073,709,551,615 bytes (16.0 EiB)");
    ck_assert_str_eq(text_duration(1.25).text, "1.25 s");
    ck_assert_str_eq(text_duration(59).text, "59.0 s");
    ck_assert_str_eq(text_duration(302).text, "5 min 2 s");
    ck_assert_str_eq(text_duration(7265).text, "2 h 1 min");
    ck_assert_str_eq(text_duration(266400).text, "3 days 2 h");
    ck_assert_str_eq(text_duration(NAN).text, "unknown");
    ck_assert_str_eq(text_duration(-1).text, "unknown");
    ck_assert_str_eq(text_rate(5000, 2).text, "2,500 rows/s");
    ck_assert_str_eq(text_rate(5000, 0).text, "0 rows/s");
    ck_assert_str_eq(text_percent(1, 8).text, "12.5 %");
    ck_assert_str_eq(text_percent(1, 0).text, "0.0 %");
}
END_TEST

START_TEST(foreign_text_is_made_harmless)
{
    ck_assert_str_eq(text_foreign("a\033[2J\tb\177").text, "a?[2J?b?");
    char text[300];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct cli_text made = text_foreign(text);
    ck_assert_uint_eq(strlen(made.text), sizeof(made.text) - 1);
    ck_assert_ptr_nonnull(strstr(made.text, "x..."));
}
END_TEST

START_TEST(json_of_what_json_has_not)
{
    json_t *object = json_object();
    json_put(&object, "nan", json_number(NAN));
    json_put(&object, "inf", json_number(-INFINITY));
    json_put(&object, "large", json_count(UINT64_MAX));
    json_put(&object, "text", json_text("a\xff"));
    char *text = json_dumps(object, JSON_COMPACT);
    ck_assert_str_eq(text, "{\"nan\":null,\"inf\":null,\"large\":"
                           "\"18446744073709551615\",\"text\":\"a?\"}");
    free(text);
    json_put(&object, "none", NULL); /* as after a failed allocation */
    ck_assert_ptr_null(object);
    json_put(&object, "after", json_null());
    ck_assert_ptr_null(object);
}
END_TEST

/* ---- values ----------------------------------------------------------- */

/* One row of two values, (1, -2), in each form; at odd addresses. */
static const struct {
    uint32_t dtype;
    uint32_t row_bytes;
    const uint8_t bytes[9];
} forms[] = {
    {NB_FP32, 8, {0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}},
    {NB_FP16, 4, {0, 0x00, 0x3c, 0x00, 0xc0}},
    {NB_BF16, 4, {0, 0x80, 0x3f, 0x00, 0xc0}},
    /* Codes 15 and 0, scale 0.2 rounded to fp16, bias -2. */
    {NB_PACKED, 5, {0, 0x0f, 0x66, 0x32, 0x00, 0xc0}},
};

START_TEST(values_of_every_form)
{
    const struct nb_block block = {
        .rows = 1,
        .dim = 2,
        .dtype = forms[_i].dtype,
        .row_bytes = forms[_i].row_bytes,
        .format = {.codec = 1, .dim = 2, .scales = NB_SCALES_FP16},
        .values = forms[_i].bytes + 1,
    };
    float *values = NULL;
    ck_assert_int_eq(block_values_decode(&block, NULL, &values, NULL), 0);
    ck_assert_float_eq_tol(values[0], 1.0F, 1e-3F);
    ck_assert_float_eq_tol(values[1], -2.0F, 1e-3F);
    free(values);
}
END_TEST

START_TEST(a_codec_of_the_future)
{
    const struct nb_block block = {.rows = 1,
                                   .dim = 2,
                                   .dtype = NB_PACKED,
                                   .row_bytes = 5,
                                   .format = {.codec = 200, .dim = 2},
                                   .values = forms[3].bytes};
    float *values = NULL;
    struct nb_errctx err = {""};
    ck_assert_int_eq(block_values_decode(&block, NULL, &values, &err),
                     NB_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "codec 200"));
    ck_assert_ptr_null(values);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cli_parts");
    TCase *tcase = tcase_create("parts");
    tcase_add_loop_test(tcase, numbers_are_read_strictly, 0, COUNT(numbers));
    tcase_add_loop_test(tcase, lists_of_ids, 0, COUNT(lists));
    tcase_add_loop_test(tcase, words_can_be_pasted_back, 0, COUNT(words));
    tcase_add_test(tcase, bags_and_weights);
    tcase_add_test(tcase, quantities_in_words);
    tcase_add_test(tcase, foreign_text_is_made_harmless);
    tcase_add_test(tcase, json_of_what_json_has_not);
    tcase_add_loop_test(tcase, values_of_every_form, 0, COUNT(forms));
    tcase_add_test(tcase, a_codec_of_the_future);
    suite_add_tcase(suite, tcase);
    return suite;
}
