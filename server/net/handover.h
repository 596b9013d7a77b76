/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Accepted connections on their way to the loop that is to serve them. */
#ifndef NB_SERVER_HANDOVER_H
#define NB_SERVER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOVER_MAX 64

struct accepted {
    int fd;
    bool is_unix;
    uint64_t n_before; /* connections open before it, over all loops */
};

/* All zeros: none. In a loop, and guarded by its lock. */
struct handover {
    struct accepted of[HANDOVER_MAX];
    size_t n;
};

struct loop;

/* Gives what the loop accepted to the one that has fewest connections. False:
 * that is this loop, or there is no place for it, or it is one more than there
 * may be, which holds a descriptor for as short as can be. Called without a
 * lock. */
bool handover_give(struct loop *loop, const struct accepted *accepted);

/* Closes one that the loop does not serve after all. */
void handover_drop(struct loop *loop, const struct accepted *accepted);

/* One of them, in any order; false: there is none. Under the lock. */
bool handover_take(struct handover *handover, struct accepted *accepted);

#endif
