/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests whose rows are on disk only. Touching them would stop the loop for
 * all of its connections, so such a request is put off: its pages are read by
 * libuv's threads, then it is answered as if it had come now.
 *
 * To look for such a page takes a call of the system, which is done only while
 * there is reason to, for COLD_PROBE_NS each: from the start, with a version
 * that was not read to memory before it is served (--keep-memory has no room
 * for it), after a page was found, and after a turn of the loop that was long
 * and stopped for the disk. A page that was in memory is not asked for again
 * for once to twice as long as that, or until a loop stops for the disk.
 * So the first request after a long time with everything in memory may stop
 * its loop; others, of other loops, go on. Not with every version: asking of
 * each page again, while what is old is unmapped, stops loops too.
 */
#ifndef NB_SERVER_COLD_READ_H
#define NB_SERVER_COLD_READ_H

#include <stdint.h>

#include "server/request/call.h"
#include "server/request/feature.h"

#define COLD_PAGES_MAX 4096u /* read at a time */
#define COLD_READS_MAX 8u    /* times that a request is put off */
#define COLD_PROBE_NS  UINT64_C(10000000000)
#define COLD_STALL_NS  UINT64_C(1000000) /* a turn to look at more closely */

struct cold_read;

/* Where a loop finds pages. */
struct cold_pages {
    size_t n;
    uint64_t offsets[COLD_PAGES_MAX];
    const struct table *of[COLD_PAGES_MAX]; /* each is a page of */
};

/* Are requests looked at? */
bool cold_read_is_probing(struct service *service);

/* Puts the call off, if it must be: -1, and call->cold is the caller's. */
int cold_read_find(struct call *call, struct table_set *tables,
                   const struct feature *features, size_t n);

/* Begins reading; cold_read_fn is called on the loop when the pages are there,
 * unless cold_read_forget() was. Takes the read over. False: it cannot be, and
 * the read is destroyed. */
typedef void cold_read_fn(void *arg);
bool cold_read_start(struct service *service, struct cold_read *read,
                     cold_read_fn *done, void *arg);
void cold_read_forget(struct cold_read *read);

/* One that was not begun; NULL is allowed. */
void cold_read_destroy(struct cold_read *read);

/* The loop's turn took so long: did it wait for the disk? */
void cold_read_check_turn(struct service *service, uint64_t turn_ns);

#endif
