/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* main() of a suite: a test file includes this once and defines
 * `static Suite *make_suite(void)`. Exit status 1 if a test failed. */
#ifndef NB_TESTS_LIB_RUN_SUITE_H
#define NB_TESTS_LIB_RUN_SUITE_H

#include <check.h>
#include <stdlib.h>

static Suite *make_suite(void);

int main(void)
{
    SRunner *runner = srunner_create(make_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
