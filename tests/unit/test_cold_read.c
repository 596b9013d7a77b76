/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* When requests are looked at for rows on disk, and what ends an answer that
 * was remembered. Where the file system keeps its pages, what needs a row on
 * disk is not tested; unless NB_REQUIRED, words, has "cold-pages": then that
 * fails. */
#include "server/request/cold_read.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"
#include "tests/lib/service_fixture.h"
#include "tests/lib/table_files.h"

#define N_ROWS  200000u
#define FAR_ROW 150000u /* behind what opening reads */

static struct service *const service = &fixture_service;
static const char *path;
static struct table_set *tables;

static void setup(void)
{
    struct nb_errctx err;
    scratch_create();
    fixture_open("");
    service->uv = uv_default_loop(); /* which is never run */
    path = table_file_write("t.nbt", 50, N_ROWS);
    ck_assert_int_eq(table_set_create("m", 2, 1, &tables), 0);
    int rv = table_set_add(tables, "t", path, TABLE_VERIFY_HEADER, &err);
    ck_assert_msg(rv == 0, "%s", err.text);
}

static void teardown(void)
{
    table_set_unref(tables);
    fixture_close();
    scratch_remove();
}

/* Pages that are mapped stay. */
static void evict(const char *file)
{
    int fd = open(file, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
}

static void read_file(void)
{
    static char bytes[1 << 20];
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    while (read(fd, bytes, sizeof(bytes)) > 0) {
        /* it is in the cache then */
    }
    close(fd);
}

/* In another turn of the loop: is a request for the row put off? */
static bool is_put_off(void)
{
    const uint64_t id = FAR_ROW;
    const struct feature feature = {.entry = table_set_find(tables, "t"),
                                    .ids = {.u64 = &id, .n = 1}};
    struct call call = {.service = service, .may_put_off = true};
    service->turn_ns = 0;
    int rv = cold_read_find(&call, tables, &feature, 1);
    ck_assert((rv != 0) == (call.cold != NULL));
    cold_read_destroy(call.cold);
    return rv != 0;
}

static void begin_probing(void)
{
    service->probe_until_ns = fixture_now_ns + COLD_PROBE_NS;
}

static bool is_probing(void)
{
    service->turn_ns = 0;
    return cold_read_is_probing(service);
}

static bool is_required(const char *word)
{
    /* The test has one thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const char *words = getenv("NB_REQUIRED");
    size_t n = strlen(word);
    while (words != NULL && *words != '\0') {
        size_t length = strcspn(words, " ");
        if (length == n && memcmp(words, word, n) == 0) {
            return true;
        }
        words += length + strspn(words + length, " ");
    }
    return false;
}

/* False: the file system does not give pages up, or does not tell. */
static bool begin_cold(void)
{
    begin_probing();
    evict(path);
    bool cold = is_put_off();
    ck_assert_msg(cold || !is_required("cold-pages"),
                  "%s: its pages stay in memory", path);
    if (!cold) {
        fprintf(stderr, "skipped: %s: its pages stay in memory\n", path);
    }
    return cold;
}

/* Stops for the disk, of which only this file is read. */
static void touch_disk(void)
{
    const char *other = scratch_path("other");
    int fd = open(other, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "other", 5), 5);
    evict(other);
    const volatile char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert(at != MAP_FAILED);
    (void)*at;
    munmap((void *)at, 4096);
    close(fd);
}

START_TEST(looking_ends)
{
    ck_assert(!is_probing());
    begin_probing();
    ck_assert(is_probing());
    fixture_now_ns += COLD_PROBE_NS - 1;
    ck_assert(is_probing());
    if (begin_cold()) { /* what was found is a reason to go on */
        fixture_now_ns += COLD_PROBE_NS - 1;
        ck_assert(is_put_off());
        fixture_now_ns += COLD_PROBE_NS - 1;
        ck_assert(is_probing());
    }
    fixture_now_ns += 2 * COLD_PROBE_NS;
    ck_assert(!is_probing());
    ck_assert(!is_put_off());
}
END_TEST

START_TEST(a_long_turn_with_a_fault_is_a_reason)
{
    if (!begin_cold()) {
        return;
    }
    cold_read_check_turn(service, COLD_STALL_NS); /* so many as of now */
    fixture_now_ns += 2 * COLD_PROBE_NS;
    ck_assert(!is_probing());
    cold_read_check_turn(service, COLD_STALL_NS); /* long, but no fault */
    ck_assert(!is_probing());
    touch_disk();
    cold_read_check_turn(service, COLD_STALL_NS - 1);
    ck_assert(!is_probing());
    cold_read_check_turn(service, COLD_STALL_NS);
    ck_assert(is_probing());
    ck_assert(is_put_off());
    fixture_now_ns += COLD_PROBE_NS;
    ck_assert(!is_probing());
    cold_read_check_turn(service, COLD_STALL_NS); /* the fault is known */
    ck_assert(!is_probing());
}
END_TEST

START_TEST(a_stall_ends_what_was_remembered)
{
    if (!begin_cold()) {
        return;
    }
    cold_read_check_turn(service, COLD_STALL_NS);
    read_file();
    ck_assert(!is_put_off());
    evict(path);
    ck_assert(!is_put_off()); /* it is remembered */
    touch_disk();
    cold_read_check_turn(service, COLD_STALL_NS);
    ck_assert(is_put_off());
}
END_TEST

static void switch_to(struct table_set *set)
{
    struct catalog *catalog;
    ck_assert_int_eq(catalog_create(&catalog), 0);
    ck_assert_int_eq(catalog_add(catalog, set, CATALOG_LATEST), 0);
    service_switch(service, catalog);
}

START_TEST(what_was_not_read_is_looked_for)
{
    switch_to(tables); /* which was */
    ck_assert(!is_probing());
    struct table_set *unread;
    ck_assert_int_eq(table_set_create("m", 3, 1, &unread), 0);
    table_set_tell_unread(unread);
    switch_to(unread);
    ck_assert(is_probing());
    fixture_now_ns += COLD_PROBE_NS;
    ck_assert(!is_probing());
    switch_to(unread); /* it is there already */
    ck_assert(!is_probing());
    table_set_unref(unread);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cold_read");
    TCase *tcase = tcase_create("cold_read");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, looking_ends);
    tcase_add_test(tcase, a_long_turn_with_a_fault_is_a_reason);
    tcase_add_test(tcase, a_stall_ends_what_was_remembered);
    tcase_add_test(tcase, what_was_not_read_is_looked_for);
    suite_add_tcase(suite, tcase);
    return suite;
}
