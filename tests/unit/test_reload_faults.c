/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Whatever fails while a version is loaded, what is served stays, and the next
 * look loads it: no shortage is held against a version. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/faults.h"
#include "tests/lib/reload_fixture.h"
#include "tests/lib/repo_files.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

static void setup(void)
{
    reload_fixture_open();
    faults_skip_syncs(true);
}

/* Loads version after version, of which the Nth call in `set` fails. Returns
 * how many calls there were. */
static size_t sweep(unsigned set, int error)
{
    uint64_t version = repo_files_add(2, 5);
    reload_fixture_look();
    for (size_t n = 0;; n++) {
        ck_assert_uint_eq(repo_files_add(2, 5 + n % 3), ++version);
        faults_arm(set, n, error, false);
        reload_fixture_look();
        bool given = faults_disarm();
        const struct catalog_entry *entry = reload_fixture_entry();
        ck_assert_ptr_nonnull(entry);
        uint64_t served = table_set_version(entry->tables);
        ck_assert(served == version || served == version - 1);
        if (!given) {
            ck_assert_uint_eq(served, version);
            return n;
        }
        if (served != version) {
            reload_fixture_look();
            ck_assert_uint_eq(table_set_version(reload_fixture_entry()->tables),
                              version);
        }
    }
}

START_TEST(out_of_memory)
{
    ck_assert_uint_gt(sweep(FAULT_ALLOC, ENOMEM), 30);
}
END_TEST

START_TEST(out_of_descriptors)
{
    ck_assert_uint_gt(sweep(FAULT_OPEN, EMFILE), 5);
}
END_TEST

/* A pinned version is not blamed either: the next look opens it. */
START_TEST(out_of_descriptors_for_a_pin)
{
    repo_files_add(0, 5);
    reload_fixture_look();
    bool given = true;
    for (size_t n = 0; given; n++) {
        uint64_t version = repo_files_add(3, 5);
        ck_assert_int_eq(
            model_repo_pin(reload_fixture.repo, "m", version, NULL), 0);
        faults_arm(FAULT_OPEN, n, EMFILE, false);
        reload_fixture_look();
        given = faults_disarm();
        reload_fixture_look();
        ck_assert_uint_eq(table_set_version(reload_fixture_entry()->tables),
                          version);
    }
}
END_TEST

START_TEST(out_of_mappings)
{
    ck_assert_uint_gt(sweep(FAULT_MAP, ENOMEM), 1);
}
END_TEST

/* These are held against the version, and it is tried again on order. */
START_TEST(reading_fails)
{
    repo_files_add(0, 5);
    reload_fixture_look();
    repo_files_add(0, 6);
    bool given = true;
    for (size_t n = 0; given; n++) {
        failed_versions_clear(&reload_fixture.failed);
        faults_arm(FAULT_READ, n, EIO, false);
        reload_fixture_look();
        given = faults_disarm();
        const struct catalog_entry *entry = reload_fixture_entry();
        ck_assert_uint_eq(table_set_version(entry->tables), given ? 1 : 2);
        ck_assert_int_eq(entry->reload.result,
                         given ? RELOAD_FAILED : RELOAD_LOADED);
        ck_assert(!given ||
                  strstr(entry->reload.reason, nb_strerror(-EIO)) != NULL);
    }
}
END_TEST

/* What cannot be looked at is not taken to be gone. */
START_TEST(looking_at_a_model_fails)
{
    struct model_names models;
    struct nb_errctx err = {""};
    repo_files_add(0, 5);
    faults_arm(FAULT_LIST, 0, EIO, false);
    int rv = model_repo_models(reload_fixture.repo, &models, &err);
    ck_assert(faults_disarm());
    ck_assert_int_eq(rv, -EIO);
    ck_assert_ptr_nonnull(strstr(err.text, "/m: "));
    faults_arm(FAULT_LIST, 0, ENOENT, false); /* since it was listed */
    ck_assert_int_eq(model_repo_models(reload_fixture.repo, &models, &err), 0);
    ck_assert(faults_disarm());
    ck_assert_uint_eq(models.n, 0);
    model_names_fini(&models);
}
END_TEST

START_TEST(looking_at_a_version_fails)
{
    repo_files_add(0, 5);
    for (size_t n = 0; n < 2; n++) {
        repo_files_add(0, 6);
        faults_arm(FAULT_LIST, n, EIO, false);
        const char *trace = reload_fixture_look();
        ck_assert(faults_disarm());
        ck_assert_str_eq(trace,
                         n == 0 ? "0 latest failed\n" : "2 latest failed\n");
        const char *reason = reload_fixture_entry()->reload.reason;
        ck_assert_ptr_nonnull(strstr(reason, nb_strerror(-EIO)));
        reload_fixture_look();
        ck_assert_uint_eq(table_set_version(reload_fixture_entry()->tables),
                          n + 2);
    }
}
END_TEST

static int (*replace)(void *, const char *, const struct catalog_entry *);
static size_t n_replaced; /* before it fails */

static int replace_or_fail(void *arg, const char *model,
                           const struct catalog_entry *entry)
{
    return n_replaced-- == 0 ? NB_ERR_NOMEM : replace(arg, model, entry);
}

/* Looks, and the events of the log. */
static const char *look_and_read_log(void)
{
    static char log[2000];
    const char *path = scratch_path("log");
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int saved = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(file, STDERR_FILENO), 0);
    reload_fixture_look();
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    ssize_t n = pread(file, log, sizeof(log) - 1, 0);
    ck_assert_int_ge(n, 0);
    log[n] = '\0';
    close(saved);
    close(file);
    return log;
}

/* A version is told to be known, then to be served: both are needed. */
START_TEST(what_is_not_served_is_not_told_to_be)
{
    repo_files_add(0, 5);
    reload_fixture_look();
    repo_files_add(0, 6);
    replace = reload_fixture.replace;
    reload_fixture.replace = replace_or_fail;
    for (size_t n = 0; n < 3; n++) {
        n_replaced = n;
        const char *log = look_and_read_log();
        ck_assert_uint_eq(table_set_version(reload_fixture_entry()->tables),
                          n < 2 ? 1 : 3);
        ck_assert_int_eq(strstr(log, "event=reload-failed") != NULL, n < 2);
        ck_assert_int_eq(strstr(log, "event=reload ") != NULL, n == 2);
        if (n == 1) {
            /* It is loaded; what is left is to switch. */
            ck_assert_uint_eq(reload_fixture_entry()->n_kept, 1);
            n_replaced = 0;
            log = look_and_read_log();
            ck_assert_ptr_null(strstr(log, "event=reload "));
            repo_files_add(0, 7);
        }
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("reload_faults");
    TCase *tcase = tcase_create("reload_faults");
    tcase_add_checked_fixture(tcase, setup, reload_fixture_close);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, out_of_memory);
    tcase_add_test(tcase, out_of_descriptors);
    tcase_add_test(tcase, out_of_descriptors_for_a_pin);
    tcase_add_test(tcase, out_of_mappings);
    tcase_add_test(tcase, reading_fails);
    tcase_add_test(tcase, looking_at_a_model_fails);
    tcase_add_test(tcase, looking_at_a_version_fails);
    tcase_add_test(tcase, what_is_not_served_is_not_told_to_be);
    suite_add_tcase(suite, tcase);
    return suite;
}
