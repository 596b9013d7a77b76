/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "storage/source/npy_header.h"
#include "storage/source/source.h"
#include "storage/builder/table_builder.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define SAMPLE "tests/data/glove-6B-50d-head.txt"

static struct nb_errctx err;
static struct build_report report;

static struct build_options options_of(const char *input, const char *output)
{
    return (struct build_options){
        .input = input,
        .source = {.format = "auto"},
        .output = output,
        .codec = "q4",
        .search = "greedy",
        .scales = NB_SCALES_FP16,
    };
}

static int build(const struct build_options *options)
{
    err.text[0] = '\0';
    return table_build(options, &report, &err);
}

/* Rows of pseudo-random values as .npy. */
static const char *write_rows(const char *name, size_t n_rows, uint32_t dim)
{
    size_t n = n_rows * dim;
    uint8_t *bytes = malloc(NPY_WRITTEN_BYTES + n * sizeof(float));
    ck_assert_ptr_nonnull(bytes);
    npy_header_write("<f4", n_rows, dim, bytes);
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float value = (float)(state >> 8) * 0x1p-24f - 0.5f;
        memcpy(bytes + NPY_WRITTEN_BYTES + i * sizeof(float), &value,
               sizeof(value));
    }
    const char *path =
        scratch_write(name, bytes, NPY_WRITTEN_BYTES + n * sizeof(float));
    free(bytes);
    return path;
}

/* Changes one value of a file of write_rows(). */
static void set_value(const char *path, size_t at, float value)
{
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(
        fseek(file, (long)(NPY_WRITTEN_BYTES + at * sizeof(float)), SEEK_SET),
        0);
    ck_assert_uint_eq(fwrite(&value, sizeof(value), 1, file), 1);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(glove_sample)
{
    const char *path = scratch_path("glove.nbt");
    struct build_options options = options_of(SAMPLE, path);
    int rv = build(&options);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_str_eq(report.input_format, "glove");
    ck_assert_uint_eq(report.n_rows, 2444);
    ck_assert_uint_eq(report.format.dim, 50);
    ck_assert_uint_eq(report.source_bytes, 1047371);
    ck_assert_uint_ge(report.threads, 1);
    /* What PyTorch's own packing of these rows gives. */
    ck_assert_msg(fabs(report.stats.nl2 - 0.10505) < 1e-6, "nl2 %.7f",
                  report.stats.nl2);
    double share = (double)report.file_bytes / (2444.0 * 50 * 4);
    ck_assert_msg(share > 0.13 && share < 0.17, "%.4f of fp32", share);

    struct table *table;
    rv = table_open(path, TABLE_VERIFY_FULL, &table, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
    const struct table_info *info = table_info(table);
    ck_assert_uint_eq(info->n_rows, 2444);
    ck_assert_uint_eq(info->file_bytes, report.file_bytes);
    ck_assert_str_eq(info->search, "greedy");
    ck_assert_str_eq(info->source, "glove-6B-50d-head.txt");
    ck_assert(info->has_stats);
    ck_assert(info->stats.nl2 == report.stats.nl2);
    ck_assert(info->stats.mse == report.stats.mse);
    ck_assert(info->stats.max_abs == report.stats.max_abs);
    ck_assert_ptr_nonnull(strstr(info->metadata, "\"rows\": 2444"));
    ck_assert_ptr_nonnull(strstr(info->metadata, "\"format\": \"glove\""));
    ck_assert_ptr_nonnull(
        strstr(info->metadata, "\"tool\": \"nibble " NB_VERSION_STRING "\""));
    table_close(table);
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

START_TEST(same_bytes_on_any_number_of_threads)
{
    /* Blocks are of 4,096 rows: six and a half of them. */
    const char *input = write_rows("in.npy", 4096 * 6 + 100, 7);
    struct build_options options = options_of(input, scratch_path("1.nbt"));
    options.search = "asym";
    options.threads = 1;
    ck_assert_int_eq(build(&options), 0);
    size_t n;
    uint8_t *expected = scratch_read(options.output, &n);
    struct table_stats stats = report.stats;
    for (unsigned threads = 2; threads <= 5; threads++) {
        options.output = scratch_path("n.nbt");
        options.threads = threads;
        ck_assert_int_eq(build(&options), 0);
        ck_assert_uint_eq(report.threads, threads);
        ck_assert(report.stats.nl2 == stats.nl2);
        size_t m;
        uint8_t *bytes = scratch_read(options.output, &m);
        ck_assert_uint_eq(m, n);
        ck_assert_mem_eq(bytes, expected, n);
        free(bytes);
    }
    free(expected);
}
END_TEST

/* Row counts around the borders of blocks. */
START_TEST(block_borders)
{
    static const size_t counts[] = {1, 4095, 4096, 4097, 8192};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const char *input = write_rows("in.npy", counts[i], 3);
        struct build_options options =
            options_of(input, scratch_path("out.nbt"));
        ck_assert_int_eq(build(&options), 0);
        ck_assert_uint_eq(report.n_rows, counts[i]);
        struct table *table;
        ck_assert_int_eq(
            table_open(options.output, TABLE_VERIFY_FULL, &table, &err), 0);
        ck_assert_uint_eq(table_info(table)->n_rows, counts[i]);
        table_close(table);
    }
}
END_TEST

static void assert_refused(const struct build_options *options, int rv,
                           const char *words)
{
    int got = build(options);
    ck_assert_msg(got == rv, "%d, not %d: %s", got, rv, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
    ck_assert_int_ne(access(options->output, F_OK), 0);
}

START_TEST(nonfinite_values)
{
    const char *input = write_rows("in.npy", 10000, 8);
    struct build_options options = options_of(input, scratch_path("out.nbt"));
    options.threads = 4;
    set_value(input, 9000 * 8 + 3, NAN);
    set_value(input, 5000 * 8 + 7, INFINITY);
    /* The first one, whatever thread meets it. */
    for (int i = 0; i < 5; i++) {
        assert_refused(&options, NB_ERR_NONFINITE, "row 5000, column 7: inf");
    }
    options.nan_policy = NAN_ZERO;
    ck_assert_int_eq(build(&options), 0);
    ck_assert_uint_eq(report.n_nonfinite, 2);

    /* The same as zeros in their place, but for the count. */
    set_value(input, 9000 * 8 + 3, 0);
    set_value(input, 5000 * 8 + 7, 0);
    struct table *with_nan;
    struct table *with_zero;
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &with_nan, &err), 0);
    ck_assert_ptr_nonnull(
        strstr(table_info(with_nan)->metadata, "\"nonfinite_zeroed\": 2"));
    options.output = scratch_path("zero.nbt");
    ck_assert_int_eq(build(&options), 0);
    ck_assert_uint_eq(report.n_nonfinite, 0);
    ck_assert_int_eq(
        table_open(options.output, TABLE_VERIFY_FULL, &with_zero, &err), 0);
    ck_assert_uint_eq(table_info(with_nan)->rows_checksum,
                      table_info(with_zero)->rows_checksum);
    table_close(with_nan);
    table_close(with_zero);
}
END_TEST

START_TEST(lines_of_text)
{
    const char text[] = "a 1 2\nb 3 nan\n";
    const char *input = scratch_write("in.txt", text, sizeof(text) - 1);
    struct build_options options = options_of(input, scratch_path("out.nbt"));
    assert_refused(&options, NB_ERR_NONFINITE,
                   "row 1 (line 2), column 1: nan is not finite");
    const char wide[] = "2 2\na 1 2\nb 3 70000\n";
    options.input = scratch_write("in.txt", wide, sizeof(wide) - 1);
    assert_refused(&options, NB_ERR_OVERFLOW,
                   "row 1 (line 3), column 1: 70000 is beyond fp16 scales; "
                   "use --scales fp32");
    options.scales = NB_SCALES_FP32;
    ck_assert_int_eq(build(&options), 0);
    ck_assert_uint_eq(report.format.scales, NB_SCALES_FP32);
}
END_TEST

START_TEST(source_errors)
{
    const char ragged[] = "a 1 2\nb 3\n";
    const char *input = scratch_write("in.txt", ragged, sizeof(ragged) - 1);
    struct build_options options = options_of(input, scratch_path("out.nbt"));
    assert_refused(&options, NB_ERR_SOURCE, "line 2 has 1 values");
    options.input = write_rows("empty.npy", 0, 4);
    assert_refused(&options, NB_ERR_SOURCE, "no rows");
    options.input = scratch_path("none");
    assert_refused(&options, -ENOENT, "cannot open");
    ck_assert_uint_eq(scratch_count(), 2); /* no temporary is left */
}
END_TEST

START_TEST(wrong_options)
{
    const char *input = write_rows("in.npy", 10, 4);
    struct build_options options = options_of(input, scratch_path("out.nbt"));
    options.codec = "q5";
    assert_refused(&options, NB_ERR_NOT_FOUND, "no codec called 'q5'");
    options = options_of(input, scratch_path("out.nbt"));
    options.search = "luck";
    assert_refused(&options, NB_ERR_NOT_FOUND, "no search called 'luck'");
    options = options_of(input, scratch_path("out.nbt"));
    options.scales = 7;
    assert_refused(&options, NB_ERR_INVALID, "scale type");
    options = options_of(input, input);
    ck_assert_int_eq(build(&options), NB_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, "is the input"));
    options = options_of(input, scratch_path("no/out.nbt"));
    assert_refused(&options, -ENOENT, "directory");
}
END_TEST

START_TEST(disk_full)
{
    const char *input = write_rows("in.npy", 60000, 8);
    struct build_options options = options_of(input, scratch_path("out.nbt"));
    struct rlimit limit = {.rlim_cur = 200000, .rlim_max = 200000};
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    options.search = "asym";
    assert_refused(&options, -EFBIG, "cannot write");
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

static void note_progress(void *arg, const struct progress *progress)
{
    struct progress *last = arg;
    ck_assert_uint_gt(progress->rows, last->rows);
    ck_assert_uint_ge(progress->bytes, last->bytes);
    *last = *progress;
}

START_TEST(progress_is_told)
{
    struct progress last = {0};
    const char *input = write_rows("in.npy", 10000, 2);
    struct build_options options = options_of(input, scratch_path("out.nbt"));
    options.progress = note_progress;
    options.progress_arg = &last;
    ck_assert_int_eq(build(&options), 0);
    ck_assert_uint_eq(last.rows, 10000);
    ck_assert_uint_eq(last.rows_total, 10000);
    ck_assert_uint_eq(last.bytes, last.bytes_total);
    ck_assert_uint_eq(last.bytes_total, NPY_WRITTEN_BYTES + 80000);
    ck_assert(report.seconds > 0);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static rlim_t address_space_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu", &pages), 1); /* NOLINT(cert-err34-c) */
    ck_assert_int_eq(fclose(file), 0);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* 256 MiB of zeros, of which nothing is on disk, with 128 MiB to live in. */
START_TEST(memory_is_bounded)
{
    const size_t n_rows = (size_t)1 << 20;
    uint8_t header[NPY_WRITTEN_BYTES];
    npy_header_write("<f4", n_rows, 64, header);
    const char *input = scratch_write("big.npy", header, sizeof(header));
    off_t bytes = (off_t)(sizeof(header) + n_rows * 64 * sizeof(float));
    ck_assert_int_eq(truncate(input, bytes), 0);
    rlim_t cap = address_space_bytes() + ((rlim_t)128 << 20);
    struct rlimit limit = {.rlim_cur = cap, .rlim_max = cap};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    struct build_options options = options_of(input, scratch_path("out.nbt"));
    options.search = "asym";
    options.threads = 2;
    int rv = build(&options);
    ck_assert_msg(rv == 0, "%s", err.text);
    ck_assert_uint_eq(report.n_rows, n_rows);
    ck_assert(report.stats.nl2 == 0);
}
END_TEST
#endif

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_builder");
    TCase *tests = tcase_create("build");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, glove_sample);
    tcase_add_test(tests, same_bytes_on_any_number_of_threads);
    tcase_add_test(tests, block_borders);
    tcase_add_test(tests, nonfinite_values);
    tcase_add_test(tests, lines_of_text);
    tcase_add_test(tests, source_errors);
    tcase_add_test(tests, wrong_options);
    tcase_add_test(tests, disk_full);
    tcase_add_test(tests, progress_is_told);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tests, memory_is_bounded);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
