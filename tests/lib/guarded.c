/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/guarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

struct guarded guarded_create(size_t bytes)
{
    size_t page = page_bytes();
    size_t inner = (bytes + page - 1) / page * page;
    uint8_t *all = mmap(NULL, inner + 2 * page, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED ||
        mprotect(all + page, inner, PROT_READ | PROT_WRITE) != 0) {
        perror("guarded_create");
        abort();
    }
    return (struct guarded){all + page, all + page + inner};
}

void guarded_destroy(struct guarded *guarded)
{
    size_t page = page_bytes();
    munmap(guarded->start - page,
           (size_t)(guarded->end - guarded->start) + 2 * page);
}
