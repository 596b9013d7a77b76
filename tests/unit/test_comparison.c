/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Candidates, trials and comparisons. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage/eval/comparison.h"
#include "storage/eval/table_eval.h"
#include "tests/lib/row_kinds.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define SAMPLE "tests/data/glove-6B-50d-head.txt"
#define DIM    50u
#define ROWS   2444u

static struct nb_errctx err;
static struct row_sample sample;
static struct candidate_list list;

static void setup(void)
{
    scratch_create();
    const struct source_options options = {.format = "glove"};
    struct source *source;
    ck_assert_int_eq(source_open(SAMPLE, &options, &source, &err), 0);
    const struct sample_options all = {.source = source};
    ck_assert_int_eq(row_sample_take(&all, &sample, &err), 0);
    source_close(source);
}

static void teardown(void)
{
    candidate_list_fini(&list);
    row_sample_fini(&sample);
    scratch_remove();
}

static void parse(const char *text)
{
    candidate_list_fini(&list);
    int rv = candidate_list_parse(text, DIM, &list, &err);
    ck_assert_msg(rv == 0, "%s: %s", text, err.text);
}

static struct compared *compare(double budget_seconds, unsigned threads)
{
    const struct comparison comparison = {.sample = &sample,
                                          .list = &list,
                                          .budget_seconds = budget_seconds,
                                          .threads = threads};
    struct compared *lines = calloc(list.n, sizeof(*lines));
    ck_assert_ptr_nonnull(lines);
    int rv = comparison_run(&comparison, lines, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    return lines;
}

/* ---- candidates ---------------------------------------------------------- */

static void assert_item(size_t i, const char *codec, const char *search)
{
    ck_assert_uint_lt(i, list.n);
    ck_assert_str_eq(list.items[i].codec, codec);
    ck_assert_str_eq(list.items[i].search_name, search);
    ck_assert_uint_eq(list.items[i].format.dim, DIM);
}

START_TEST(lists)
{
    parse("q8,asym,q4,q4/greedy,greedy,q4/exact,asym");
    ck_assert_uint_eq(list.n, 4); /* none stands twice */
    assert_item(0, "q8", "");
    assert_item(1, "q4", "asym");
    assert_item(2, "q4", "greedy");
    assert_item(3, "q4", "exact");
    ck_assert_uint_eq(list.items[0].format.scales, NB_SCALES_FP32);
    ck_assert_uint_eq(list.items[1].format.scales, NB_SCALES_FP16);
    struct candidate baseline = candidate_baseline(DIM);
    ck_assert(candidate_same(&list.items[2], &baseline));
    ck_assert(!candidate_same(&list.items[1], &baseline));
    ck_assert(!candidate_same(&list.items[0], &baseline));
    parse("greedy+scale,q8+center,q4/asym,greedy,greedy+scale");
    ck_assert_uint_eq(list.n, 4);
    assert_item(0, "q4", "greedy");
    assert_item(1, "q8", "");
    ck_assert_int_eq(list.items[0].columns, COLUMNS_SCALE);
    ck_assert_int_eq(list.items[1].columns, COLUMNS_CENTER);
    ck_assert_int_eq(list.items[2].columns, COLUMNS_NONE);
    ck_assert(!candidate_same(&list.items[0], &baseline));
}
END_TEST

/* Every pair that makes sense, from the registries alone. */
START_TEST(all)
{
    parse("all");
    size_t n = 0;
    const char *codec;
    const char *search;
    for (size_t i = 0; (codec = nb_codec_at(i)) != NULL; i++) {
        size_t bytes;
        uint32_t id;
        struct nb_codec_traits traits;
        ck_assert_int_eq(nb_codec_by_name(codec, &id), 0);
        ck_assert_int_eq(nb_codec_traits(id, &traits), 0);
        struct nb_format format = {
            .codec = id, .dim = DIM, .scales = traits.scales};
        ck_assert_int_eq(nb_row_bytes(&format, &bytes), 0);
        size_t n_columns = bytes < (size_t)2 * DIM ? 3 : 1;
        for (size_t k = 0; !traits.searched && k < n_columns; k++) {
            assert_item(n, codec, "");
            ck_assert_uint_eq(list.items[n++].columns, k);
        }
        for (size_t j = 0;
             traits.searched && (search = nb_search_at(j)) != NULL; j++) {
            for (size_t k = 0; k < n_columns; k++) {
                assert_item(n, codec, search);
                ck_assert_uint_eq(list.items[n++].columns, k);
            }
        }
    }
    ck_assert_uint_eq(list.n, n);
}
END_TEST

START_TEST(names_that_are_none)
{
    static const char *const texts[] = {
        "zip",         "",          "greedy,",  "q4/",     "q4/zip",
        "zip/greedy",  "q8/greedy", "/greedy",  " greedy", "greedy+",
        "greedy+none", "+scale",    "all+scale"};
    struct candidate_list none = {0};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_msg(candidate_list_parse(texts[i], DIM, &none, &err) ==
                          NB_ERR_NOT_FOUND,
                      "'%s'", texts[i]);
        ck_assert_ptr_nonnull(strstr(err.text, "all, q4"));
        ck_assert_ptr_null(none.items);
    }
    ck_assert_int_eq(candidate_list_parse("asym,zip", DIM, &none, &err),
                     NB_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "'zip'"));
}
END_TEST

/* ---- trials -------------------------------------------------------------- */

/* A trial on all rows tells what the builder and eval tell of a file. */
START_TEST(agrees_with_a_built_table)
{
    const struct build_options options = {.input = SAMPLE,
                                          .source = {.format = "glove"},
                                          .output = scratch_path("t.nbt"),
                                          .codec = "q4",
                                          .search = "greedy"};
    struct build_report built;
    struct eval_report eval;
    struct table *table;
    struct source *source;
    ck_assert_int_eq(table_build(&options, &built, &err), 0);
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &table, &err), 0);
    ck_assert_int_eq(source_open(SAMPLE, &options.source, &source, &err), 0);
    ck_assert_int_eq(table_eval(table, source, NULL, NULL, NULL, &eval, &err),
                     0);
    parse("greedy");
    struct compared *lines = compare(1000, 2);
    ck_assert_int_eq(lines->rv, 0);
    ck_assert_uint_eq(lines->n_rows, ROWS);
    ck_assert_uint_eq(lines->result.row_bytes, 29);
    ck_assert_mem_eq(&lines->result.losses, &eval.losses, sizeof(eval.losses));
    ck_assert_mem_eq(&lines->result.bags, &eval.bags, sizeof(eval.bags));
    ck_assert(lines->result.losses.stats.nl2 == built.stats.nl2);
    ck_assert(lines->baseline == built.stats.nl2);
    ck_assert(lines->result.encode_seconds > 0);
    ck_assert(lines->result.decode_seconds > 0);
    free(lines);
    source_close(source);
    table_close(table);
}
END_TEST

START_TEST(threads_make_no_difference)
{
    parse("asym,greedy,q8,q4-kmeans");
    struct compared *one = compare(1000, 1);
    struct compared *many = compare(1000, 5);
    for (size_t i = 0; i < list.n; i++) {
        ck_assert_uint_eq(one[i].n_rows, ROWS);
        ck_assert_mem_eq(&one[i].result.losses, &many[i].result.losses,
                         sizeof(one[i].result.losses));
        ck_assert_mem_eq(&one[i].result.bags, &many[i].result.bags,
                         sizeof(one[i].result.bags));
    }
    free(one);
    free(many);
}
END_TEST

/* A row that counts twice is as good as one that stands there twice. */
START_TEST(weights_count)
{
    parse("asym,q8");
    struct row_sample twice = {.n = 150, .dim = DIM};
    twice.values = calloc(150, DIM * sizeof(float));
    twice.rows = calloc(150, sizeof(uint64_t));
    for (size_t i = 0; i < 150; i++) {
        size_t from = i < 100 ? i : i - 100;
        memcpy(twice.values + i * DIM, sample.values + from * DIM,
               DIM * sizeof(float));
    }
    twice.extremes = calloc(DIM, 2 * sizeof(float));
    twice.n_source = 150;
    sample.n = 100;
    sample.n_source = 100;
    sample.weight = calloc(100, sizeof(double));
    for (size_t i = 0; i < 100; i++) {
        sample.weight[i] = i < 50 ? 2 : 1;
    }
    struct compared *weighted = compare(1000, 1);
    struct row_sample once = sample;
    sample = twice;
    struct compared *repeated = compare(1000, 1);
    twice = sample;
    sample = once;
    for (size_t i = 0; i < list.n; i++) {
        const struct losses *a = &weighted[i].result.losses;
        const struct losses *b = &repeated[i].result.losses;
        ck_assert(fabs(a->stats.nl2 / b->stats.nl2 - 1) < 1e-12);
        ck_assert(fabs(a->stats.mse / b->stats.mse - 1) < 1e-12);
        ck_assert(fabs(a->cosine_mean / b->cosine_mean - 1) < 1e-12);
        ck_assert(a->cosine_p1 == b->cosine_p1);
        ck_assert(a->stats.max_abs == b->stats.max_abs);
    }
    free(weighted);
    free(repeated);
    row_sample_fini(&twice);
}
END_TEST

/* Only the rows of some weight are lost anything by. */
START_TEST(rows_of_no_weight_do_not_count)
{
    parse("asym");
    sample.weight = calloc(sample.n, sizeof(double));
    sample.weight[7] = 3;
    struct compared *weighted = compare(1000, 1);
    const struct losses *losses = &weighted->result.losses;
    struct row_sample alone = sample;
    alone.weight = NULL;
    alone.values += (size_t)7 * DIM;
    alone.n = 1;
    struct trial_rows *rows;
    struct trial_result result;
    ck_assert_int_eq(trial_rows_create(&alone, 1, &rows, &err), 0);
    ck_assert_int_eq(trial_run(rows, &list.items[0], NULL, 1, &result, &err),
                     0);
    ck_assert(fabs(losses->stats.nl2 / result.losses.stats.nl2 - 1) < 1e-12);
    for (size_t i = 0; i < BAG_SIZES; i++) {
        ck_assert(fabs(weighted->result.bags.nl2[i] / result.bags.nl2[i] - 1) <
                  1e-6);
    }
    trial_rows_destroy(rows);
    free(weighted);
}
END_TEST

/* ---- comparisons --------------------------------------------------------- */

START_TEST(slow_ones_are_tried_on_fewer_rows)
{
    parse("asym,greedy,exact");
    struct compared *lines = compare(1e-9, 1);
    struct trial_rows *rows;
    struct trial_result few;
    size_t n = ROWS >> 5; /* 76: a half of it would be below the least */
    ck_assert_int_eq(trial_rows_create(&sample, n, &rows, &err), 0);
    struct candidate greedy = candidate_baseline(DIM);
    ck_assert_int_eq(trial_run(rows, &greedy, NULL, 1, &few, &err), 0);
    trial_rows_destroy(rows);
    for (size_t i = 0; i < list.n; i++) {
        ck_assert_uint_eq(lines[i].n_rows, n);
        ck_assert(lines[i].baseline == few.losses.stats.nl2);
    }
    ck_assert(lines[1].result.losses.stats.nl2 == lines[1].baseline);
    ck_assert(lines[0].result.losses.stats.nl2 > lines[1].baseline);
    ck_assert(lines[2].result.losses.stats.nl2 < lines[1].baseline);
    /* Spread over the sample: the last of 76 is beyond row 2,400. */
    bool late = false;
    for (unsigned i = 0; i < few.losses.n_worst; i++) {
        late = late || few.losses.worst[i].row >= n;
    }
    ck_assert(late);
    free(lines);
}
END_TEST

/* With q4 wide scales help; fp16 has no others. */
START_TEST(values_beyond_the_scales)
{
    parse("q4,fp16,fp32");
    sample.values[(size_t)2000 * DIM] = 70000;
    sample.extremes[DIM] = 70000;
    struct compared *lines = compare(1000, 1);
    ck_assert_int_eq(lines[0].rv, 0);
    ck_assert_uint_eq(lines[0].candidate.format.scales, NB_SCALES_FP32);
    ck_assert_uint_eq(lines[0].result.row_bytes, 33);
    ck_assert_int_eq(lines[1].rv, NB_ERR_OVERFLOW);
    ck_assert_int_eq(lines[2].rv, 0);
    ck_assert(lines[2].result.losses.stats.nl2 == 0);
    ck_assert(lines[2].baseline == lines[0].result.losses.stats.nl2);
    ck_assert(lines[2].baseline_bags.nl2[1] == lines[0].result.bags.nl2[1]);
    free(lines);
}
END_TEST

/* Trained on all rows, columns are those of the builder. */
START_TEST(columns_are_those_of_a_built_table)
{
    parse("q4/asym+scale,q8+center");
    struct compared *lines = compare(1000, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct build_options options = {
            .input = SAMPLE,
            .source = {.format = "glove"},
            .output = scratch_path("t.nbt"),
            .codec = list.items[i].codec,
            .search = list.items[i].search_name,
            .scales = list.items[i].format.scales,
            .columns = list.items[i].columns};
        struct build_report built;
        int rv = table_build(&options, &built, &err);
        ck_assert_msg(rv == 0, "%s", err.text);
        ck_assert_int_eq(lines[i].rv, 0);
        ck_assert(lines[i].result.losses.stats.nl2 == built.stats.nl2);
        ck_assert_uint_eq(lines[i].result.table_bytes, built.params_bytes);
        ck_assert(lines[i].result.losses.stats.nl2 < lines[i].baseline);
    }
    free(lines);
}
END_TEST

/* Rows that are tried are all alike, and not like those that are trained on. */
START_TEST(trained_on_rows_that_are_not_tried)
{
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < DIM; j++) {
            sample.values[i * DIM + j] =
                i % 2 == 0 ? 100 : (float)(j * j % 37) * 1.37f;
        }
    }
    sample.n_source = ROWS + 1;
    parse("asym,asym+center,asym+scale");
    struct compared *lines = compare(1000, 2);
    ck_assert_uint_eq(lines[0].n_rows, ROWS / 2);
    ck_assert(lines[0].result.losses.stats.nl2 == 0);
    ck_assert_uint_eq(lines[0].result.losses.worst[1].row, 2);
    /* Means of the tried are 100 in every column, and would lose nothing. */
    for (size_t i = 1; i < 3; i++) {
        ck_assert(lines[i].result.losses.stats.nl2 > 0);
    }
    free(lines);
}
END_TEST

/* A column of tiny deviations and one great value: fp16 holds the value, but
 * not when it is scaled. */
START_TEST(columns_beyond_the_scales)
{
    for (size_t i = 0; i < ROWS; i++) {
        sample.values[i * DIM] = i % 2 == 0 ? 0.01f : -0.01f;
    }
    sample.extremes[DIM] = 60000;
    parse("greedy,greedy+center,greedy+scale");
    struct compared *lines = compare(1000, 1);
    ck_assert_uint_eq(lines[0].candidate.format.scales, NB_SCALES_FP16);
    ck_assert_uint_eq(lines[1].candidate.format.scales, NB_SCALES_FP16);
    ck_assert_uint_eq(lines[2].candidate.format.scales, NB_SCALES_FP32);
    ck_assert_int_eq(lines[2].rv, 0);
    free(lines);
}
END_TEST

/* Parameters that are there are used as they are; others are left there. */
START_TEST(parameters_for_the_next_time)
{
    parse("greedy,greedy+scale");
    struct table_params params[2] = {0};
    struct compared lines[2];
    struct comparison comparison = {.sample = &sample,
                                    .list = &list,
                                    .budget_seconds = 1000,
                                    .params = params,
                                    .threads = 1};
    ck_assert_int_eq(comparison_run(&comparison, lines, &err), 0);
    double trained = lines[1].result.losses.stats.nl2;
    ck_assert_ptr_null(params[0].values);
    ck_assert_ptr_nonnull(params[1].values);
    ck_assert_int_eq(comparison_run(&comparison, lines, &err), 0);
    ck_assert(lines[1].result.losses.stats.nl2 == trained);
    table_params_mean(&params[1])[7] += 30;
    ck_assert_int_eq(comparison_run(&comparison, lines, &err), 0);
    ck_assert(lines[1].result.losses.stats.nl2 > trained);
    ck_assert(lines[0].result.losses.stats.nl2 == lines[0].baseline);
    table_params_fini(&params[1]);
}
END_TEST

START_TEST(one_row)
{
    parse("all");
    sample.n = 1;
    struct compared *lines = compare(1000, 3);
    for (size_t i = 0; i < list.n; i++) {
        ck_assert_int_eq(lines[i].rv, 0);
        ck_assert_uint_eq(lines[i].n_rows, 1);
        ck_assert(lines[i].result.losses.stats.nl2 < 0.6);
    }
    free(lines);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("comparison");
    TCase *tests = tcase_create("comparison");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, lists);
    tcase_add_test(tests, all);
    tcase_add_test(tests, names_that_are_none);
    tcase_add_test(tests, agrees_with_a_built_table);
    tcase_add_test(tests, threads_make_no_difference);
    tcase_add_test(tests, weights_count);
    tcase_add_test(tests, rows_of_no_weight_do_not_count);
    tcase_add_test(tests, slow_ones_are_tried_on_fewer_rows);
    tcase_add_test(tests, values_beyond_the_scales);
    tcase_add_test(tests, columns_are_those_of_a_built_table);
    tcase_add_test(tests, trained_on_rows_that_are_not_tried);
    tcase_add_test(tests, columns_beyond_the_scales);
    tcase_add_test(tests, parameters_for_the_next_time);
    tcase_add_test(tests, one_row);
    suite_add_tcase(suite, tests);
    return suite;
}
