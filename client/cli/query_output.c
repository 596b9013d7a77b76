/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/query_output.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/cli/block_values.h"
#include "client/cli/cli_text.h"
#include "client/cli/command.h"
#include "client/cli/json_line.h"

/* ---- text ------------------------------------------------------------- */

static void print_headline(const struct server_query *query,
                           const struct query_rows *rows,
                           const struct nb_reply *reply)
{
    const struct nb_block *block = &reply->blocks[0];
    printf("table %s, version %llu: %s x %u values, %s", query->table,
           (unsigned long long)reply->version,
           text_counted(block->rows, rows->noun).text, block->dim,
           query_dtype_at(block->dtype));
    if (rows->pooling != NULL) {
        printf(", %s", rows->pooling);
    }
    if (block->dtype == NB_PACKED) {
        printf(" (%u bytes a row, decoded here)", block->row_bytes);
    }
    printf(", %s unseen\n", text_counted(block->unseen, "id").text);
    if (rows->ids != NULL && block->rows > 0 && block->unseen == block->rows) {
        fprintf(stderr, "none of the ids is in the table: they are %s\n",
                rows->words != NULL
                    ? "hashes of words if it was quantized with --keys text"
                    : "row numbers unless it was quantized with --keys");
    }
}

static void print_rows(const struct query_rows *rows,
                       const struct nb_block *block, const float *values)
{
    for (size_t i = 0; i < block->rows; i++) {
        uint64_t name = rows->ids != NULL ? rows->ids[i] : i;
        if (rows->words != NULL) {
            printf("%s, ", text_foreign(rows->words[i]).text);
        }
        printf("%s %llu:", rows->ids != NULL ? "id" : rows->noun,
               (unsigned long long)name);
        for (size_t j = 0; j < block->dim; j++) {
            printf(" %.9g", (double)values[i * block->dim + j]);
        }
        printf("\n");
    }
}

/* ---- JSON ------------------------------------------------------------- */

static json_t *json_ids(const uint64_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_append(&list, json_count(ids[i]));
    }
    return list;
}

static json_t *json_words(const char *const *words, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_append(&list, json_text(words[i]));
    }
    return list;
}

static json_t *json_values(const struct nb_block *block, const float *values)
{
    json_t *matrix = json_array();
    for (size_t i = 0; i < block->rows; i++) {
        json_t *row = json_array();
        for (size_t j = 0; j < block->dim; j++) {
            json_append(&row, json_number((double)*values++));
        }
        json_append(&matrix, row);
    }
    return matrix;
}

/* `values` is NULL where they went to a file. */
static int print_json(const struct server_query *query,
                      const struct query_rows *rows,
                      const struct nb_reply *reply, const float *values)
{
    const struct nb_block *block = &reply->blocks[0];
    json_t *object = json_object();
    json_put(&object, "table", json_text(query->table));
    json_put(&object, "version", json_count(reply->version));
    json_put(&object, "dtype", json_string(query_dtype_at(block->dtype)));
    json_put(&object, "rows", json_count(block->rows));
    json_put(&object, "dim", json_count(block->dim));
    json_put(&object, "row_bytes", json_count(block->row_bytes));
    json_put(&object, "unseen", json_count(block->unseen));
    if (rows->pooling != NULL) {
        json_put(&object, "pooling", json_string(rows->pooling));
    }
    if (rows->ids != NULL) {
        json_put(&object, "ids", json_ids(rows->ids, block->rows));
    }
    if (rows->words != NULL) {
        json_put(&object, "keys", json_words(rows->words, block->rows));
    }
    if (values != NULL) {
        json_put(&object, "values", json_values(block, values));
    } else {
        json_put(&object, "npy", json_text(query->npy));
    }
    return json_line_print(rows->command, object);
}

/* ---- both ------------------------------------------------------------- */

static int output_npy(const struct server_query *query,
                      const struct query_rows *rows,
                      const struct nb_reply *reply)
{
    struct nb_errctx err = {""};
    int rv = block_values_write_npy(&reply->blocks[0], rows->params, query->npy,
                                    &err);
    if (rv != 0) {
        return command_fail(rows->command, rv, &err);
    }
    if (query->json) {
        return print_json(query, rows, reply, NULL);
    }
    print_headline(query, rows, reply);
    printf("wrote %s\n", query->npy);
    return COMMAND_DONE;
}

int query_output(const struct server_query *query,
                 const struct query_rows *rows, const struct nb_reply *reply)
{
    if (query->npy != NULL) {
        return output_npy(query, rows, reply);
    }
    struct nb_errctx err = {""};
    float *values = NULL;
    int rv =
        block_values_decode(&reply->blocks[0], rows->params, &values, &err);
    if (rv != 0) {
        return command_fail(rows->command, rv, &err);
    }
    int status = COMMAND_DONE;
    if (query->json) {
        status = print_json(query, rows, reply, values);
    } else {
        print_headline(query, rows, reply);
        print_rows(rows, &reply->blocks[0], values);
    }
    free(values);
    return status;
}
