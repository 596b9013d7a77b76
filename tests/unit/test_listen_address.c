/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/listen_address.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/run_suite.h"

START_TEST(addresses_over_tcp)
{
    static const struct {
        const char *text;
        const char *host;
        const char *port;
    } good[] = {
        {"127.0.0.1:7700", "127.0.0.1", "7700"},
        {"localhost:0", "localhost", "0"},
        {"[::1]:65535", "::1", "65535"},
        {"[::]:00080", "::", "80"},
        {":7700", "", "7700"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct listen_address address;
        ck_assert_int_eq(listen_address_parse(good[i].text, &address, NULL), 0);
        ck_assert(!address.is_unix);
        ck_assert_str_eq(address.host, good[i].host);
        ck_assert_str_eq(address.port, good[i].port);
    }
}
END_TEST

START_TEST(unix_paths)
{
    struct listen_address address;
    struct nb_errctx err;
    char text[5 + sizeof(address.path) + 1] = "unix:";
    memset(text + 5, 'x', sizeof(address.path));
    text[5 + sizeof(address.path)] = '\0';
    ck_assert_int_eq(listen_address_parse(text, &address, &err),
                     NB_ERR_INVALID);
    text[5 + sizeof(address.path) - 1] = '\0';
    ck_assert_int_eq(listen_address_parse(text, &address, &err), 0);
    ck_assert(address.is_unix);
    ck_assert_str_eq(address.path, text + 5);
}
END_TEST

static const char *const wrong[] = {
    "",         "7700",    "host",
    "host:",    "host:x",  "host:-1",
    "host:1 ",  "h:65536", "h:999999999999999999999",
    "::1:7700", "a:b:1",   "unix:",
    "[::1]",    "[::1",
};

START_TEST(wrong_addresses)
{
    struct listen_address address;
    struct nb_errctx err = {""};
    char quoted[64];
    ck_assert_int_eq(listen_address_parse(wrong[_i], &address, &err),
                     NB_ERR_INVALID);
    snprintf(quoted, sizeof(quoted), "address '%s': ", wrong[_i]);
    ck_assert_int_eq(strncmp(err.text, quoted, strlen(quoted)), 0);
}
END_TEST

START_TEST(hosts_that_are_too_long)
{
    char text[300];
    struct listen_address address;
    memset(text, 'h', sizeof(text));
    memcpy(text + 256, ":1", 3);
    ck_assert_int_eq(listen_address_parse(text, &address, NULL),
                     NB_ERR_INVALID);
    memcpy(text + 255, ":1", 3);
    ck_assert_int_eq(listen_address_parse(text, &address, NULL), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("listen_address");
    TCase *tcase = tcase_create("listen_address");
    tcase_add_test(tcase, addresses_over_tcp);
    tcase_add_test(tcase, unix_paths);
    tcase_add_loop_test(tcase, wrong_addresses, 0,
                        sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(tcase, hosts_that_are_too_long);
    suite_add_tcase(suite, tcase);
    return suite;
}
