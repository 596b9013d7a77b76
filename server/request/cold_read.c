/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/cold_read.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

struct cold_read {
    uv_work_t work;
    struct counters *counters;
    cold_read_fn *done; /* NULL: nobody waits any more */
    void *arg;
    struct table_set *tables; /* a reference */
    size_t n;                 /* pages */
    const struct table **of;  /* each is a page of */
    uint64_t offsets[];
};

void cold_read_destroy(struct cold_read *read)
{
    if (read != NULL) {
        table_set_unref(read->tables);
        free(read);
    }
}

bool cold_read_is_probing(struct service *service)
{
    return service->uv != NULL &&
           service_turn_ns(service) < service->probe_until_ns;
}

/* Times that a loop stopped for the disk: of all loops, as memory is. */
static uint32_t n_stalls;

/* Two more after a stall: what was seen before no longer holds. */
static uint16_t look_at(uint64_t now_ns)
{
    uint64_t n = now_ns / COLD_PROBE_NS +
                 (uint64_t)2 * __atomic_load_n(&n_stalls, __ATOMIC_RELAXED);
    return (uint16_t)(n % UINT16_MAX + 1);
}

static void find_of(struct cold_pages *pages, const struct feature *feature,
                    uint16_t look)
{
    const struct table *table = feature->entry->table;
    if (!table_may_be_cold(table)) {
        return;
    }
    size_t n =
        table_find_cold(table, &feature->ids, look, COLD_PAGES_MAX - pages->n,
                        pages->offsets + pages->n);
    for (size_t i = 0; i < n; i++) {
        pages->of[pages->n++] = table;
    }
}

/* NULL: no memory. */
static struct cold_read *make_read(const struct cold_pages *pages,
                                   struct table_set *tables)
{
    size_t n = pages->n;
    size_t offsets_bytes = n * sizeof(pages->offsets[0]);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): they are pointers */
    size_t of_bytes = n * sizeof(pages->of[0]);
    struct cold_read *read = malloc(sizeof(*read) + offsets_bytes + of_bytes);
    if (read != NULL) {
        *read = (struct cold_read){.tables = table_set_ref(tables), .n = n};
        memcpy(read->offsets, pages->offsets, offsets_bytes);
        read->of = (const struct table **)(void *)(read->offsets + n);
        memcpy(read->of, pages->of, of_bytes);
    }
    return read;
}

int cold_read_find(struct call *call, struct table_set *tables,
                   const struct feature *features, size_t n)
{
    struct service *service = call->service;
    if (!call->may_put_off || !cold_read_is_probing(service)) {
        return 0;
    }
    if (service->cold == NULL) {
        service->cold = malloc(sizeof(*service->cold));
    }
    struct cold_pages *pages = service->cold;
    if (pages == NULL) {
        return 0; /* no memory: answered as it is */
    }
    uint16_t look = look_at(service_turn_ns(service));
    pages->n = 0;
    for (size_t i = 0; i < n; i++) {
        find_of(pages, &features[i], look);
    }
    if (pages->n == 0) {
        return 0;
    }
    service->probe_until_ns = service_turn_ns(service) + COLD_PROBE_NS;
    call->cold = make_read(pages, tables);
    return call->cold != NULL ? -1 : 0;
}

/* On a thread of libuv's. */
static void on_read(uv_work_t *work)
{
    const struct cold_read *read = work->data;
    size_t n;
    for (size_t i = 0; i < read->n; i += n) {
        n = 1;
        while (i + n < read->n && read->of[i + n] == read->of[i]) {
            n++;
        }
        table_read_pages(read->of[i], &read->offsets[i], n);
    }
}

static void on_done(uv_work_t *work, int status)
{
    struct cold_read *read = work->data;
    cold_read_fn *done = read->done;
    void *arg = read->arg;
    counter_add(&read->counters->reading, -(uint64_t)1);
    (void)status; /* a request is asked again whatever came of it */
    cold_read_destroy(read);
    if (done != NULL) {
        done(arg);
    }
}

bool cold_read_start(struct service *service, struct cold_read *read,
                     cold_read_fn *done, void *arg)
{
    read->done = done;
    read->arg = arg;
    read->counters = service->counters;
    read->work.data = read;
    if (uv_queue_work(service->uv, &read->work, on_read, on_done) != 0) {
        cold_read_destroy(read);
        return false;
    }
    counter_add(&service->counters->put_off, 1);
    counter_add(&service->counters->reading, 1);
    return true;
}

void cold_read_forget(struct cold_read *read)
{
    read->done = NULL;
}

void cold_read_check_turn(struct service *service, uint64_t turn_ns)
{
    struct rusage usage;
    if (service->uv == NULL || turn_ns < COLD_STALL_NS ||
        getrusage(RUSAGE_THREAD, &usage) != 0) {
        return;
    }
    uint64_t faults = (uint64_t)usage.ru_majflt;
    if (faults != service->major_faults) {
        __atomic_fetch_add(&n_stalls, 1, __ATOMIC_RELAXED);
        service->probe_until_ns = service->now_ns() + COLD_PROBE_NS;
    }
    service->major_faults = faults;
}
