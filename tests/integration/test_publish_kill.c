/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Kills publishing and pinning before, or after, any system call that they
 * make: a tracer counts them, and ends the process at points drawn over the
 * whole run. Whatever the point, every version that can be seen is whole, the
 * one served is the last one published, and the next publish works.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/repo/model_repo.h"
#include "tests/lib/repo_files.h"
#include "tests/lib/rng.h"
#include "tests/lib/run_suite.h"
#include "tests/lib/scratch.h"

#define N_POINTS    ((size_t)50)
#define NEVER       SIZE_MAX
#define SYSCALL_TAG 0x80 /* PTRACE_O_TRACESYSGOOD */

static const char *repo;

static void setup(void)
{
    scratch_create();
    repo = repo_files_create();
}

static uint64_t seed(void)
{
    const char *text = getenv("NB_TEST_SEED"); /* NOLINT(concurrency-*) */
    uint64_t value = text != NULL ? strtoull(text, NULL, 0) : 1;
    printf("NB_TEST_SEED=%" PRIu64 "\n", value);
    return value;
}

/* Ends the stopped process `child`. */
static void kill_child(pid_t child)
{
    int status;
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
}

/* Runs `work` in a process that dies at its stop number `point`: there are two
 * a system call, one on entering it and one on leaving. Returns how many stops
 * there were. */
static size_t run_until(size_t point, void (*work)(void))
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(2);
        }
        raise(SIGSTOP);
        work();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSTOPPED(status), "may not trace: status %d", status);
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL,
                            PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD),
                     0);
    for (size_t n = 0;; n++) {
        if (n == point) {
            kill_child(child);
            return n;
        }
        ck_assert_int_eq(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            ck_assert_int_eq(WEXITSTATUS(status), 0);
            return n;
        }
        ck_assert_int_eq(WSTOPSIG(status), SIGTRAP | SYSCALL_TAG);
    }
}

/* A stop of the i-th part of N_POINTS of the whole run. */
static size_t draw_point(struct rng *rng, size_t i, size_t n_stops)
{
    size_t first = i * n_stops / N_POINTS;
    size_t end = (i + 1) * n_stops / N_POINTS;
    return first + rng_below(rng, end > first ? end - first : 1);
}

/* Sources are written by the parent. */
static void publish_next(void)
{
    uint64_t version;
    if (repo_files_publish(0, 2, 0, &version, NULL) != 0) {
        _exit(1);
    }
}

START_TEST(publishing_is_killed_anywhere)
{
    struct rng rng = {seed()};
    size_t outcomes[2] = {0, 0};
    size_t n_rows;
    uint64_t last = repo_files_add(2, 10);
    ck_assert_int_eq(model_repo_pin(repo, "m", last, NULL), 0);
    last = repo_files_add(2, 11);
    size_t n_stops = run_until(NEVER, publish_next);
    last++;
    ck_assert_uint_gt(n_stops, 2 * N_POINTS);
    for (size_t i = 0; i < N_POINTS; i++) {
        run_until(draw_point(&rng, i, n_stops), publish_next);
        /* All that is visible is whole; the pinned one is there and served. */
        ck_assert_int_eq(strncmp(repo_files_versions(), "1 ", 2), 0);
        ck_assert_uint_eq(repo_files_serving(&n_rows), 1);
        ck_assert_int_eq(model_repo_pin(repo, "m", 0, NULL), 0);
        uint64_t served = repo_files_serving(&n_rows);
        ck_assert_int_eq(model_repo_pin(repo, "m", 1, NULL), 0);
        ck_assert(served == last || served == last + 1);
        outcomes[served - last]++;
        ck_assert_uint_eq(repo_files_add(2, 11), served + 1);
        ck_assert_uint_eq(repo_files_hidden(), 0);
        last = served + 1;
    }
    /* Before its version was there, and after. */
    ck_assert_uint_gt(outcomes[0], 0);
    ck_assert_uint_gt(outcomes[1], 0);
}
END_TEST

static void pin_second(void)
{
    if (model_repo_pin(repo, "m", 2, NULL) != 0) {
        _exit(1);
    }
}

START_TEST(pinning_is_killed_anywhere)
{
    struct rng rng = {seed()};
    size_t outcomes[3] = {0};
    size_t n_rows;
    repo_files_add(0, 10);
    repo_files_add(0, 11);
    ck_assert_int_eq(model_repo_pin(repo, "m", 1, NULL), 0);
    size_t n_stops = run_until(NEVER, pin_second);
    ck_assert_uint_eq(repo_files_serving(&n_rows), 2);
    for (size_t i = 0; i < N_POINTS; i++) {
        ck_assert_int_eq(model_repo_pin(repo, "m", 1, NULL), 0);
        run_until(draw_point(&rng, i, n_stops), pin_second);
        uint64_t served = repo_files_serving(&n_rows);
        ck_assert(served == 1 || served == 2);
        outcomes[served]++;
    }
    ck_assert_uint_gt(outcomes[1], 0);
    ck_assert_uint_gt(outcomes[2], 0);
    ck_assert_int_eq(model_repo_pin(repo, "m", 1, NULL), 0);
    ck_assert_uint_eq(repo_files_hidden(), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("publish_kill");
    TCase *tcase = tcase_create("publish_kill");
    tcase_add_checked_fixture(tcase, setup, scratch_remove);
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, publishing_is_killed_anywhere);
    tcase_add_test(tcase, pinning_is_killed_anywhere);
    suite_add_tcase(suite, tcase);
    return suite;
}
