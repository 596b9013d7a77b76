/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/residency.h"

#include <sys/mman.h>
#include <unistd.h>

/* Asked for at a time: the system holds a lock of the address space meanwhile,
 * which page faults want too. */
#define PAGES_AT_A_TIME 16384

uint64_t resident_bytes(const void *base, uint64_t bytes)
{
    unsigned char pages[PAGES_AT_A_TIME];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t skew = (uint64_t)(uintptr_t)base % page;
    const char *at = (const char *)base - skew;
    uint64_t left = (bytes + skew + page - 1) / page;
    uint64_t n_resident = 0;
    while (left > 0) {
        size_t n = left < PAGES_AT_A_TIME ? (size_t)left : PAGES_AT_A_TIME;
        if (mincore((void *)at, n * page, pages) != 0) {
            return 0;
        }
        for (size_t i = 0; i < n; i++) {
            n_resident += pages[i] & 1;
        }
        at += n * page;
        left -= n;
    }
    uint64_t resident = n_resident * page;
    return resident < bytes ? resident : bytes;
}
