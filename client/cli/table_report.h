/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What quantize, inspect and eval all say about a table, in the same words. */
#ifndef NB_CLI_TABLE_REPORT_H
#define NB_CLI_TABLE_REPORT_H

#include <stdint.h>

#include <jansson.h>

#include "quant/nibble.h"
#include "storage/table/table_reader.h"

struct table_report {
    struct nb_format format;
    uint64_t n_rows;
    uint64_t file_bytes;
    struct table_stats stats;
    enum table_columns columns;
    uint64_t params_bytes; /* of file_bytes */
    uint64_t n_protected;  /* rows */
    uint64_t keys_bytes;   /* likewise: the key index; 0: there are no keys */
};

/* Names of enum table_columns, in its order. */
const char *table_columns_at(size_t i);

/* "size" and "error" lines, "columns" where they are transformed, "keys"
 * and "protect" where there are any. */
void table_report_print(const struct table_report *report);

/* Puts rows, dim, codec, scales, file_bytes, fp32_bytes, percent_of_fp32,
 * bits_per_value, columns, params_bytes, keys_bytes, protected_rows, nl2, mse
 * and max_abs_error into *object, as json_put(). */
void table_report_json(const struct table_report *report, json_t **object);

/* Of any format, known or not; never NULL. */
const char *table_codec_name(uint32_t codec);
const char *table_scales_name(uint32_t scales);
/* "q4, fp16 scales, search greedy" and a line end: what there is a choice of;
 * an empty search is one that was not recorded. */
void table_codec_print(const struct nb_format *format, const char *search);
/* Choices of --scales, in the order of enum nb_scales. */
const char *table_scales_at(size_t i);

#endif
