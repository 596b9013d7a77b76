/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/model_repo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/repo/model_dir.h"
#include "storage/repo/repo_name.h"
#include "storage/table/table_format.h"
#include "tests/lib/repo_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

static struct nb_errctx err;
static const char *repo;
static size_t n_rows;

static void setup(void)
{
    scratch_create();
    repo = repo_files_create();
    err.text[0] = '\0';
}

static int pin(uint64_t version)
{
    return model_repo_pin(repo, "m", version, &err);
}

static void write_at(const char *path, const char *text)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* Flips one bit of a file of the repository. */
static void damage(const char *name, off_t at)
{
    const char *path = repo_files_path(name);
    uint8_t byte;
    ck_assert_int_eq(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    if (at < 0) {
        at += lseek(fd, 0, SEEK_END);
    }
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* ---- names --------------------------------------------------------------- */

START_TEST(names_are_single_visible_components)
{
    static const char *const good[] = {"a", "A-z_0.9", "7"};
    static const char *const wrong[] = {"",    ".",   "..",  ".a",
                                        "a/b", "a b", "a\n", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert(repo_name_is_valid(good[i], 8));
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert(!repo_name_is_valid(wrong[i], 8));
    }
    ck_assert(repo_name_is_valid("12345678", 8));
    ck_assert(!repo_name_is_valid("123456789", 8));
}
END_TEST

START_TEST(versions_are_plain_positive_integers)
{
    static const char *const wrong[] = {
        "", "0", "01", "-1", "+1", "1 ", "1a", "18446744073709551616"};
    uint64_t version;
    ck_assert(repo_version_parse("18446744073709551615", &version));
    ck_assert_uint_eq(version, UINT64_MAX);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert(!repo_version_parse(wrong[i], &version));
    }
}
END_TEST

/* ---- publishing ---------------------------------------------------------- */

START_TEST(versions_count_up_and_are_served)
{
    ck_assert_uint_eq(repo_files_add(0, 10), 1);
    ck_assert_uint_eq(repo_files_add(0, 11), 2);
    uint64_t version = 0;
    ck_assert_int_eq(repo_files_publish(40, 0, 12, &version, &err), 0);
    ck_assert_uint_eq(repo_files_add(0, 13), 41);
    ck_assert_str_eq(repo_files_versions(), "1 2 40 41");
    ck_assert_uint_eq(repo_files_serving(&n_rows), 41);
    ck_assert_uint_eq(n_rows, 13);
    ck_assert_uint_eq(repo_files_hidden(), 0);
    /* Files are not for writing. */
    struct stat stat_a;
    ck_assert_int_eq(stat(repo_files_path("41/a.nbt"), &stat_a), 0);
    ck_assert_uint_eq(stat_a.st_mode & 0222, 0);
}
END_TEST

START_TEST(a_version_is_never_replaced)
{
    uint64_t version = 0;
    repo_files_add(0, 10);
    ck_assert_int_eq(repo_files_publish(1, 0, 11, &version, &err), -EEXIST);
    ck_assert_ptr_nonnull(strstr(err.text, "version 1 is there already"));
    ck_assert_uint_eq(repo_files_serving(&n_rows), 1);
    ck_assert_uint_eq(n_rows, 10);
    ck_assert_uint_eq(repo_files_hidden(), 0);
}
END_TEST

/* What is in the way of a number is left alone. */
START_TEST(a_taken_number_is_stepped_over)
{
    repo_files_add(0, 10);
    write_at(repo_files_path("2"), "a file");
    ck_assert_int_eq(symlink("/nowhere", repo_files_path("3")), 0);
    ck_assert_uint_eq(repo_files_add(0, 11), 4);
    uint64_t version = 0;
    ck_assert_int_eq(repo_files_publish(3, 0, 12, &version, &err), -EEXIST);
    ck_assert_str_eq(repo_files_versions(), "1 4");
}
END_TEST

START_TEST(no_number_is_above_the_last)
{
    uint64_t version = 0;
    ck_assert_int_eq(repo_files_publish(UINT64_MAX, 0, 10, &version, &err), 0);
    ck_assert_int_eq(repo_files_publish(0, 0, 10, &version, &err),
                     NB_ERR_TOO_LARGE);
}
END_TEST

START_TEST(a_broken_source_changes_nothing)
{
    uint64_t version = 0;
    repo_files_add(0, 10);
    const char *b = scratch_path("b.nbt");
    size_t n;
    uint8_t *bytes = scratch_read(b, &n);
    bytes[4096] ^= 1;
    scratch_write("b.nbt", bytes, n);
    free(bytes);
    ck_assert_int_eq(repo_files_publish(0, 0, 0, &version, &err),
                     NB_ERR_CHECKSUM);
    ck_assert_ptr_nonnull(strstr(err.text, "b.nbt"));
    ck_assert_str_eq(repo_files_versions(), "1");
    ck_assert_uint_eq(repo_files_hidden(), 0);
}
END_TEST

/* ---- retention ----------------------------------------------------------- */

START_TEST(keep_deletes_the_lowest)
{
    for (size_t i = 1; i <= 5; i++) {
        repo_files_add(0, 9 + i);
    }
    repo_files_add(3, 20);
    ck_assert_str_eq(repo_files_versions(), "4 5 6");
    ck_assert_uint_eq(repo_files_hidden(), 0);
    repo_files_add(1, 21);
    ck_assert_str_eq(repo_files_versions(), "7");
}
END_TEST

START_TEST(keep_spares_pinned_and_published)
{
    for (size_t i = 1; i <= 4; i++) {
        repo_files_add(0, 9 + i);
    }
    ck_assert_int_eq(pin(2), 0);
    repo_files_add(1, 20);
    ck_assert_str_eq(repo_files_versions(), "2 5");
    uint64_t version = 0;
    ck_assert_int_eq(repo_files_publish(1, 1, 10, &version, &err), 0);
    ck_assert_str_eq(repo_files_versions(), "1 2 5");
}
END_TEST

/* Who knows what is pinned, if SERVING says nonsense? */
START_TEST(keep_needs_to_know_the_pin)
{
    uint64_t version = 0;
    repo_files_add(0, 10);
    write_at(repo_files_path("SERVING"), "one\n");
    ck_assert_int_eq(repo_files_publish(0, 1, 11, &version, &err),
                     NB_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "SERVING: holds no version"));
    ck_assert_str_eq(repo_files_versions(), "1 2");
}
END_TEST

/* ---- leftovers ----------------------------------------------------------- */

START_TEST(leftovers_of_the_dead_are_swept)
{
    repo_files_add(0, 10);
    ck_assert_int_eq(mkdir(repo_files_path(".publish-dead"), 0700), 0);
    write_at(repo_files_path(".publish-dead/a.nbt"), "half");
    ck_assert_int_eq(mkdir(repo_files_path(".deleted-dead"), 0700), 0);
    write_at(repo_files_path(".deleted-dead/a.nbt"), "half");
    write_at(repo_files_path(".SERVING.0.tmp"), "4");
    ck_assert_str_eq(repo_files_versions(), "1");
    repo_files_add(0, 11);
    ck_assert_uint_eq(repo_files_hidden(), 0);
}
END_TEST

START_TEST(what_the_living_build_is_not_swept)
{
    repo_files_add(0, 10);
    ck_assert_int_eq(mkdir(repo_files_path(".publish-live"), 0700), 0);
    int fd = open(repo_files_path(".publish-live"),
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    write_at(repo_files_path(".other"), "not ours");
    repo_files_add(0, 11);
    ck_assert_uint_eq(repo_files_hidden(), 2);
    close(fd);
    repo_files_add(0, 12);
    ck_assert_uint_eq(repo_files_hidden(), 1);
}
END_TEST

/* ---- pinning and serving ------------------------------------------------- */

START_TEST(a_pin_is_served_until_taken_away)
{
    repo_files_add(0, 10);
    repo_files_add(0, 11);
    ck_assert_int_eq(pin(1), 0);
    repo_files_add(0, 12);
    struct serving serving;
    ck_assert_int_eq(
        model_repo_open_serving(repo, "m", &repo_files_header, &serving, &err),
        0);
    ck_assert_uint_eq(serving.version, 1);
    ck_assert(serving.pinned);
    serving_fini(&serving);
    ck_assert_int_eq(pin(0), 0);
    ck_assert_int_eq(pin(0), 0); /* again */
    ck_assert_uint_eq(repo_files_serving(&n_rows), 3);
}
END_TEST

START_TEST(only_whole_versions_are_pinned)
{
    repo_files_add(0, 10);
    repo_files_add(0, 11);
    ck_assert_int_eq(pin(3), NB_ERR_NOT_FOUND);
    damage("2/b.nbt", -1);
    ck_assert_int_lt(pin(2), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "2/b.nbt"));
    ck_assert_int_eq(pin(1), 0);
    ck_assert_uint_eq(repo_files_serving(&n_rows), 1);
    ck_assert_int_eq(model_repo_pin(repo, "none", 1, &err), -ENOENT);
    ck_assert_int_eq(model_repo_pin(repo, "../m", 1, &err), NB_ERR_INVALID);
}
END_TEST

static char skipped[1000];

static void note_skipped(void *arg, uint64_t version, const char *why)
{
    size_t used = strlen(skipped);
    (void)arg;
    snprintf(skipped + used, sizeof(skipped) - used, "%llu: %s\n",
             (unsigned long long)version, why);
}

static const struct serving_search noting = {
    .verify = TABLE_VERIFY_FULL,
    .skipped = note_skipped,
};

START_TEST(a_broken_version_falls_back)
{
    repo_files_add(0, 10);
    repo_files_add(0, 11);
    repo_files_add(0, 12);
    repo_files_add(0, 13);
    ck_assert_int_eq(unlink(repo_files_path("4/manifest.json")), 0);
    damage("3/a.nbt", 4096);
    struct serving serving;
    skipped[0] = '\0';
    ck_assert_int_eq(
        model_repo_open_serving(repo, "m", &noting, &serving, &err), 0);
    ck_assert_uint_eq(serving.version, 2);
    ck_assert(!serving.pinned);
    serving_fini(&serving);
    const char *third = strstr(skipped, "3: ");
    ck_assert_ptr_nonnull(strstr(skipped, "4: "));
    ck_assert_ptr_nonnull(strstr(skipped, "4/manifest.json: No such file"));
    ck_assert_ptr_nonnull(third);
    ck_assert_msg(strstr(third, "in the row section") != NULL, "%s", third);
    /* A flipped bit of the rows is not looked for there. */
    ck_assert_int_eq(
        model_repo_open_serving(repo, "m", &repo_files_header, &serving, &err),
        0);
    ck_assert_uint_eq(serving.version, 3);
    serving_fini(&serving);
}
END_TEST

/* A pin is an order: nothing else is served in its place. */
START_TEST(a_broken_pin_is_an_error)
{
    struct serving serving;
    repo_files_add(0, 10);
    repo_files_add(0, 11);
    ck_assert_int_eq(pin(2), 0);
    damage("2/a.nbt", 4096);
    ck_assert_int_eq(
        model_repo_open_serving(repo, "m", &repo_files_full, &serving, &err),
        NB_ERR_CHECKSUM);
    ck_assert_ptr_nonnull(strstr(err.text, "pinned to version 2: "));
}
END_TEST

static int open_serving(void)
{
    struct serving serving;
    int rv =
        model_repo_open_serving(repo, "m", &repo_files_full, &serving, &err);
    if (rv == 0) {
        serving_fini(&serving);
    }
    return rv;
}

START_TEST(odd_pins)
{
    static const char *const odd[] = {
        "",     "\n",
        "0\n",  "x",
        "1 2",  "1\n\n",
        "../1", "111111111111111111111111111111111111111111111111"};
    repo_files_add(0, 10);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        write_at(repo_files_path("SERVING"), odd[i]);
        ck_assert_int_eq(open_serving(), NB_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(err.text, "SERVING"));
    }
    write_at(repo_files_path("SERVING"), "1"); /* by hand */
    ck_assert_int_eq(open_serving(), 0);
    ck_assert_int_eq(unlink(repo_files_path("SERVING")), 0);
    ck_assert_int_eq(symlink("SERVING", repo_files_path("SERVING")), 0);
    ck_assert_int_eq(open_serving(), -ELOOP);
    ck_assert_int_eq(unlink(repo_files_path("SERVING")), 0);
    ck_assert_int_eq(mkfifo(repo_files_path("SERVING"), 0600), 0);
    ck_assert_int_eq(open_serving(), NB_ERR_UNSUPPORTED); /* does not wait */
}
END_TEST

START_TEST(what_is_no_version_is_ignored)
{
    repo_files_add(0, 10);
    ck_assert_int_eq(mkdir(repo_files_path("007"), 0700), 0);
    ck_assert_int_eq(mkdir(repo_files_path("9x"), 0700), 0);
    ck_assert_int_eq(mkdir(repo_files_path(".9"), 0700), 0);
    write_at(repo_files_path("9"), "a file");
    ck_assert_int_eq(symlink("1", repo_files_path("8")), 0);
    write_at(repo_files_path("1/NOTES"), "of the model");
    ck_assert_str_eq(repo_files_versions(), "1");
    ck_assert_uint_eq(repo_files_serving(&n_rows), 1);
}
END_TEST

START_TEST(models_are_directories)
{
    struct model_names models;
    repo_files_add(0, 10);
    write_at(scratch_path("repo/file"), "");
    ck_assert_int_eq(mkdir(scratch_path("repo/.hidden"), 0700), 0);
    ck_assert_int_eq(mkdir(scratch_path("repo/b"), 0700), 0);
    ck_assert_int_eq(mkdir(scratch_path("repo/with blank"), 0700), 0);
    ck_assert_int_eq(symlink("m", scratch_path("repo/link")), 0);
    ck_assert_int_eq(symlink("loop", scratch_path("repo/loop")), 0);
    ck_assert_int_eq(model_repo_models(repo, &models, &err), 0);
    ck_assert_uint_eq(models.n, 2);
    ck_assert_str_eq(models.names[0], "b");
    ck_assert_str_eq(models.names[1], "m");
    model_names_fini(&models);
    struct serving serving;
    ck_assert_int_lt(
        model_repo_open_serving(repo, "loop", &repo_files_full, &serving, &err),
        0);
    ck_assert_int_eq(
        model_repo_open_serving(repo, "b", &repo_files_full, &serving, &err),
        NB_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "repo/b: has no version"));
    ck_assert_int_eq(model_repo_models(scratch_path("no"), &models, &err),
                     -ENOENT);
}
END_TEST

/* ---- manifests that lie -------------------------------------------------- */

static int edit_manifest(const char *from, const char *to)
{
    const char *path = repo_files_path("1/manifest.json");
    char edited[4096];
    size_t n;
    char *text = (char *)scratch_read(path, &n);
    const char *at = strstr(text, from);
    ck_assert_ptr_nonnull(at);
    snprintf(edited, sizeof(edited), "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
    free(text);
    write_at(path, edited);
    return open_serving();
}

static const struct {
    const char *from;
    const char *to;
    int rv;
    const char *words;
} lies[] = {
    {"a.nbt", "c.nbt", -ENOENT, "1/c.nbt: No such file"},
    {"a.nbt", "b.nbt", NB_ERR_FORMAT, "1/b.nbt: bytes: "},
    {"a.nbt", "manifest.json", NB_ERR_MAGIC, "1/manifest.json"},
    {"\"rows\": 10", "\"rows\": 11", NB_ERR_FORMAT,
     "1/a.nbt: rows: 10, the manifest says 11"},
    {"\"dim\": 8", "\"dim\": 9", NB_ERR_FORMAT,
     "1/a.nbt: dim: 8, the manifest says 9"},
    {"\"bytes\": ", "\"bytes\": 9", NB_ERR_FORMAT, "1/a.nbt: bytes: "},
    {"\"q4\"", "\"q5\"", NB_ERR_FORMAT,
     "1/a.nbt: codec: q4, the manifest says q5"},
    {"\"checksum\": \"", "\"checksum\": \"0000000000000000\", \"later\": \"",
     NB_ERR_CHECKSUM, "1/a.nbt: checksum: "},
    {"\"name\": \"b\"", "\"name\": \"a\"", NB_ERR_FORMAT,
     "tables[1].name: the same"},
    {"a.nbt", "../2/a.nbt", NB_ERR_FORMAT, "tables[0].file: not the name"},
};

START_TEST(a_manifest_is_held_against_the_tables)
{
    repo_files_add(0, 10);
    int rv = edit_manifest(lies[_i].from, lies[_i].to);
    ck_assert_int_eq(rv, NB_ERR_NOT_FOUND); /* nothing else to serve */
    ck_assert_msg(strstr(err.text, lies[_i].words) != NULL, "%s", err.text);
    struct model_version *opened;
    ck_assert_int_eq(model_version_open(repo_files_path("1"),
                                        TABLE_VERIFY_HEADER, &opened, &err),
                     lies[_i].rv);
}
END_TEST

START_TEST(links_are_refused)
{
    repo_files_add(0, 10);
    const char *a = repo_files_path("1/a.nbt");
    ck_assert_int_eq(rename(a, scratch_path("moved")), 0);
    ck_assert_int_eq(symlink(scratch_path("moved"), a), 0);
    ck_assert_int_lt(open_serving(), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "1/a.nbt: a symbolic link"));
    ck_assert_int_eq(unlink(a), 0);
    ck_assert_int_eq(mkfifo(a, 0600), 0);
    ck_assert_int_lt(open_serving(), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "1/a.nbt: not a regular file"));
    const char *manifest = repo_files_path("1/manifest.json");
    ck_assert_int_eq(unlink(manifest), 0);
    ck_assert_int_eq(symlink("manifest.json", manifest), 0);
    ck_assert_int_lt(open_serving(), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "manifest.json: a symbolic link"));
}
END_TEST

/* So is another whole table in the place of one, of the same shape. */
START_TEST(another_table_is_noticed)
{
    struct model_version *opened;
    repo_files_add(0, 10);
    const char *a = repo_files_path("1/a.nbt");
    const char *other = repo_files_path("1/other");
    size_t n;
    uint8_t *bytes = scratch_read(a, &n);
    /* An optional flag more, and the header's checksum made right. */
    bytes[HEADER_OPTIONAL_FLAGS] ^= 1;
    table_file_fix_header(bytes, n);
    ck_assert_int_eq(rename(scratch_write("other", bytes, n), other), 0);
    free(bytes);
    ck_assert_int_eq(rename(other, a), 0);
    ck_assert_int_eq(model_version_open(repo_files_path("1"), TABLE_VERIFY_FULL,
                                        &opened, &err),
                     NB_ERR_CHECKSUM);
    ck_assert_ptr_nonnull(strstr(err.text, "the manifest says"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("model_repo");
    TCase *tcase = tcase_create("model_repo");
    tcase_add_checked_fixture(tcase, setup, scratch_remove);
    tcase_add_test(tcase, names_are_single_visible_components);
    tcase_add_test(tcase, versions_are_plain_positive_integers);
    tcase_add_test(tcase, versions_count_up_and_are_served);
    tcase_add_test(tcase, a_version_is_never_replaced);
    tcase_add_test(tcase, a_taken_number_is_stepped_over);
    tcase_add_test(tcase, no_number_is_above_the_last);
    tcase_add_test(tcase, a_broken_source_changes_nothing);
    tcase_add_test(tcase, keep_deletes_the_lowest);
    tcase_add_test(tcase, keep_spares_pinned_and_published);
    tcase_add_test(tcase, keep_needs_to_know_the_pin);
    tcase_add_test(tcase, leftovers_of_the_dead_are_swept);
    tcase_add_test(tcase, what_the_living_build_is_not_swept);
    tcase_add_test(tcase, a_pin_is_served_until_taken_away);
    tcase_add_test(tcase, only_whole_versions_are_pinned);
    tcase_add_test(tcase, a_broken_version_falls_back);
    tcase_add_test(tcase, a_broken_pin_is_an_error);
    tcase_add_test(tcase, odd_pins);
    tcase_add_test(tcase, what_is_no_version_is_ignored);
    tcase_add_test(tcase, models_are_directories);
    tcase_add_loop_test(tcase, a_manifest_is_held_against_the_tables, 0,
                        sizeof(lies) / sizeof(lies[0]));
    tcase_add_test(tcase, links_are_refused);
    tcase_add_test(tcase, another_table_is_noticed);
    suite_add_tcase(suite, tcase);
    return suite;
}
