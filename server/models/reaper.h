/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A thread that frees what takes long to free: unmapping a version of some GiB
 * is milliseconds in which a loop would answer nobody. */
#ifndef NB_SERVER_REAPER_H
#define NB_SERVER_REAPER_H

struct reaper;

/* Part of what is to be freed, so that giving it up takes no memory. */
struct reaper_item {
    struct reaper_item *next;
    void (*free)(struct reaper_item *item);
};

/* Starts the thread. -errno, NB_ERR_NOMEM. */
int reaper_create(struct reaper **reaper);

/* Any thread. Takes the item over and calls item->free(item) soon. */
void reaper_take(struct reaper *reaper, struct reaper_item *item);

/* Once nobody gives it anything any more: frees what is left and ends the
 * thread. NULL is allowed. */
void reaper_destroy(struct reaper *reaper);

#endif
