/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/source_checks.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void read_pass(struct source *source, const float *values, size_t n_rows,
                      size_t at_once)
{
    struct nb_errctx err;
    uint32_t dim = source_dim(source);
    float *rows = malloc(at_once * dim * sizeof(float));
    ck_assert_ptr_nonnull(rows);
    size_t done = 0;
    size_t got;
    do {
        int rv = source_read(source, rows, at_once, &got, &err);
        ck_assert_msg(rv == 0, "%s", err.text);
        ck_assert_uint_le(got, n_rows - done);
        ck_assert_msg(
            memcmp(rows, values + done * dim, got * dim * sizeof(float)) == 0,
            "rows %zu to %zu, %zu at once", done, done + got, at_once);
        done += got;
    } while (got == at_once);
    ck_assert_uint_eq(done, n_rows);
    ck_assert_int_eq(source_read(source, rows, at_once, &got, &err), 0);
    ck_assert_uint_eq(got, 0);
    ck_assert_uint_le(source_bytes_read(source), source_bytes(source));
    free(rows);
}

void source_check_rows(const char *path, const struct source_options *options,
                       const char *format, const float *values, size_t n_rows,
                       uint32_t dim)
{
    struct nb_errctx err;
    struct source *source;
    int rv = source_open(path, options, &source, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_str_eq(source_format(source), format);
    ck_assert_uint_eq(source_dim(source), dim);
    ck_assert_uint_eq(source_rows(source), n_rows);
    for (size_t at_once = 1; at_once <= 2; at_once++) {
        read_pass(source, values, n_rows, at_once);
        ck_assert_int_eq(source_rewind(source, &err), 0);
    }
    read_pass(source, values, n_rows, n_rows + 1);
    source_close(source);
}

void source_check_refused(const char *path,
                          const struct source_options *options, int rv,
                          const char *words)
{
    struct nb_errctx err = {""};
    struct source *source = NULL;
    int got = source_open(path, options, &source, &err);
    if (got == 0) {
        float *row = malloc(source_dim(source) * sizeof(float));
        size_t n_rows = 1;
        ck_assert_ptr_nonnull(row);
        while (got == 0 && n_rows > 0) {
            got = source_read(source, row, 1, &n_rows, &err);
        }
        free(row);
    }
    source_close(source);
    ck_assert_msg(got == rv, "%d, not %d: %s", got, rv, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    ck_assert_ptr_nonnull(strstr(err.text, ": "));
    ck_assert_msg(strchr(err.text, '/') != NULL, "'%s' names no file",
                  err.text);
}
