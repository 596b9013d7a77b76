/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <math.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/source_checks.h"

static const float SIX[6] = {1, -2, 0.5f, 4, 1e-30f, INFINITY};

START_TEST(rows)
{
    const char *path = scratch_write("t.bin", SIX, sizeof(SIX));
    for (uint32_t dim = 1; dim <= 6; dim++) {
        if (6 % dim == 0) {
            const struct source_options options = {.format = "raw", .dim = dim};
            source_check_rows(path, &options, "raw", SIX, 6 / dim, dim);
        }
    }
}
END_TEST

START_TEST(refused)
{
    struct source_options options = {.format = "raw"};
    const char *path = scratch_write("t.bin", SIX, sizeof(SIX));
    source_check_refused(path, &options, NB_ERR_INVALID, "dim must be given");
    options.dim = 4;
    source_check_refused(path, &options, NB_ERR_SOURCE,
                         "24 bytes are not whole rows of 4");
    options.dim = 65537;
    source_check_refused(path, &options, NB_ERR_INVALID, "dim 65537");
    options.dim = 2;
    source_check_refused(scratch_write("t.bin", SIX, sizeof(SIX) - 1), &options,
                         NB_ERR_SOURCE, "23 bytes");
    /* Nothing but a name tells that bytes are fp32. */
    options.format = "auto";
    source_check_refused(scratch_write("t.bin", SIX, sizeof(SIX)), &options,
                         NB_ERR_SOURCE, "format not recognized");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("source_raw");
    TCase *tests = tcase_create("raw");
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_test(tests, rows);
    tcase_add_test(tests, refused);
    suite_add_tcase(suite, tests);
    return suite;
}
