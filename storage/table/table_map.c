/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/table_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_LINE "AnonHugePages:"

/* Bytes of a mapping that one call populates, copies or unmaps: in between,
 * threads that map or fault get the lock of the address space. */
#define MAP_STEP ((size_t)4 << 20)

/* Since Linux 5.14 and 6.1; the headers may be older than the kernel. */
#define ADVICE_POPULATE_READ 22
#define ADVICE_COLLAPSE      25

int table_map_file(int fd, size_t n, struct table_map *map)
{
    void *at = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    /* Rows are asked for in any order; read-ahead would only evict others. The
     * mapping works without the advice. */
    (void)madvise(at, n, MADV_RANDOM);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    struct stat stat;
    bool owned = fstat(fd, &stat) == 0 && geteuid() == stat.st_uid;
    int kept = owned ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (!owned && kept < 0) {
        int rv = -errno;
        munmap(at, n);
        return rv;
    }
    *map = (struct table_map){
        .at = at,
        .bytes = n,
        .fd = kept,
        .owned = owned,
        .seen = calloc(n / (size_t)sysconf(_SC_PAGESIZE) + 1, sizeof(uint16_t)),
    };
    return 0;
}

/* With huge pages more is mapped than the file has. */
static size_t mapped_bytes(const struct table_map *map)
{
    return map->residency == RESIDENCY_HUGE
               ? (map->bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1)
               : map->bytes;
}

void table_map_close(struct table_map *map)
{
    size_t left = map->at != NULL ? mapped_bytes(map) : 0;
    while (left > 0) { /* from the end, so that whole steps remain */
        size_t n = left % MAP_STEP;
        n = n > 0 ? n : MAP_STEP;
        left -= n;
        munmap((uint8_t *)map->at + left, n);
    }
    if (map->at != NULL && map->fd >= 0) {
        close(map->fd);
    }
    free(map->seen);
    *map = (struct table_map){0};
}

/* ---- populate and lock --------------------------------------------------- */

/* Reads the step at `at` and maps its pages; *n is its size. A file cut short
 * is -EFAULT here, and a fault of the process where it is touched. */
static int populate_step(const struct table_map *map, size_t at,
                         const struct io_pace *pace, size_t *n)
{
    uint8_t *from = (uint8_t *)map->at + at;
    size_t left = map->bytes - at;
    *n = left < MAP_STEP ? left : MAP_STEP;
    int rv = io_pace_step(pace, *n);
    if (rv != 0) {
        return rv;
    }
    if (madvise(from, *n, ADVICE_POPULATE_READ) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return -errno;
    }
    /* Before Linux 5.14: into the page cache at least. */
    (void)madvise(from, *n, MADV_WILLNEED);
    return 0;
}

int table_map_prefault(const struct table_map *map, const struct io_pace *pace)
{
    size_t n;
    for (size_t at = 0; at < map->bytes; at += n) {
        int rv = populate_step(map, at, pace, &n);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

static int populate(const struct table_map *map, const struct io_pace *pace,
                    const char *name, struct nb_errctx *err)
{
    int rv = table_map_prefault(map, pace);
    return rv == 0 ? 0
                   : nb_fail(err, rv, "%s: cannot read it into memory: %s",
                             name, nb_strerror(rv));
}

static int lock(const struct table_map *map, const char *name,
                struct nb_errctx *err)
{
    /* The limit is looked at now, pages are locked as they come. */
    if (mlock2(map->at, map->bytes, MLOCK_ONFAULT) == 0) {
        return 0;
    }
    int rv = -errno;
    struct rlimit limit = {0};
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur == RLIM_INFINITY) {
        return nb_fail(err, rv, "%s: cannot lock %zu bytes in memory: %s", name,
                       map->bytes, nb_strerror(rv));
    }
    return nb_fail(err, rv,
                   "%s: cannot lock %zu bytes in memory: %s; the process may "
                   "lock %" PRIu64 " (RLIMIT_MEMLOCK, LimitMEMLOCK=)",
                   name, map->bytes, nb_strerror(rv), (uint64_t)limit.rlim_cur);
}

/* ---- huge pages ------------------------------------------------------ */

/* Anonymous memory that begins and ends with a huge page. */
static void *map_aligned(size_t bytes)
{
    size_t room = bytes + HUGE_PAGE;
    uint8_t *at = mmap(NULL, room, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    size_t before = -(uintptr_t)at & (HUGE_PAGE - 1);
    if (before > 0) {
        munmap(at, before);
    }
    munmap(at + before + bytes, HUGE_PAGE - before);
    return at + before;
}

/* What /proc/self/smaps says of the mapping at `at`; 0 if it does not say. A
 * mapping has a line "BEGIN-END ...", and lines "NAME: VALUE" after it. */
static uint64_t count_huge(const void *at)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    if (smaps == NULL) {
        return 0;
    }
    char line[512];
    bool inside = false;
    uint64_t kib = 0;
    while (fgets(line, sizeof(line), smaps) != NULL) {
        char *end;
        uintptr_t first = strtoull(line, &end, 16);
        if (*end == '-') {
            inside = first <= (uintptr_t)at &&
                     (uintptr_t)at < strtoull(end + 1, NULL, 16);
        } else if (inside && strncmp(line, HUGE_LINE, strlen(HUGE_LINE)) == 0) {
            kib = strtoull(line + strlen(HUGE_LINE), NULL, 10);
            break;
        }
    }
    (void)fclose(smaps);
    return kib * 1024;
}

static int copy_to_huge(struct table_map *map, const struct io_pace *pace,
                        const char *name, struct nb_errctx *err)
{
    struct table_map copy = {
        .bytes = map->bytes, .fd = -1, .residency = RESIDENCY_HUGE};
    size_t bytes = mapped_bytes(&copy);
    copy.at = map_aligned(bytes);
    if (copy.at == NULL) {
        int rv = -errno;
        return nb_fail(err, rv, "%s: no memory for a copy of %zu bytes: %s",
                       name, map->bytes, nb_strerror(rv));
    }
    (void)madvise(copy.at, bytes, MADV_HUGEPAGE);
    size_t n;
    for (size_t at = 0; at < map->bytes; at += n) {
        int rv = populate_step(map, at, pace, &n);
        if (rv != 0) {
            table_map_close(&copy);
            return nb_fail(err, rv, "%s: cannot copy it to memory: %s", name,
                           nb_strerror(rv));
        }
        memcpy((uint8_t *)copy.at + at, (const uint8_t *)map->at + at, n);
    }
    /* Where the first touch found no free huge page, one is made now. */
    (void)madvise(copy.at, bytes, ADVICE_COLLAPSE);
    (void)mprotect(copy.at, bytes, PROT_READ);
    copy.huge_bytes = count_huge(copy.at);
    table_map_close(map);
    *map = copy;
    return 0;
}

/* ---- cold pages ------------------------------------------------------ */

static bool ask(const struct table_map *map, uint64_t offset, size_t page)
{
    char byte;
    unsigned char resident;
    if (map->owned) {
        uint8_t *at = (uint8_t *)map->at + offset / page * page;
        return mincore(at, page, &resident) == 0 && (resident & 1) == 0;
    }
    const struct iovec to = {&byte, 1};
    return map->fd >= 0 &&
           preadv2(map->fd, &to, 1, (off_t)offset, RWF_NOWAIT) < 0 &&
           errno == EAGAIN;
}

bool table_map_is_cold(const struct table_map *map, uint64_t offset,
                       uint16_t look)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint16_t *seen = map->seen != NULL ? &map->seen[offset / page] : NULL;
    uint16_t last = seen != NULL ? __atomic_load_n(seen, __ATOMIC_RELAXED) : 0;
    if (last != 0 && (last == look || last == look - 1)) {
        return false;
    }
    bool cold = ask(map, offset, page);
    if (!cold && seen != NULL) {
        __atomic_store_n(seen, look, __ATOMIC_RELAXED);
    }
    return cold;
}

static void advise_pages(const struct table_map *map, const uint64_t *offsets,
                         size_t n, int advice)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < n; i++) {
        uint8_t *at = (uint8_t *)map->at + offsets[i] / page * page;
        (void)madvise(at, page, advice);
    }
}

void table_map_read(const struct table_map *map, const uint64_t *offsets,
                    size_t n)
{
    advise_pages(map, offsets, n, MADV_WILLNEED);
    advise_pages(map, offsets, n, ADVICE_POPULATE_READ);
}

/* ---- all ------------------------------------------------------------- */

int table_map_reside(struct table_map *map, enum table_residency residency,
                     const struct io_pace *pace, const char *name,
                     struct nb_errctx *err)
{
    int rv = 0;
    switch (residency) {
    case RESIDENCY_MAP:
        break;
    case RESIDENCY_POPULATE:
        rv = populate(map, pace, name, err);
        break;
    case RESIDENCY_LOCK:
        rv = lock(map, name, err);
        rv = rv == 0 ? populate(map, pace, name, err) : rv;
        break;
    case RESIDENCY_HUGE:
        return copy_to_huge(map, pace, name, err);
    }
    if (rv == 0) {
        map->residency = residency;
    }
    return rv;
}
