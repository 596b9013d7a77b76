/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Long reading of files, as told to whoever paces it. */
#ifndef NB_STORAGE_IO_PACE_H
#define NB_STORAGE_IO_PACE_H

#include <stddef.h>
#include <stdint.h>

/* step() is called before so many bytes are read: it may wait, and what it
 * returns but 0 ends the reading with that error. NULL: nobody does. */
struct io_pace {
    int (*step)(void *arg, uint64_t bytes);
    void *arg;
};

static inline int io_pace_step(const struct io_pace *pace, uint64_t bytes)
{
    return pace != NULL ? pace->step(pace->arg, bytes) : 0;
}

#endif
