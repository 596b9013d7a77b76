/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/table_report.h"

#include <stdio.h>

#include "client/cli/cli_text.h"
#include "client/cli/json_line.h"

const char *table_scales_at(size_t i)
{
    static const char *const names[] = {
        [NB_SCALES_FP16] = "fp16", [NB_SCALES_FP32] = "fp32"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

const char *table_scales_name(uint32_t scales)
{
    const char *name = table_scales_at(scales);
    return name != NULL ? name : "unknown";
}

const char *table_codec_name(uint32_t codec)
{
    const char *name = nb_codec_name(codec);
    return name != NULL ? name : "unknown";
}

void table_codec_print(const struct nb_format *format, const char *search)
{
    /* Of an unknown codec all is told. */
    struct nb_codec_traits traits = {.other_scales = 1, .searched = 1};
    (void)nb_codec_traits(format->codec, &traits);
    printf("%s", table_codec_name(format->codec));
    if (traits.other_scales) {
        printf(", %s scales", table_scales_name(format->scales));
    }
    if (traits.searched) {
        printf(", search %s",
               search[0] != '\0' ? text_foreign(search).text : "not recorded");
    }
    printf("\n");
}

static double n_values(const struct table_report *report)
{
    return (double)report->n_rows * report->format.dim;
}

static double fp32_bytes(const struct table_report *report)
{
    return n_values(report) * sizeof(float);
}

static double bits_per_value(const struct table_report *report)
{
    double n = n_values(report);
    return n > 0 ? 8 * (double)report->file_bytes / n : 0;
}

const char *table_columns_at(size_t i)
{
    static const char *const names[] = {[COLUMNS_NONE] = "none",
                                        [COLUMNS_CENTER] = "center",
                                        [COLUMNS_SCALE] = "scale",
                                        [COLUMNS_AUTO] = "auto"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

static void print_size(const struct table_report *report)
{
    double fp32 = fp32_bytes(report);
    double file = (double)report->file_bytes;
    printf("  size     %s, ", text_bytes(report->file_bytes).text);
    if (file > 2 * fp32) {
        printf("more than %s of fp32: the header outweighs so few rows\n",
               text_counted((uint64_t)fp32, "byte").text);
        return;
    }
    printf("%s of fp32 (%s bytes), %.2f bits a value\n",
           text_percent(file, fp32).text, text_count((uint64_t)fp32).text,
           bits_per_value(report));
}

void table_report_print(const struct table_report *report)
{
    print_size(report);
    if (report->columns != COLUMNS_NONE) {
        printf("  columns  %s; parameters of the table take %s\n",
               report->columns == COLUMNS_CENTER
                   ? "center, the mean of each is put back"
                   : "scale, the deviation and mean of each are put back",
               text_bytes(report->params_bytes).text);
    }
    if (report->keys_bytes > 0) {
        printf("  keys     8 bytes a row, and an index of %s: %.2f bits a "
               "key\n",
               text_bytes(report->keys_bytes).text,
               8 * (double)report->keys_bytes / (double)report->n_rows);
    }
    if (report->n_protected > 0) {
        printf("  protect  %s of the most used have a second row\n",
               text_counted(report->n_protected, "row").text);
    }
    printf("  error    normalized l2 loss %.5f, mean squared error %.3g, "
           "greatest error %.3g\n",
           report->stats.nl2, report->stats.mse, report->stats.max_abs);
}

void table_report_json(const struct table_report *report, json_t **object)
{
    const struct table_stats *stats = &report->stats;
    double fp32 = fp32_bytes(report);
    double file = (double)report->file_bytes;
    json_put(object, "rows", json_count(report->n_rows));
    json_put(object, "dim", json_count(report->format.dim));
    json_put(object, "codec",
             json_string(table_codec_name(report->format.codec)));
    json_put(object, "scales",
             json_string(table_scales_name(report->format.scales)));
    json_put(object, "file_bytes", json_count(report->file_bytes));
    json_put(object, "fp32_bytes", json_count((uint64_t)fp32));
    json_put(object, "percent_of_fp32",
             json_number(fp32 > 0 ? 100 * file / fp32 : 0));
    json_put(object, "bits_per_value", json_number(bits_per_value(report)));
    json_put(object, "columns", json_string(table_columns_at(report->columns)));
    json_put(object, "params_bytes", json_count(report->params_bytes));
    json_put(object, "keys_bytes", json_count(report->keys_bytes));
    json_put(object, "protected_rows", json_count(report->n_protected));
    json_put(object, "nl2", json_number(stats->nl2));
    json_put(object, "mse", json_number(stats->mse));
    json_put(object, "max_abs_error", json_number(stats->max_abs));
}
