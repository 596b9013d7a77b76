/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

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
     "--idle-timeout: '1.2345' is not seconds, such as 30 or 0.5, no finer "
     "than 0.001"},
    {"--idle-timeout .5",
     "--idle-timeout: '.5' is not seconds, such as 30 or 0.5, no finer than "
     "0.001"},
    {"--idle-timeout 18446744073709551",
     "--idle-timeout: 18446744073709551 is not within 0.000 to 604800.000"},
    {"--table a=x --listen=",
     "address '': not HOST:PORT, [IPV6]:PORT, unix:PATH or systemd"},
    {"--table =x", "--table: '=x' is not NAME=FILE, with a NAME of 1 to 128 "
                   "letters, digits, '_', '.', '-'"},
    {"--table a=", "--table: 'a=' is not NAME=FILE, with a NAME of 1 to 128 "
                   "letters, digits, '_', '.', '-'"},
    {"--table a/b=x", "--table: 'a/b=x' is not NAME=FILE, with a NAME of 1 to "
                      "128 letters, digits, '_', '.', '-'"},
    {"--table a=x --table b=x --table a=y", "--table: 'a' is given twice"},
    {"--table a=x --admin unix:/s",
     "--admin: 'unix:/s' is not HOST:PORT or [IPV6]:PORT"},
    {"--table a=x --admin systemd",
     "--admin: 'systemd' is not HOST:PORT or [IPV6]:PORT"},
    {"--table a=x --admin 127.0.0.1",
     "--admin: '127.0.0.1' is not HOST:PORT or [IPV6]:PORT"},
    {"--table a=x --admin h:65536",
     "--admin: address 'h:65536': the port is not 0 to 65535"},
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

START_TEST(variables_of_no_option)
{
    static const struct {
        const char *entry;
        size_t bytes;
    } entries[] = {
        {"NIBBLED_MAX_IDS=1", 0},
        {"NIBBLED_CONFIG=", 0},
        {"NIBBLED_MAX_ID=1", 14},
        {"NIBBLED_MAX_IDSS=1", 16},
        {"NIBBLED_max_ids=1", 15},
        {"NIBBLED_=1", 8},
        {"NIBBLED_X", 9},
        {"NIBBLED=1", 0},
        {"NIBBLE_MAX_ID=1", 0},
        {"XNIBBLED_MAX_ID=1", 0},
        {"NIBBLED_SERVICE_HOST=10.0.0.1", 0},
        {"NIBBLED_SERVICE_PORT_RPC=7700", 0},
        {"NIBBLED_PORT=tcp://10.0.0.1:7700", 0},
        {"NIBBLED_PORT_7700_TCP_ADDR=10.0.0.1", 0},
        {"NIBBLED_PORTS=1", 13},
    };
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        ck_assert_uint_eq(options_unknown_variable(entries[i].entry),
                          entries[i].bytes);
    }
}
END_TEST

START_TEST(description_names_what_is_not_as_by_default)
{
    struct options options;
    enum options_action action;
    env_name = NULL;
    char text[2048];
    ck_assert_int_eq(parse("--table a=x --max-memory 1GiB", &options, &action),
                     0);
    options_describe(&options, text, sizeof(text));
    ck_assert_str_eq(text, ""); /* the default in other words */
    options_fini(&options);
    ck_assert_int_eq(parse("--table a=x --address-file a\"b --listen 0.0.0.0:1 "
                           "--listen unix:/b --header-timeout 9 --max-ids 7",
                           &options, &action),
                     0);
    options_describe(&options, text, sizeof(text));
    ck_assert_str_eq(text, " listen=0.0.0.0:1,unix:/b address-file=\"a\\\"b\""
                           " max-ids=7 header-timeout=9.000");
    for (size_t bytes = 1; bytes < 100; bytes++) {
        char *cut = malloc(bytes);
        options_describe(&options, cut, bytes);
        ck_assert_uint_lt(strlen(cut), bytes);
        free(cut);
    }
    char some[50];
    options_describe(&options, some, sizeof(some));
    ck_assert_str_eq(some, " listen=0.0.0.0:1,unix:/b max-ids=7 left-out=2");
    options_fini(&options);
}
END_TEST

static void write_config(const char *text)
{
    ck_assert_str_eq(scratch_write("nibbled.conf", text, strlen(text)),
                     scratch_path("nibbled.conf"));
}

/* Parses --config FILE and then `words`. */
static int parse_with_file(const char *words, struct options *options)
{
    char line[256];
    enum options_action action;
    snprintf(line, sizeof(line), "--config %s %s", scratch_path("nibbled.conf"),
             words);
    return parse(line, options, &action);
}

START_TEST(a_file_comes_before_environment_and_flags)
{
    struct options options;
    env_name = "NIBBLED_MAX_IDS";
    env_value = "22";
    write_config("# of a test\n"
                 "\n"
                 "  table\t=  a=x y#z \r\n"
                 "table = b=w\n"
                 "max-ids = 11\n"
                 "max-bags = 11\n"
                 "loops = 3\n"
                 "loops = 4\n"
                 "admin =\n"
                 "write-low = 1 KiB\n");
    ck_assert_int_eq(parse_with_file("--max-bags 33", &options), 0);
    ck_assert_uint_eq(options.tables.n, 2);
    ck_assert_str_eq(options.tables.items[0], "a=x y#z");
    ck_assert_str_eq(options.tables.items[1], "b=w");
    ck_assert_uint_eq(options.max_ids, 22);
    ck_assert_uint_eq(options.max_bags, 33);
    ck_assert_uint_eq(options.loops, 4);
    ck_assert_uint_eq(options.write_low_bytes, 1024);
    options_fini(&options);
    ck_assert_int_eq(parse_with_file("--table c=v", &options), 0);
    ck_assert_uint_eq(options.tables.n, 1); /* replaced */
    options_fini(&options);
}
END_TEST

static const struct {
    const char *file;
    const char *text; /* behind the path */
} wrong_files[] = {
    {"loops\n", ":1: 'loops' is not KEY = VALUE"},
    {"\nloopsy = 3\n", ":2: no option 'loopsy'"},
    {"config = other\n", ":1: no option 'config'"},
    {"= 3\n", ":1: no option ''"},
    {"--loops = 3\n", ":1: no option '--loops'"},
    {"loops = x\n", ":1: loops: 'x' is not an integer"},
    {"max-ids = 1\nmax-ids = 0\n", ":2: max-ids: 0 is not within 1 to "
                                   "134217728"},
    {"loops = \x01\n", ":1: byte 9, 0x01, is not text"},
    {"loops = 3\nloops = 4", ":2: the last line has no end: is the file "
                             "whole?"},
};

START_TEST(wrong_files_are_named_by_line)
{
    struct options options;
    env_name = NULL;
    write_config(wrong_files[_i].file);
    ck_assert_int_eq(parse_with_file("--table a=x", &options), NB_ERR_INVALID);
    const char *path = scratch_path("nibbled.conf");
    ck_assert_int_eq(strncmp(err.text, path, strlen(path)), 0);
    ck_assert_str_eq(err.text + strlen(path), wrong_files[_i].text);
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
    struct options options;
    enum options_action action;
    char words[256];
    env_name = NULL;
    ck_assert_int_eq(
        parse("--config /nonexistent/c --table a=x", &options, &action),
        -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/c"));
    snprintf(words, sizeof(words), "--config %s", scratch_path("."));
    ck_assert_int_eq(parse(words, &options, &action), -EISDIR);
    ck_assert_int_eq(parse("--config /dev/zero", &options, &action),
                     NB_ERR_UNSUPPORTED);
}
END_TEST

START_TEST(what_is_printed_is_read_again)
{
    struct options options;
    struct options again;
    char text[4096];
    char other[4096];
    env_name = NULL;
    enum options_action action;
    ck_assert_int_eq(parse("--check-config --table a=x --table b=y --loops 7 "
                           "--idle-timeout 0.25 --max-memory 3MiB",
                           &options, &action),
                     0);
    ck_assert_int_eq(action, OPTIONS_CHECK);
    FILE *file = fopen(scratch_path("nibbled.conf"), "w");
    ck_assert_ptr_nonnull(file);
    options_print_config(&options, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(parse_with_file("", &again), 0);
    ck_assert_uint_eq(again.tables.n, 2);
    options_describe(&options, text, sizeof(text));
    again.config[0] = '\0';
    options_describe(&again, other, sizeof(other));
    ck_assert_str_eq(text, other);
    options_fini(&options);
    options_fini(&again);
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
    tcase_add_test(tcase, variables_of_no_option);
    tcase_add_test(tcase, description_names_what_is_not_as_by_default);
    suite_add_tcase(suite, tcase);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, scratch_create, scratch_remove);
    tcase_add_test(files, a_file_comes_before_environment_and_flags);
    tcase_add_loop_test(files, wrong_files_are_named_by_line, 0,
                        sizeof(wrong_files) / sizeof(wrong_files[0]));
    tcase_add_test(files, files_that_cannot_be_read);
    tcase_add_test(files, what_is_printed_is_read_again);
    suite_add_tcase(suite, files);
    return suite;
}
