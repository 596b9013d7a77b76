/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/run_suite.h"

static struct nb_errctx err;
static struct manifest manifest;

static int parse(const char *text)
{
    err.text[0] = '\0';
    return manifest_parse(text, strlen(text), "M", &manifest, &err);
}

#define SUM "\"checksum\":\"0123456789abcdef\""
#define REST                                                                   \
    "\"file\":\"a.nbt\",\"codec\":\"q4\",\"bytes\":5,\"rows\":6,\"dim\":"      \
    "7," SUM
#define ONE(members) "{\"format\":1,\"tables\":[{" members "}]}"

START_TEST(fields_are_taken)
{
    ck_assert_int_eq(parse("{\"later\": [1], \"format\": 1, \"tables\": ["
                           "{\"name\":\"a\"," REST ", \"later\": null},"
                           "{\"name\":\"a-2\"," REST "}]}"),
                     0);
    ck_assert_uint_eq(manifest.n, 2);
    const struct manifest_table *table = &manifest.tables[0];
    ck_assert_str_eq(table->name, "a");
    ck_assert_str_eq(table->file, "a.nbt");
    ck_assert_str_eq(table->codec, "q4");
    ck_assert_uint_eq(table->bytes, 5);
    ck_assert_uint_eq(table->rows, 6);
    ck_assert_uint_eq(table->dim, 7);
    ck_assert_uint_eq(table->checksum, 0x0123456789abcdefu);
    ck_assert_str_eq(manifest.tables[1].name, "a-2");
    manifest_fini(&manifest);
    ck_assert_uint_eq(manifest.n, 0);
}
END_TEST

#define NAMED(name) ONE("\"name\":" name "," REST)
#define FILED(file)                                                            \
    ONE("\"name\":\"a\",\"file\":" file                                        \
        ",\"codec\":\"q4\",\"bytes\":5,\"rows\":6,\"dim\":7," SUM)
#define COUNTED(counts)                                                        \
    ONE("\"name\":\"a\",\"file\":\"a\",\"codec\":\"q4\"," counts "," SUM)
#define SUMMED(sum)                                                            \
    ONE("\"name\":\"a\",\"file\":\"a\",\"codec\":\"q4\",\"bytes\":5,"          \
        "\"rows\":6,\"dim\":7,\"checksum\":" sum)
#define NOT_NAME  "not a name of letters, digits, '_', '.', '-'"
#define NOT_FILE  "not the name of a file in this directory"
#define NOT_HEX   "M: tables[0].checksum: not 16 lower-case hex digits"
#define X32       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define NO_TABLES "M: tables: missing, empty or not an array"

static const struct {
    const char *text;
    int rv;
    const char *message; /* how it begins */
} bad[] = {
    {"", NB_ERR_FORMAT, "M: offset 0: "},
    {"{", NB_ERR_FORMAT, "M: offset 1: "},
    {"{\"format\":1,\"format\":1}", NB_ERR_FORMAT, "M: offset"},
    {"{} {}", NB_ERR_FORMAT, "M: offset"},
    {"{\"\n\x1b[31m\":1}", NB_ERR_FORMAT, "M: offset"},
    {"[]", NB_ERR_FORMAT, "M: format: missing"},
    {"{}", NB_ERR_FORMAT, "M: format: missing"},
    {"{\"format\":0}", NB_ERR_FORMAT, "M: format: missing"},
    {"{\"format\":\"1\"}", NB_ERR_FORMAT, "M: format: missing"},
    {"{\"format\":2}", NB_ERR_VERSION, "M: format: 2, this program reads up"},
    {"{\"format\":1}", NB_ERR_FORMAT, NO_TABLES},
    {"{\"format\":1,\"tables\":[]}", NB_ERR_FORMAT, NO_TABLES},
    {"{\"format\":1,\"tables\":{}}", NB_ERR_FORMAT, NO_TABLES},
    {"{\"format\":1,\"tables\":[1]}", NB_ERR_FORMAT,
     "M: tables[0]: not an object"},
    {ONE(REST), NB_ERR_FORMAT, "M: tables[0].name: missing, or not a string"},
    {NAMED("1"), NB_ERR_FORMAT, "M: tables[0].name: missing, or not a string"},
    {NAMED("\"\""), NB_ERR_FORMAT, "M: tables[0].name: " NOT_NAME},
    {NAMED("\"..\""), NB_ERR_FORMAT, "M: tables[0].name: " NOT_NAME},
    {NAMED("\".a\""), NB_ERR_FORMAT, "M: tables[0].name: " NOT_NAME},
    {NAMED("\"a/b\""), NB_ERR_FORMAT, "M: tables[0].name: " NOT_NAME},
    {NAMED("\"a b\""), NB_ERR_FORMAT, "M: tables[0].name: " NOT_NAME},
    {NAMED("\"\\u00e9\""), NB_ERR_FORMAT, "M: tables[0].name: " NOT_NAME},
    {NAMED("\"a\\u0000\""), NB_ERR_FORMAT, "M: offset"},
    {NAMED("\"" X32 X32 X32 X32 "x\""), NB_ERR_FORMAT,
     "M: tables[0].name: " NOT_NAME},
    {FILED("\"../a.nbt\""), NB_ERR_FORMAT, "M: tables[0].file: " NOT_FILE},
    {FILED("\"/etc/passwd\""), NB_ERR_FORMAT, "M: tables[0].file: " NOT_FILE},
    {FILED("\".hidden\""), NB_ERR_FORMAT, "M: tables[0].file: " NOT_FILE},
    {FILED("\"..\""), NB_ERR_FORMAT, "M: tables[0].file: " NOT_FILE},
    {FILED("[\"a\"]"), NB_ERR_FORMAT, "M: tables[0].file: missing"},
    {ONE("\"name\":\"a\",\"file\":\"a\",\"codec\":\"q 4\"," SUM), NB_ERR_FORMAT,
     "M: tables[0].codec: not a codec's name"},
    {COUNTED("\"rows\":6,\"dim\":7"), NB_ERR_FORMAT,
     "M: tables[0].bytes: missing, or not an integer"},
    {COUNTED("\"bytes\":-1,\"rows\":6,\"dim\":7"), NB_ERR_FORMAT,
     "M: tables[0].bytes: out of range"},
    {COUNTED("\"bytes\":9223372036854775808,\"rows\":6,\"dim\":7"),
     NB_ERR_FORMAT, "M: offset"},
    {COUNTED("\"bytes\":5,\"rows\":0,\"dim\":7"), NB_ERR_FORMAT,
     "M: tables[0].rows: out of range"},
    {COUNTED("\"bytes\":5,\"rows\":6.0,\"dim\":7"), NB_ERR_FORMAT,
     "M: tables[0].rows: missing, or not an integer"},
    {COUNTED("\"bytes\":5,\"rows\":6,\"dim\":65537"), NB_ERR_FORMAT,
     "M: tables[0].dim: out of range"},
    {SUMMED("1"), NB_ERR_FORMAT, NOT_HEX},
    {SUMMED("\"0123456789abcde\""), NB_ERR_FORMAT, NOT_HEX},
    {SUMMED("\"0123456789abcdeF\""), NB_ERR_FORMAT, NOT_HEX},
    {"{\"format\":1,\"tables\":[{\"name\":\"a\"," REST "},{\"name\":\"a\"," REST
     "}]}",
     NB_ERR_FORMAT, "M: tables[1].name: the same as that of the table before"},
    {"{\"format\":1,\"tables\":[{\"name\":\"b\"," REST "},{\"name\":\"a\"," REST
     "}]}",
     NB_ERR_FORMAT, "M: tables[1].name: not in order of the names"},
};

START_TEST(lies_are_refused)
{
    const char *message = bad[_i].message;
    ck_assert_int_eq(parse(bad[_i].text), bad[_i].rv);
    ck_assert_msg(strncmp(err.text, message, strlen(message)) == 0, "%s",
                  err.text);
    for (const char *c = err.text; *c != '\0'; c++) {
        ck_assert(*c >= ' ');
    }
}
END_TEST

START_TEST(huge_ones_are_refused_unparsed)
{
    size_t n = MANIFEST_BYTES_MAX + 1;
    char *text = malloc(n);
    ck_assert_ptr_nonnull(text);
    memset(text, '[', n);
    ck_assert_int_eq(manifest_parse(text, n, "M", &manifest, &err),
                     NB_ERR_TOO_LARGE);
    /* Deep, but within the limit: no stack is used up. */
    ck_assert_int_eq(manifest_parse(text, n - 1, "M", &manifest, &err),
                     NB_ERR_FORMAT);
    /* A list that is too long, of entries that are nothing. */
    int used = snprintf(text, n, "{\"format\":1,\"tables\":[1");
    for (size_t i = 0; i < MANIFEST_TABLES_MAX; i++) {
        text[used++] = ',';
        text[used++] = '1';
    }
    text[used++] = ']';
    text[used++] = '}';
    ck_assert_int_eq(manifest_parse(text, (size_t)used, "M", &manifest, &err),
                     NB_ERR_TOO_LARGE);
    ck_assert_str_eq(err.text, "M: tables: 16385, over 16384");
    free(text);
}
END_TEST

START_TEST(writing_gives_what_was_read)
{
    char *first;
    char *second;
    ck_assert_int_eq(parse("{\"tables\":[{" REST ",\"name\":\"a\"}],"
                           "\"format\":1}"),
                     0);
    ck_assert_int_eq(manifest_format(&manifest, &first, &err), 0);
    manifest_fini(&manifest);
    ck_assert_int_eq(parse(first), 0);
    ck_assert_uint_eq(manifest.tables[0].checksum, 0x0123456789abcdefu);
    ck_assert_int_eq(manifest_format(&manifest, &second, &err), 0);
    ck_assert_str_eq(first, second);
    ck_assert_ptr_nonnull(strstr(first, SUM + 11)); /* the value */
    free(first);
    free(second);
    manifest_fini(&manifest);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("manifest");
    TCase *tcase = tcase_create("manifest");
    tcase_add_test(tcase, fields_are_taken);
    tcase_add_loop_test(tcase, lies_are_refused, 0,
                        sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tcase, huge_ones_are_refused_unparsed);
    tcase_add_test(tcase, writing_gives_what_was_read);
    suite_add_tcase(suite, tcase);
    return suite;
}
