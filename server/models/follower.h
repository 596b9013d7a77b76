/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Follows a repository: finds the version of each model that is to be served,
 * loads it beside the others, and has it take their place. All of it happens on
 * a thread of its own, at --reload-rate. Not at a low priority: loops wait for
 * it where both take the lock of the address space.
 *
 * A version is loaded, then verified and read into memory, then known to every
 * loop (a request may ask for it), and only then served: a version that some
 * reply has named is loaded on every loop. The one served before stays loaded,
 * up to --keep-loaded. Whatever fails leaves everything as it was, and is told
 * in the catalog and the log.
 */
#ifndef NB_SERVER_FOLLOWER_H
#define NB_SERVER_FOLLOWER_H

#include "quant/nibble.h"
#include "server/models/catalog.h"
#include "server/settings/options.h"
#include "server/models/reaper.h"

struct follower;

/* Has every loop answer from `catalog`, and returns when each does. On the
 * follower's thread. */
typedef void follower_apply_fn(void *arg, struct catalog *catalog);

/*
 * Loads what --repo holds, here and at full speed. A model that --model names
 * must load: of several that do not, the last is the error, and the others are
 * logged. Of a repository that is served whole, models that do not are logged
 * and may load later, and there may be none yet. Versions that are given
 * up are freed by `reaper`. Errors of model_repo_models() and of loading.
 */
int follower_create(const struct options *options, unsigned n_loops,
                    struct reaper *reaper, struct follower **follower,
                    struct nb_errctx *err);

/* Any thread: what is served now; the caller gets a reference. */
struct catalog *follower_catalog(struct follower *follower);

/* Starts the thread. -errno. */
int follower_start(struct follower *follower, follower_apply_fn *apply,
                   void *arg);

/* Any thread: the repository has changed, look at it. */
void follower_look(struct follower *follower);
/* Any thread: the same, and try again at once what has failed. */
void follower_request(struct follower *follower);

/* Ends the thread, if it was started, in the middle of what it does; apply()
 * is not called any more. */
void follower_stop(struct follower *follower);

/* After follower_stop(); NULL is allowed. */
void follower_destroy(struct follower *follower);

#endif
