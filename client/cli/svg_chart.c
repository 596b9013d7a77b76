/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/svg_chart.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/io/atomic_file.h"

/* All in pixels. */
#define WIDTH        960.0
#define HEIGHT       600.0
#define LEFT         80.0
#define RIGHT        40.0
#define TOP          56.0
#define BOTTOM       64.0
#define LINE_HEIGHT  14.0
#define GLYPH_WIDTH  6.7 /* of 12 px sans-serif, on average */
#define LABEL_OFFSET 9.0
#define LEADER_LEAST 4.0  /* a label that far off gets a line to its point, */
#define LEADER_ROOM  12.0 /* and moves aside for it */

#define TICKS_LEAST 4u
#define N_COLOURS   4u /* .s0 to .s3, told apart by colour-blind eyes too */

/* A logarithmic axis, from a value to a pixel. */
struct axis {
    double least;
    double most;
    double from; /* pixel of least */
    double to;
};

/* A point in pixels, and its label. */
struct mark {
    const struct svg_point *point;
    double x;
    double y;
    double label_x;
    double label_y;
    bool label_left; /* of the point */
    bool frontier;   /* no point beats it, or they are joined */
    bool labelled;   /* not by a later one of its line */
};

struct drawing {
    FILE *out;
    const struct svg_chart *chart;
    struct axis x;
    struct axis y;
    struct mark *marks; /* sorted by pixel y, then x */
};

/* ---- axes ---------------------------------------------------------------- */

static double pixel(const struct axis *axis, double value)
{
    if (value <= axis->least) {
        return axis->from;
    }
    double share = log(value / axis->least) / log(axis->most / axis->least);
    return axis->from + share * (axis->to - axis->from);
}

/* Widens the axis to hold the value; 0 is off any logarithmic axis. */
static void hold(struct axis *axis, double value)
{
    if (value > 0) {
        axis->least = fmin(axis->least, value);
        axis->most = fmax(axis->most, value);
    }
}

/* Room at both ends, also around a single value or none. */
static void loosen(struct axis *axis)
{
    if (axis->least > axis->most) {
        axis->least = axis->most = 1;
    }
    double room = fmax(pow(axis->most / axis->least, 0.08), 1.1);
    axis->least /= room;
    axis->most *= room;
}

static void make_axes(struct drawing *drawing)
{
    drawing->x = (struct axis){
        .least = INFINITY, .most = 0, .from = LEFT, .to = WIDTH - RIGHT};
    drawing->y = (struct axis){
        .least = INFINITY, .most = 0, .from = HEIGHT - BOTTOM, .to = TOP};
    for (size_t i = 0; i < drawing->chart->n; i++) {
        hold(&drawing->x, drawing->chart->points[i].x);
        hold(&drawing->y, drawing->chart->points[i].y);
    }
    loosen(&drawing->x);
    loosen(&drawing->y);
}

/* Round values of an axis: leading digits of `digits` at every power of ten. */
static size_t ticks_of(const struct axis *axis, const double *digits,
                       size_t n_digits, double *ticks, size_t max)
{
    size_t n = 0;
    int last = (int)floor(log10(axis->most));
    for (int e = (int)floor(log10(axis->least)); e <= last; e++) {
        for (size_t i = 0; i < n_digits; i++) {
            double value = digits[i] * pow(10, e);
            if (value >= axis->least && value <= axis->most && n < max) {
                ticks[n++] = value;
            }
        }
    }
    return n;
}

#define TICKS_MAX 64

/* Few digits if they make ticks enough, more otherwise. */
static size_t make_ticks(const struct axis *axis, double ticks[TICKS_MAX])
{
    static const double few[] = {1, 2, 5};
    static const double more[] = {1, 1.5, 2, 3, 4, 5, 6, 8};
    static const double most[] = {1,   1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2,
                                  2.2, 2.5, 2.8, 3.2, 3.6, 4,   4.5, 5,
                                  5.5, 6,   6.5, 7,   8,   9};
    size_t n = ticks_of(axis, few, 3, ticks, TICKS_MAX);
    if (n < TICKS_LEAST) {
        n = ticks_of(axis, more, 8, ticks, TICKS_MAX);
    }
    if (n < TICKS_LEAST) {
        n = ticks_of(axis, most, 22, ticks, TICKS_MAX);
    }
    return n;
}

static void draw_axes(const struct drawing *drawing)
{
    FILE *out = drawing->out;
    double ticks[TICKS_MAX];
    size_t n = make_ticks(&drawing->x, ticks);
    for (size_t i = 0; i < n; i++) {
        double x = pixel(&drawing->x, ticks[i]);
        fprintf(out,
                "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>\n"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g"
                "</text>\n",
                x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, ticks[i]);
    }
    n = make_ticks(&drawing->y, ticks);
    for (size_t i = 0; i < n; i++) {
        double y = pixel(&drawing->y, ticks[i]);
        fprintf(out,
                "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, ticks[i]);
    }
    fprintf(out, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", LEFT,
            TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
}

/* ---- text ---------------------------------------------------------------- */

/* XML has no way to write most control characters, and takes UTF-8 only. */
static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        switch (c) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        default:
            fputc(c < 0x20 || c >= 0x7f ? '?' : c, out);
        }
    }
}

static void draw_titles(const struct drawing *drawing)
{
    FILE *out = drawing->out;
    fprintf(out, "<text class=\"title\" x=\"%.1f\" y=\"32\">", LEFT);
    put_text(out, drawing->chart->title);
    fprintf(out, "</text>\n<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
            WIDTH - RIGHT, HEIGHT - 20);
    put_text(out, drawing->chart->x_label);
    fprintf(out, "</text>\n<text x=\"%.1f\" y=\"%.1f\">", 12.0, TOP - 8);
    put_text(out, drawing->chart->y_label);
    fprintf(out, "</text>\n");
}

/* ---- points -------------------------------------------------------------- */

static bool beats(const struct svg_point *a, const struct svg_point *b)
{
    return a->x <= b->x && a->y <= b->y && (a->x < b->x || a->y < b->y);
}

/* Whether the next point goes on with the line of this one. */
static bool goes_on(const struct svg_chart *chart,
                    const struct svg_point *point)
{
    const struct svg_point *next = point + 1;
    return chart->joined && next < chart->points + chart->n &&
           strcmp(point->label, next->label) == 0;
}

static int by_pixel(const void *a, const void *b)
{
    const struct mark *p = a;
    const struct mark *q = b;
    if (p->y != q->y) {
        return p->y < q->y ? -1 : 1;
    }
    return (p->x > q->x) - (p->x < q->x);
}

static void place_points(struct drawing *drawing)
{
    const struct svg_chart *chart = drawing->chart;
    for (size_t i = 0; i < chart->n; i++) {
        const struct svg_point *point = &chart->points[i];
        struct mark *mark = &drawing->marks[i];
        *mark = (struct mark){.point = point,
                              .x = pixel(&drawing->x, point->x),
                              .y = pixel(&drawing->y, point->y),
                              .frontier = true,
                              .labelled = !goes_on(chart, point)};
        for (size_t j = 0; !chart->joined && j < chart->n && mark->frontier;
             j++) {
            mark->frontier = !beats(&chart->points[j], point);
        }
    }
    if (chart->n > 0) {
        qsort(drawing->marks, chart->n, sizeof(*drawing->marks), by_pixel);
    }
}

static double label_width(const struct mark *mark)
{
    return GLYPH_WIDTH * (double)strlen(mark->point->label);
}

/* Left end of a label. */
static double label_start(const struct mark *mark)
{
    return mark->label_left ? mark->label_x - label_width(mark) : mark->label_x;
}

static bool collide(const struct mark *a, const struct mark *b)
{
    return a->labelled && b->labelled &&
           label_start(a) < label_start(b) + label_width(b) &&
           label_start(b) < label_start(a) + label_width(a) &&
           fabs(a->label_y - b->label_y) < LINE_HEIGHT;
}

static bool has_leader(const struct mark *mark)
{
    return fabs(mark->label_y - mark->y) > LEADER_LEAST;
}

/* From the top down, each label below those in its way. */
static void place_labels(struct drawing *drawing)
{
    for (size_t i = 0; i < drawing->chart->n; i++) {
        struct mark *mark = &drawing->marks[i];
        mark->label_left = mark->x + LABEL_OFFSET + label_width(mark) > WIDTH;
        mark->label_x =
            mark->x + (mark->label_left ? -LABEL_OFFSET : LABEL_OFFSET);
        mark->label_y = mark->y;
        for (size_t j = 0; j < i; j++) {
            const struct mark *placed = &drawing->marks[j];
            if (collide(mark, placed)) {
                mark->label_y = placed->label_y + LINE_HEIGHT;
                j = (size_t)-1; /* may now be in the way of an earlier one */
            }
        }
        if (has_leader(mark)) {
            mark->label_x += mark->label_left ? -LEADER_ROOM : LEADER_ROOM;
        }
    }
}

/* The least loss for so many bytes, from the bottom: what a point loses holds
 * up to its bytes, where less than that is to be had. */
static void draw_frontier(const struct drawing *drawing)
{
    FILE *out = drawing->out;
    bool any = false;
    for (size_t i = drawing->chart->n; i > 0; i--) {
        const struct mark *mark = &drawing->marks[i - 1];
        if (mark->frontier && any) {
            fprintf(out, "V%.1fH%.1f", mark->y, mark->x);
        } else if (mark->frontier) {
            fprintf(out, "<path class=\"best\" d=\"M%.1f %.1f", mark->x,
                    mark->y);
            any = true;
        }
    }
    fputs(any ? "\"/>\n" : "", out);
}

/* Which line the point is of, and so its colour. */
static unsigned series_of(const struct svg_chart *chart,
                          const struct svg_point *point)
{
    unsigned n = 0;
    for (const struct svg_point *at = chart->points; at < point; at++) {
        n += chart->joined && !goes_on(chart, at);
    }
    return n % N_COLOURS;
}

static void draw_lines(const struct drawing *drawing)
{
    const struct svg_chart *chart = drawing->chart;
    for (size_t i = 0; i < chart->n; i++) {
        const struct svg_point *point = &chart->points[i];
        if (goes_on(chart, point)) {
            fprintf(drawing->out,
                    "<path class=\"line s%u\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n",
                    series_of(chart, point), pixel(&drawing->x, point->x),
                    pixel(&drawing->y, point->y),
                    pixel(&drawing->x, point[1].x),
                    pixel(&drawing->y, point[1].y));
        }
    }
}

static void draw_points(const struct drawing *drawing)
{
    FILE *out = drawing->out;
    for (size_t i = 0; i < drawing->chart->n; i++) {
        const struct mark *mark = &drawing->marks[i];
        if (has_leader(mark)) {
            fprintf(out,
                    "<path class=\"leader\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n",
                    mark->x, mark->y, mark->label_x, mark->label_y);
        }
        fprintf(out,
                "<circle class=\"%s s%u\" cx=\"%.1f\" cy=\"%.1f\" "
                "r=\"4\"><title>",
                mark->frontier ? "front" : "behind",
                series_of(drawing->chart, mark->point), mark->x, mark->y);
        put_text(out, mark->point->label);
        fprintf(out, ": %g, %.5g</title></circle>\n", mark->point->x,
                mark->point->y);
        if (!mark->labelled) {
            continue;
        }
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", mark->label_x,
                mark->label_y + 4,
                mark->label_left ? " text-anchor=\"end\"" : "");
        put_text(out, mark->point->label);
        fputs("</text>\n", out);
    }
}

/* ---- the file ------------------------------------------------------------ */

static void draw(struct drawing *drawing)
{
    make_axes(drawing);
    place_points(drawing);
    place_labels(drawing);
    fprintf(drawing->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" "
            "height=\"%g\" viewBox=\"0 0 %g %g\">\n"
            "<style>text{font:12px sans-serif;fill:#222;paint-order:stroke;"
            "stroke:#fff;stroke-width:3px}"
            ".title{font-size:16px}path{fill:none}.grid{stroke:#e4e4e4}"
            ".axis{stroke:#222}.leader{stroke:#999;stroke-width:.7}"
            ".line,.best{stroke:currentColor;stroke-width:1.5}"
            ".best{stroke-dasharray:5 3}.s0,.best{color:#0072b2}"
            ".s1{color:#e69f00}.s2{color:#d55e00}.s3{color:#009e73}"
            ".front{fill:currentColor}.behind{fill:#999}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_axes(drawing);
    draw_titles(drawing);
    if (drawing->chart->joined) {
        draw_lines(drawing);
    } else {
        draw_frontier(drawing);
    }
    draw_points(drawing);
    fputs("</svg>\n", drawing->out);
}

static int write_file(const char *path, const char *text, size_t n,
                      struct nb_errctx *err)
{
    struct atomic_file *file;
    int rv = atomic_file_create(path, &file, err);
    if (rv != 0) {
        return rv;
    }
    rv = atomic_file_write(file, text, n, 0, err);
    if (rv == 0) {
        rv = atomic_file_commit(file, err);
    }
    atomic_file_destroy(file);
    return rv;
}

int svg_chart_write(const struct svg_chart *chart, const char *path,
                    struct nb_errctx *err)
{
    char *text = NULL;
    size_t n = 0;
    struct drawing drawing = {.chart = chart};
    int rv = 0;
    drawing.marks = calloc(chart->n + 1, sizeof(*drawing.marks));
    drawing.out = open_memstream(&text, &n);
    if (drawing.marks != NULL && drawing.out != NULL) {
        draw(&drawing);
    } else {
        rv = NB_ERR_NOMEM;
    }
    if (drawing.out != NULL &&
        (ferror(drawing.out) != 0) + fclose(drawing.out) != 0) {
        rv = NB_ERR_NOMEM;
    }
    free(drawing.marks);
    rv = rv == 0 ? write_file(path, text, n, err)
                 : nb_fail(err, rv, "%s: out of memory", path);
    free(text);
    return rv;
}
