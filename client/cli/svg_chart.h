/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A chart of labelled points on two logarithmic axes. Either less is better on
 * both, and a line joins the points that no other one beats; or points of the
 * same label that follow each other are joined. */
#ifndef NB_CLI_SVG_CHART_H
#define NB_CLI_SVG_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "quant/nibble.h"

#define SVG_LABEL_BYTES 48

struct svg_point {
    double x;
    double y; /* 0 stands on the lower edge */
    char label[SVG_LABEL_BYTES];
};

struct svg_chart {
    const char *title; /* this and labels: any bytes */
    const char *x_label;
    const char *y_label;
    const struct svg_point *points; /* x > 0, y >= 0, finite */
    size_t n;
    bool joined; /* the latter; a label stands at the last of its points */
};

/* Writes the file whole or not at all. -errno, NB_ERR_INVALID (no regular
 * file), NB_ERR_NOMEM. */
int svg_chart_write(const struct svg_chart *chart, const char *path,
                    struct nb_errctx *err);

#endif
