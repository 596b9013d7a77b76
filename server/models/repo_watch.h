/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tells when a version or a pin may have come to a repository, or gone. Not of
 * every file system: whoever needs to know also looks now and then. */
#ifndef NB_SERVER_REPO_WATCH_H
#define NB_SERVER_REPO_WATCH_H

#include <stdbool.h>
#include <uv.h>

struct repo_watch;

/* On the thread of the loop. */
typedef void repo_watch_cb(void *arg);

/* Watches the directory `repo` and those of its models; `repo` is borrowed.
 * What cannot be watched is not. NB_ERR_NOMEM. */
int repo_watch_open(uv_loop_t *loop, const char *repo, repo_watch_cb *changed,
                    void *arg, struct repo_watch **watch);

/* The memory goes once the loop has run. NULL is allowed. */
void repo_watch_close(struct repo_watch *watch);

#endif
