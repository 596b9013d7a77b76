/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/svg_chart.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static struct nb_errctx err;
static char *drawn;

static void teardown(void)
{
    free(drawn);
    drawn = NULL;
    scratch_remove();
}

static void draw_chart(const struct svg_chart *chart)
{
    const char *path = scratch_path("c.svg");
    int rv = svg_chart_write(chart, path, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    size_t bytes;
    free(drawn);
    drawn = (char *)scratch_read(path, &bytes);
    ck_assert_ptr_nonnull(strstr(drawn, "</svg>"));
}

static void draw(const struct svg_point *points, size_t n, const char *title)
{
    draw_chart(&(struct svg_chart){.title = title,
                                   .x_label = "bytes",
                                   .y_label = "loss",
                                   .points = points,
                                   .n = n});
}

static size_t count(const char *text)
{
    size_t n = 0;
    for (const char *at = drawn; (at = strstr(at, text)) != NULL; at++) {
        n++;
    }
    return n;
}

/* Where the text of a label stands. */
static void label_at(const char *label, double *x, double *y)
{
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "\">%s</text>", label);
    const char *at = strstr(drawn, wanted);
    ck_assert_msg(at != NULL, "no label %s", label);
    while (strncmp(at, "<text", 5) != 0) {
        at--;
    }
    /* NOLINTNEXTLINE(cert-err34-c): our own numbers */
    ck_assert_int_eq(sscanf(at, "<text x=\"%lf\" y=\"%lf\"", x, y), 2);
}

START_TEST(points_and_frontier)
{
    const struct svg_point points[] = {{10, 0.1, "worse"},
                                       {10, 0.05, "good"},
                                       {20, 0.02, "better"},
                                       {30, 0.03, "beaten"},
                                       {40, 0, "exact"}};
    draw(points, 5, "title");
    ck_assert_uint_eq(count("<circle"), 5);
    ck_assert_uint_eq(count("class=\"front s0\""), 3);
    ck_assert_uint_eq(count("<title>good: 10, 0.05</title>"), 1);
    ck_assert_uint_eq(count("<title>exact: 40, 0</title>"), 1);
    double x[3];
    double y[3];
    label_at("good", &x[0], &y[0]);
    label_at("better", &x[1], &y[1]);
    label_at("worse", &x[2], &y[2]);
    ck_assert(x[1] > x[0]);
    ck_assert(y[1] > y[0]); /* less is lower */
    ck_assert(y[2] < y[0]);
    ck_assert(x[2] == x[0]);
    /* From exact up to the loss of better, back to it, up to good. */
    double to[6];
    const char *path = strstr(drawn, "class=\"best\" d=\"");
    ck_assert_ptr_nonnull(path);
    /* NOLINTNEXTLINE(cert-err34-c): our own numbers */
    ck_assert_int_eq(sscanf(path, "class=\"best\" d=\"M%lf %lfV%lfH%lfV%lfH%lf",
                            &to[0], &to[1], &to[2], &to[3], &to[4], &to[5]),
                     6);
    ck_assert(to[2] < to[1] && to[4] < to[2]);
    ck_assert(to[3] < to[0] && to[5] < to[3]);
}
END_TEST

START_TEST(each_line_has_a_colour)
{
    const struct svg_point points[] = {
        {1, 5, "p50"},  {2, 6, "p50"},  {1, 7, "p99"}, {2, 8, "p99"},
        {3, 9, "p99"},  {1, 9, "p100"}, {1, 9, "max"}, {2, 9, "max"},
        {1, 9, "more"}, {2, 9, "more"}};
    draw_chart(&(struct svg_chart){.title = "lines",
                                   .x_label = "rate",
                                   .y_label = "latency",
                                   .points = points,
                                   .n = 10,
                                   .joined = true});
    ck_assert_uint_eq(count("class=\"line s0\""), 2); /* and the fifth */
    ck_assert_uint_eq(count("class=\"line s1\""), 2);
    ck_assert_uint_eq(count("class=\"line s2\""), 0);
    ck_assert_uint_eq(count("class=\"line s3\""), 1);
    ck_assert_uint_eq(count("class=\"front s1\""), 3);
    ck_assert_uint_eq(count("class=\"front s2\""), 1);
}
END_TEST

START_TEST(labels_do_not_overlap)
{
    struct svg_point points[20];
    for (size_t i = 0; i < 20; i++) {
        points[i] = (struct svg_point){.x = 10, .y = 0.1};
        snprintf(points[i].label, SVG_LABEL_BYTES, "label %zu", i);
    }
    draw(points, 20, "title");
    for (size_t i = 0; i < 20; i++) {
        for (size_t j = 0; j < i; j++) {
            double x[2];
            double y[2];
            label_at(points[i].label, &x[0], &y[0]);
            label_at(points[j].label, &x[1], &y[1]);
            ck_assert(y[0] - y[1] > 13 || y[1] - y[0] > 13);
        }
    }
    ck_assert_uint_eq(count("class=\"leader\""), 19);
}
END_TEST

START_TEST(axes_have_ticks_whatever_the_range)
{
    static const struct svg_point ranges[][2] = {
        {{10, 0.1, "a"}, {10, 0.1, "b"}},
        {{10, 0.1, "a"}, {11, 0.101, "b"}},
        {{1, 1e-7, "a"}, {1e6, 10, "b"}},
        {{5, 0, "a"}, {5, 0, "b"}},
    };
    for (size_t i = 0; i < 4; i++) {
        draw(ranges[i], 2, "title");
        ck_assert_uint_ge(count("class=\"grid\""), 4);
        ck_assert_ptr_null(strstr(drawn, "nan"));
        ck_assert_ptr_null(strstr(drawn, "inf"));
    }
    draw(NULL, 0, "nothing");
    ck_assert_uint_eq(count("<circle"), 0);
}
END_TEST

START_TEST(foreign_text)
{
    const struct svg_point point = {10, 0.1, "<b>&\x1b"};
    draw(&point, 1, "</text>\xff<script>\"");
    ck_assert_uint_eq(count("<script"), 0);
    ck_assert_uint_eq(count("&lt;/text&gt;?&lt;script&gt;\""), 1);
    ck_assert_uint_eq(count("&lt;b&gt;&amp;?"), 2);
}
END_TEST

START_TEST(errors)
{
    const struct svg_chart chart = {.title = "", .x_label = "", .y_label = ""};
    ck_assert_int_eq(svg_chart_write(&chart, "/no/such/c.svg", &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/c.svg"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("svg_chart");
    TCase *tests = tcase_create("chart");
    tcase_add_checked_fixture(tests, scratch_create, teardown);
    tcase_add_test(tests, points_and_frontier);
    tcase_add_test(tests, each_line_has_a_colour);
    tcase_add_test(tests, labels_do_not_overlap);
    tcase_add_test(tests, axes_have_ticks_whatever_the_range);
    tcase_add_test(tests, foreign_text);
    tcase_add_test(tests, errors);
    suite_add_tcase(suite, tests);
    return suite;
}
