/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/reaper.h"

#include <stdatomic.h>
#include <uv.h>

#include "tests/lib/run_suite.h"

#define N_GIVERS 4
#define N_ITEMS  1000

struct thing {
    struct reaper_item doomed;
    int *memory; /* lost, it shows under ASan */
};

static struct reaper *reaper;
static _Atomic int n_freed;
static _Atomic int n_freed_here;
static uv_thread_t giver;
static uv_sem_t started;
static uv_sem_t go_on;

static void free_thing(struct reaper_item *item)
{
    struct thing *thing = (struct thing *)item;
    uv_thread_t self = uv_thread_self();
    atomic_fetch_add(&n_freed_here, uv_thread_equal(&self, &giver));
    free(thing->memory);
    free(thing);
    atomic_fetch_add(&n_freed, 1);
}

static void wait_and_free(struct reaper_item *item)
{
    uv_sem_post(&started);
    uv_sem_wait(&go_on);
    free_thing(item);
}

static void give(void (*how)(struct reaper_item *))
{
    struct thing *thing = malloc(sizeof(*thing));
    ck_assert_ptr_nonnull(thing);
    thing->memory = malloc(sizeof(int));
    thing->doomed.free = how;
    reaper_take(reaper, &thing->doomed);
}

static void give_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_ITEMS; i++) {
        give(free_thing);
    }
}

START_TEST(all_is_freed_by_another_thread)
{
    uv_thread_t givers[N_GIVERS];
    giver = uv_thread_self();
    ck_assert_int_eq(reaper_create(&reaper), 0);
    for (int i = 0; i < N_GIVERS; i++) {
        uv_thread_create(&givers[i], give_many, NULL);
    }
    give(free_thing);
    for (int i = 0; i < N_GIVERS; i++) {
        uv_thread_join(&givers[i]);
    }
    reaper_destroy(reaper);
    ck_assert_int_eq(n_freed, N_GIVERS * N_ITEMS + 1);
    ck_assert_int_eq(n_freed_here, 0);
}
END_TEST

/* Giving does not wait for what is being freed, and the end does. */
START_TEST(nobody_waits_but_the_end)
{
    uv_sem_init(&started, 0);
    uv_sem_init(&go_on, 0);
    ck_assert_int_eq(reaper_create(&reaper), 0);
    give(wait_and_free);
    uv_sem_wait(&started);
    give(free_thing);
    ck_assert_int_eq(n_freed, 0);
    uv_sem_post(&go_on);
    reaper_destroy(reaper);
    ck_assert_int_eq(n_freed, 2);
    reaper_destroy(NULL);
    uv_sem_destroy(&started);
    uv_sem_destroy(&go_on);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("reaper");
    TCase *tcase = tcase_create("reaper");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, all_is_freed_by_another_thread);
    tcase_add_test(tcase, nobody_waits_but_the_end);
    suite_add_tcase(suite, tcase);
    return suite;
}
