/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <check.h>
#include <string.h>

#include "server/settings/residency_rules.h"
#include "tests/lib/run_suite.h"

static struct nb_errctx err;

#define RULES(...)                                                             \
    (&(struct option_list){.items = (char *[]){__VA_ARGS__},                   \
                           .n = sizeof((char *[]){__VA_ARGS__}) /              \
                                sizeof(char *)})

START_TEST(the_closest_rule_counts)
{
    const struct option_list *rules =
        RULES("m/t=huge", "populate", "t=lock", "map=map");
    ck_assert_int_eq(residency_rules_check(rules, &err), 0);
    ck_assert_int_eq(residency_rules_find(rules, "m", "t"), RESIDENCY_HUGE);
    ck_assert_int_eq(residency_rules_find(rules, "n", "t"), RESIDENCY_LOCK);
    ck_assert_int_eq(residency_rules_find(rules, "m", "u"), RESIDENCY_POPULATE);
    ck_assert_int_eq(residency_rules_find(rules, "m", "tt"),
                     RESIDENCY_POPULATE);
    ck_assert_int_eq(residency_rules_find(rules, "mm", "t"), RESIDENCY_LOCK);
    ck_assert_int_eq(residency_rules_find(rules, "m", "map"), RESIDENCY_MAP);
    rules = RULES("t=huge");
    ck_assert_int_eq(residency_rules_find(rules, "m", "u"), RESIDENCY_MAP);
}
END_TEST

static void refused(const struct option_list *rules, const char *words)
{
    err.text[0] = '\0';
    ck_assert_int_eq(residency_rules_check(rules, &err), NB_ERR_INVALID);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text,
                  words);
}

START_TEST(bad_rules)
{
    refused(RULES("hug"), "'hug' is not HOW");
    refused(RULES(""), "'' is not HOW");
    refused(RULES("t=hug"), "'t=hug' is not");
    refused(RULES("=map"), "'=map' is not");
    refused(RULES("/t=map"), "'/t=map' is not");
    refused(RULES("m/=map"), "'m/=map' is not");
    refused(RULES("m/t/u=map"), "'m/t/u=map' is not");
    refused(RULES("t=map=map"), "is not");
    refused(RULES("t=map", "huge", "t=lock"),
            "'t=map' and 't=lock' are about the same");
    refused(RULES("map", "huge"), "'map' and 'huge' are about the same");
    char long_name[140];
    memset(long_name, 'a', 129);
    memcpy(long_name + 129, "=map", 5);
    refused(RULES(long_name), "is not");
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("residency_rules");
    TCase *tcase = tcase_create("rules");
    tcase_add_test(tcase, the_closest_rule_counts);
    tcase_add_test(tcase, bad_rules);
    suite_add_tcase(suite, tcase);
    return suite;
}
