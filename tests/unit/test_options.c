/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/options.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/run_suite.h"

static const char *env_name;
static const char *env_value;

static const char *environment(const char *name)
{
    return env_name != NULL && strcmp(name, env_name) == 0 ? env_value : NULL;
}

static struct nb_errctx err;

/* Parses `words`, blank between them, behind the program's name. */
static int parse(const char *words, struct options *options,
                 enum options_action *action)
{
    static char text[256];
    char *argv[32] = {"nibbled"};
    int argc = 1;
    char *rest;
    snprintf(text, sizeof(text), "%s", words);
    for (char *word = strtok_r(text, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    err.text[0] = '\0';
    return options_parse(options, argc, argv, environment, action, &err);
}

START_TEST(defaults)
{
    struct options options;
    enum options_action action;
    env_name = NULL;
    ck_assert_int_eq(parse("--table a=x", &options, &action), 0);
    ck_assert_int_eq(action, OPTIONS_RUN);
    ck_assert_uint_eq(options.tables.n, 1);
    ck_assert_uint_eq(options.listen.n, 1);
    ck_assert_str_eq(options.listen.items[0], "127.0.0.1:7700");
    ck_assert_uint_eq(options.loops, 0);
    ck_assert_str_eq(options.address_file, "");
    ck_assert_uint_eq(options.max_frame_bytes, 16u << 20);
    ck_assert_uint_eq(options.drain_timeout_ms, 30000);
    options_fini(&options);
}
END_TEST

START_TEST(flags_in_both_forms)
{
    struct options options;
    enum options_action action;
    env_name = NULL;
    ck_assert_int_eq(parse("--table=a=x --table b=y=z --loops=3 "
                           "--listen unix:/s --listen=[::1]:0 "
                           "--max-frame-bytes 64KiB --idle-timeout 1.25 "
                           "--header-timeout 0.007 --address-file f --loops 4",
                           &options, &action),
                     0);
    ck_assert_uint_eq(options.tables.n, 2);
    ck_assert_str_eq(options.tables.items[1], "b=y=z");
    ck_assert_uint_eq(options.listen.n, 2);
    ck_assert_str_eq(options.listen.items[0], "unix:/s");
    ck_assert_uint_eq(options.loops, 4);
    ck_assert_uint_eq(options.max_frame_bytes, 65536);
    ck_assert_uint_eq(options.idle_timeout_ms, 1250);
    ck_assert_uint_eq(options.header_timeout_ms, 7);
    ck_assert_str_eq(options.address_file, "f");
    options_fini(&options);
}
END_TEST

START_TEST(a_repository_instead_of_tables)
{
    struct options options;
    enum options_action action;
    env_name = NULL;
    ck_assert_int_eq(parse("--repo r", &options, &action), 0);
    ck_assert_str_eq(options.repo, "r");
    ck_assert_uint_eq(options.models.n, 0);
    ck_assert_int_eq(options_verify(&options), TABLE_VERIFY_FULL);
    options_fini(&options);
    ck_assert_int_eq(parse("--repo r --model m --model=n --verify header",
                           &options, &action),
                     0);
    ck_assert_uint_eq(options.models.n, 2);
    ck_assert_str_eq(options.models.items[1], "n");
    ck_assert_int_eq(options_verify(&options), TABLE_VERIFY_HEADER);
    options_fini(&options);
}
END_TEST

START_TEST(environment_below_flags)
{
    struct options options;
    enum options_action action;
    env_name = "NIBBLED_TABLE";
    env_value = "a=x,b=y,";
    ck_assert_int_eq(parse("", &options, &action), 0);
    ck_assert_uint_eq(options.tables.n, 2);
    ck_assert_str_eq(options.tables.items[1], "b=y");
    options_fini(&options);
    ck_assert_int_eq(parse("--table c=z", &options, &action), 0);
    ck_assert_uint_eq(options.tables.n, 1);
    ck_assert_str_eq(options.tables.items[0], "c=z");
    options_fini(&options);
    env_name = "NIBBLED_WRITE_HIGH";
    env_value = "2 GiB";
    ck_assert_int_eq(parse("--table a=x", &options, &action), NB_ERR_INVALID);
    env_value = "1 GiB";
    ck_assert_int_eq(parse("--table a=x", &options, &action), 0);
    ck_assert_uint_eq(options.write_high_bytes, 1u << 30);
    options_fini(&options);
}
END_TEST

START_TEST(help_and_version_win)
{
    struct options options;
    enum options_action action;
    ck_assert_int_eq(parse("--nonsense --help", &options, &action), 0);
    ck_assert_int_eq(action, OPTIONS_HELP);
    ck_assert_int_eq(parse("--table --version", &options, &action), 0);
    ck_assert_int_eq(action, OPTIONS_VERSION);
}
END_TEST

static const struct {
    const char *words;
    const char *text;
} wrong[] = {
    {"", "--repo DIR or --table NAME=FILE is missing; see nibbled --help"},
    {"--repo=", "--repo DIR or --table NAME=FILE is missing; see nibbled "
                "--help"},
    {"--repo r --table a=x", "--repo and --table do not go together"},
    {"--table a=x --model m", "--model: there is no --repo"},
    {"--repo r --model m --model n --model m", "--model: 'm' is given twice"},
    {"--repo r --model ../m",
     "--model: '../m' is not a name of 1 to 128 letters, digits, '_', '.', "
     "'-'"},
    {"--repo r --verify none", "--verify: 'none' is neither full nor header"},
    {"-x", "'-x' is not an option; see nibbled --help"},
    {"--", "no option '--'; see nibbled --help"},
    {"--loopsy 1", "no option '--loopsy'; see nibbled --help"},
    {"--loops", "--loops: N is missing"},
    {"--loops=", "--loops: '' is not an integer"},
    {"--loops -1", "--loops: '-1' is not an integer"},
    {"--loops 1x", "--loops: '1x' is not an integer"},
    {"--loops 1025", "--loops: 1025 is not within 0 to 1024"},
    {"--loops 18446744073709551616",
     "--loops: '18446744073709551616' is not an integer"},
    {"--max-frame-bytes 17179869184GiB",
     "--max-frame-bytes: '17179869184GiB' is not bytes, such as 65536 or 64 "
     "KiB"},
    {"--max-frame-bytes 1KB",
     "--max-frame-bytes: '1KB' is not bytes, such as 65536 or 64 KiB"},
    {"--idle-timeout 1.2345",
     "--idle-timeout: '1.2345' is not seconds, such as 30 or 0.5"},
    {"--idle-timeout .5",
     "--idle-timeout: '.5' is not seconds, such as 30 or 0.5"},
    {"--idle-timeout 18446744073709551",
     "--idle-timeout: 18446744073709551 is not within 0.000 to 604800.000"},
    {"--table a=x --listen=",
     "address '': not HOST:PORT, [IPV6]:PORT or unix:PATH"},
    {"--table =x", "--table: '=x' is not NAME=FILE, with a NAME of 1 to 128 "
                   "letters, digits, '_', '.', '-'"},
    {"--table a=", "--table: 'a=' is not NAME=FILE, with a NAME of 1 to 128 "
                   "letters, digits, '_', '.', '-'"},
    {"--table a/b=x", "--table: 'a/b=x' is not NAME=FILE, with a NAME of 1 to "
                      "128 letters, digits, '_', '.', '-'"},
    {"--table a=x --table b=x --table a=y", "--table: 'a' is given twice"},
    {"--table a=x --write-high 5 --write-low 6",
     "--write-low: 6 bytes is over --write-high, 5"},
};

START_TEST(wrong_usage)
{
    struct options options;
    enum options_action action;
    env_name = NULL;
    ck_assert_int_eq(parse(wrong[_i].words, &options, &action), NB_ERR_INVALID);
    ck_assert_str_eq(err.text, wrong[_i].text);
}
END_TEST

START_TEST(description_names_every_value)
{
    struct options options;
    enum options_action action;
    env_name = NULL;
    char text[2048];
    ck_assert_int_eq(
        parse("--table a=x --address-file a\"b", &options, &action), 0);
    options_describe(&options, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, " max-ids=1048576"));
    ck_assert_ptr_nonnull(strstr(text, " header-timeout=10.000"));
    ck_assert_ptr_nonnull(strstr(text, " address-file=\"a\\\"b\""));
    ck_assert_ptr_null(strstr(text, "table="));
    for (size_t bytes = 1; bytes < 200; bytes++) {
        char *cut = malloc(bytes);
        options_describe(&options, cut, bytes);
        ck_assert_uint_eq(strlen(cut), bytes - 1);
        free(cut);
    }
    options_fini(&options);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("options");
    tcase_add_test(tcase, defaults);
    tcase_add_test(tcase, flags_in_both_forms);
    tcase_add_test(tcase, a_repository_instead_of_tables);
    tcase_add_test(tcase, environment_below_flags);
    tcase_add_test(tcase, help_and_version_win);
    tcase_add_loop_test(tcase, wrong_usage, 0,
                        sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(tcase, description_names_every_value);
    suite_add_tcase(suite, tcase);
    return suite;
}
