/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Each test runs in a process of its own, so that each has its first call. */

#include <stdlib.h>
#include <string.h>

#include "quant/cpu.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"

#include "tests/lib/run_suite.h"

static void disable(const char *list)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no threads here */
    ck_assert_int_eq(setenv("NB_ISA_DISABLE", list, 1), 0);
}

START_TEST(scalar_is_always_there)
{
    disable("avx512,avx2,neon");
    ck_assert_uint_eq(cpu_isas(), ISA_SCALAR);
    ck_assert_str_eq(nb_isa(), "scalar");
    ck_assert_str_eq(kernel_find(KERNEL_sum, 1)->name, "nb_q4_sum_scalar");
}
END_TEST

START_TEST(sets_are_only_removed)
{
    disable("avx512");
    uint32_t isas = cpu_isas();
    ck_assert_uint_eq(isas & ISA_AVX512, 0);
    ck_assert_uint_ne(isas & ISA_SCALAR, 0);
    ck_assert_ptr_ne(cpu_isa_name(ISA_SCALAR), NULL);
    ck_assert_str_ne(nb_isa(), "avx512");
}
END_TEST

START_TEST(first_call_decides)
{
    disable("");
    uint32_t isas = cpu_isas();
    disable("avx512,avx2,neon");
    ck_assert_uint_eq(cpu_isas(), isas);
}
END_TEST

START_TEST(best_kernel_is_chosen)
{
    disable("");
    const struct kernel *row;
    for (size_t i = 0; (row = kernel_at(i)) != NULL; i++) {
        const struct kernel *kernel = kernel_find(row->op, row->codec);
        ck_assert_ptr_ne(kernel, NULL);
        ck_assert_str_eq(cpu_isa_name(kernel->isa), nb_isa());
        ck_assert_ptr_eq(kernel_find(row->op, row->codec), kernel);
        ck_assert_ptr_eq(kernel_find(row->op, 200), NULL);
    }
}
END_TEST

START_TEST(known_words_pass)
{
    static const char *const lists[] = {"", "avx2", "avx512,avx2", "neon,",
                                        ",avx2"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        disable(lists[i]);
        ck_assert_int_eq(nb_isa_check(NULL), 0);
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no threads here */
    ck_assert_int_eq(unsetenv("NB_ISA_DISABLE"), 0);
    ck_assert_int_eq(nb_isa_check(NULL), 0);
}
END_TEST

START_TEST(unknown_words_are_named)
{
    static const char *const lists[] = {"sse9", "avx2,sse9", "avx2,sse9,avx1"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct nb_errctx err = {""};
        disable(lists[i]);
        ck_assert_int_eq(nb_isa_check(&err), NB_ERR_INVALID);
        ck_assert_ptr_ne(strstr(err.text, "'sse9'"), NULL);
    }
    disable("avx");
    ck_assert_int_eq(nb_isa_check(NULL), NB_ERR_INVALID);
    disable("scalar"); /* nothing would be left */
    ck_assert_int_eq(nb_isa_check(NULL), NB_ERR_INVALID);
    disable("avx2 ");
    ck_assert_int_eq(nb_isa_check(NULL), NB_ERR_INVALID);
}
END_TEST

START_TEST(version_is_that_of_the_build)
{
    ck_assert_str_eq(nb_version(), NB_VERSION_STRING);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cpu");
    TCase *tcase = tcase_create("instruction sets");

    tcase_add_test(tcase, scalar_is_always_there);
    tcase_add_test(tcase, sets_are_only_removed);
    tcase_add_test(tcase, first_call_decides);
    tcase_add_test(tcase, best_kernel_is_chosen);
    tcase_add_test(tcase, known_words_pass);
    tcase_add_test(tcase, unknown_words_are_named);
    tcase_add_test(tcase, version_is_that_of_the_build);
    suite_add_tcase(suite, tcase);
    return suite;
}
