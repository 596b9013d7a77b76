/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/memory_limit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static char groups[4096];
static char root[4096];

static void write_text(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

static void make_group(const char *name)
{
    ck_assert_int_eq(mkdir(scratch_path(name), 0755), 0);
}

/* Below the root: a, a/b and a/b/c. */
static void setup(void)
{
    scratch_create();
    make_group("root");
    make_group("root/a");
    make_group("root/a/b");
    make_group("root/a/b/c");
    snprintf(root, sizeof(root), "%s", scratch_path("root"));
    snprintf(groups, sizeof(groups), "%s", scratch_path("groups"));
    write_text("groups", "4:memory:/other\n1:name=systemd:/\n0::/a/b/c\n");
}

static uint64_t limit(void)
{
    return memory_limit_of_groups(groups, root);
}

START_TEST(the_least_of_a_group_and_those_above)
{
    ck_assert_uint_eq(limit(), UINT64_MAX);
    write_text("root/a/b/c/memory.max", "max\n");
    write_text("root/a/b/memory.max", "5000000000\n");
    ck_assert_uint_eq(limit(), 5000000000);
    write_text("root/a/memory.high", "4000000000\n");
    ck_assert_uint_eq(limit(), 4000000000);
    write_text("root/memory.max", "3000000000\n");
    ck_assert_uint_eq(limit(), 3000000000);
    write_text("root/a/b/c/memory.max", "2000000000\n");
    ck_assert_uint_eq(limit(), 2000000000);
    /* What stands above the root is none of its groups. */
    write_text("memory.max", "7\n");
    ck_assert_uint_eq(limit(), 2000000000);
}
END_TEST

START_TEST(in_a_container)
{
    /* Its own group is the root, or called by a name it cannot see. */
    static const char *const lines[] = {"0::/\n", "0::/\n0", "0::/no/such"};
    write_text("root/memory.max", "1000\n");
    write_text("root/a/b/c/memory.max", "1\n");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        write_text("groups", lines[i]);
        ck_assert_uint_eq(limit(), 1000);
    }
}
END_TEST

START_TEST(what_cannot_be_read)
{
    static const char *const lines[] = {"", "0:", "4:memory:/a\n", "\n\n"};
    static char longest[3 * 4096];
    write_text("root/a/memory.max", "1000\n");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        write_text("groups", lines[i]);
        ck_assert_uint_eq(limit(), UINT64_MAX);
    }
    snprintf(longest, sizeof(longest), "0::/%08000d", 0);
    write_text("groups", longest);
    ck_assert_uint_eq(limit(), UINT64_MAX);
    write_text("groups", "0::/a\n");
    ck_assert_uint_eq(limit(), 1000);
    write_text("root/a/memory.max", "");
    ck_assert_uint_eq(limit(), UINT64_MAX);
    write_text("root/a/memory.max", "nothing\n");
    ck_assert_uint_eq(limit(), UINT64_MAX);
    ck_assert_uint_eq(memory_limit_of_groups(root, root), UINT64_MAX);
    ck_assert_uint_eq(memory_limit_of_groups("/no/such", root), UINT64_MAX);
}
END_TEST

/* Where the groups allow more, or nothing is known of them, the machine's; or
 * less, where groups of v1 allow less. */
START_TEST(the_least_of_groups_and_machine)
{
    uint64_t machine = memory_limit("/no/such", root);
    ck_assert_uint_gt(machine, 0);
    ck_assert_uint_le(machine, uv_get_total_memory());
    write_text("root/a/memory.max", "18446744073709551614\n");
    ck_assert_uint_eq(memory_limit(groups, root), machine);
    write_text("root/a/memory.max", "1000\n");
    ck_assert_uint_eq(memory_limit(groups, root), 1000);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("memory_limit");
    TCase *tcase = tcase_create("memory_limit");
    tcase_add_checked_fixture(tcase, setup, scratch_remove);
    tcase_add_test(tcase, the_least_of_a_group_and_those_above);
    tcase_add_test(tcase, in_a_container);
    tcase_add_test(tcase, what_cannot_be_read);
    tcase_add_test(tcase, the_least_of_groups_and_machine);
    suite_add_tcase(suite, tcase);
    return suite;
}
