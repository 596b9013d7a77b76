/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/bench_compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"

/* What is compared of a step. */
static const struct {
    const char *name;
    const char *object; /* in the step, NULL: the step itself */
    const char *key;
    const char *unit;
    double scale;
} figures[] = {
    {"offered", NULL, "offered_per_s", "requests/s", 1},
    {"rate", NULL, "achieved_per_s", "requests/s", 1},
    {"latency p50", "latency_us", "p50", "us", 1},
    {"latency p99", "latency_us", "p99", "us", 1},
    {"latency p99.9", "latency_us", "p99.9", "us", 1},
    {"latency max", "latency_us", "max", "us", 1},
    {"service p50", "service_us", "p50", "us", 1},
    {"service p99", "service_us", "p99", "us", 1},
    {"late sends", NULL, "late_sends", "requests", 1},
    {"not sent", NULL, "not_sent", "requests", 1},
    {"client", NULL, "client_core_share", "% of a core", 100},
};
#define N_FIGURES (sizeof(figures) / sizeof(figures[0]))

struct pair {
    const char *paths[2];
    json_t *reports[2];
};

static int load_report(const char *path, json_t **report, struct nb_errctx *err)
{
    json_error_t error;
    json_t *loaded = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (loaded == NULL) {
        return nb_fail(err, NB_ERR_FORMAT, "%.100s: line %d: %s", path,
                       error.line, error.text);
    }
    const char *what = json_string_value(json_object_get(loaded, "report"));
    const json_t *steps = json_object_get(loaded, "steps");
    if (what == NULL || strcmp(what, "nibble bench") != 0 ||
        !json_is_array(steps)) {
        json_decref(loaded);
        return nb_fail(err, NB_ERR_FORMAT,
                       "%.200s: not a report of nibble bench", path);
    }
    *report = loaded;
    return 0;
}

/* ---- how they were made ----------------------------------------------- */

/* A value as JSON writes it; the caller frees. */
static char *text_of(const json_t *value)
{
    return value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT |
                                                 JSON_REAL_PRECISION(9))
                         : strdup("absent");
}

static void print_difference(const char *what, const json_t *a, const json_t *b)
{
    if ((a == NULL && b == NULL) ||
        (a != NULL && b != NULL && json_equal(a, b))) {
        return;
    }
    char *text_a = text_of(a);
    char *text_b = text_of(b);
    if (text_a != NULL && text_b != NULL) {
        printf("differs     %s: %s and %s\n", what, text_foreign(text_a).text,
               text_foreign(text_b).text);
    }
    free(text_a);
    free(text_b);
}

/* Keys of either object. */
static void print_differences(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value)
    {
        print_difference(text_foreign(key).text, value,
                         json_object_get(b, key));
    }
    json_object_foreach((json_t *)b, key, value)
    {
        if (json_object_get(a, key) == NULL) {
            print_difference(text_foreign(key).text, NULL, value);
        }
    }
}

static void print_making(const struct pair *pair)
{
    static const char *const whole[] = {"client_version", "server_version",
                                        "model", "tables", "ended_early"};
    const json_t *a = pair->reports[0];
    const json_t *b = pair->reports[1];
    printf("A           %s\nB           %s\n",
           text_foreign(pair->paths[0]).text,
           text_foreign(pair->paths[1]).text);
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        print_difference(whole[i], json_object_get(a, whole[i]),
                         json_object_get(b, whole[i]));
    }
    print_differences(json_object_get(a, "machine"),
                      json_object_get(b, "machine"));
    print_differences(json_object_get(a, "parameters"),
                      json_object_get(b, "parameters"));
    size_t steps_a = json_array_size(json_object_get(a, "steps"));
    size_t steps_b = json_array_size(json_object_get(b, "steps"));
    if (steps_a != steps_b) {
        printf("differs     steps: %zu and %zu\n", steps_a, steps_b);
    }
}

/* ---- what came of them ------------------------------------------------ */

/* NaN if the report does not say. */
static double figure_of(const json_t *step, size_t i)
{
    const json_t *from = figures[i].object != NULL
                             ? json_object_get(step, figures[i].object)
                             : step;
    const json_t *value = json_object_get(from, figures[i].key);
    return json_is_number(value) ? json_number_value(value) * figures[i].scale
                                 : NAN;
}

struct figure_text {
    char text[32];
};

static struct figure_text figure_text(double figure)
{
    struct figure_text made = {"-"};
    if (!isnan(figure)) {
        snprintf(made.text, sizeof(made.text), "%.6g", figure);
    }
    return made;
}

static void print_step(const json_t *a, const json_t *b, size_t index)
{
    printf("\nstep %zu%*s%14s%14s%10s\n", index + 1, 10, "", "A", "B",
           "change");
    for (size_t i = 0; i < N_FIGURES; i++) {
        double x = figure_of(a, i);
        double y = figure_of(b, i);
        printf("  %-14s%14s%14s", figures[i].name, figure_text(x).text,
               figure_text(y).text);
        if (x > 0 && isfinite(y)) {
            printf("%+9.1f %%", 100 * (y / x - 1));
        } else {
            printf("%11s", "");
        }
        printf("  %s\n", figures[i].unit);
    }
}

/* What is no figure, and puts the figures in doubt. */
static void print_doubts(const json_t *step, const char *whose)
{
    const json_t *errors = json_object_get(step, "errors");
    const json_t *warning = json_object_get(step, "warning");
    if (json_object_size(errors) > 0) {
        char *text = text_of(errors);
        if (text != NULL) {
            printf("  errors of %s   %s\n", whose, text_foreign(text).text);
        }
        free(text);
    }
    if (json_is_string(warning)) {
        printf("  warning of %s  %s\n", whose,
               text_foreign(json_string_value(warning)).text);
    }
}

static size_t n_steps(const struct pair *pair)
{
    size_t a = json_array_size(json_object_get(pair->reports[0], "steps"));
    size_t b = json_array_size(json_object_get(pair->reports[1], "steps"));
    return a < b ? a : b;
}

static const json_t *step_of(const struct pair *pair, int which, size_t i)
{
    return json_array_get(json_object_get(pair->reports[which], "steps"), i);
}

/* As the reports have it, or null. */
static void put_both(json_t **object, const char *key, const json_t *a,
                     const json_t *b)
{
    json_t *x = json_object_get(a, key);
    json_t *y = json_object_get(b, key);
    json_t *one = json_object();
    json_put(&one, "a", x != NULL ? json_incref(x) : json_null());
    json_put(&one, "b", y != NULL ? json_incref(y) : json_null());
    json_put(object, key, one);
}

static json_t *step_json(const json_t *a, const json_t *b)
{
    json_t *object = json_object();
    for (size_t i = 0; i < N_FIGURES; i++) {
        double x = figure_of(a, i);
        double y = figure_of(b, i);
        json_t *one = json_object();
        json_put(&one, "a", json_number(x));
        json_put(&one, "b", json_number(y));
        json_put(&one, "ratio", json_number(x > 0 ? y / x : NAN));
        json_put(&one, "unit", json_text(figures[i].unit));
        json_put(&object, figures[i].name, one);
    }
    put_both(&object, "errors", a, b);
    put_both(&object, "warning", a, b);
    return object;
}

static int print_json(const struct pair *pair)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < n_steps(pair); i++) {
        json_append(&steps,
                    step_json(step_of(pair, 0, i), step_of(pair, 1, i)));
    }
    json_t *object = json_object();
    json_put(&object, "a", json_text(pair->paths[0]));
    json_put(&object, "b", json_text(pair->paths[1]));
    json_put(&object, "steps", steps);
    return json_line_print("bench", object);
}

int bench_compare(const char *path_a, const char *path_b, bool json)
{
    struct pair pair = {.paths = {path_a, path_b}};
    struct nb_errctx err = {""};
    int rv = 0;
    for (int i = 0; rv == 0 && i < 2; i++) {
        rv = load_report(pair.paths[i], &pair.reports[i], &err);
    }
    int status = rv == 0 ? COMMAND_DONE : command_fail("bench", rv, &err);
    if (rv == 0 && json) {
        status = print_json(&pair);
    } else if (rv == 0) {
        print_making(&pair);
        for (size_t i = 0; i < n_steps(&pair); i++) {
            print_step(step_of(&pair, 0, i), step_of(&pair, 1, i), i);
            print_doubts(step_of(&pair, 0, i), "A");
            print_doubts(step_of(&pair, 1, i), "B");
        }
    }
    json_decref(pair.reports[0]);
    json_decref(pair.reports[1]);
    return status;
}
