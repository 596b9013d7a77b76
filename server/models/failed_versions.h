/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Versions that did not load, and when to try each again: reading a broken one
 * to its last byte at every look would cost what a load costs. One thread. */
#ifndef NB_SERVER_FAILED_VERSIONS_H
#define NB_SERVER_FAILED_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/repo/model_version.h"

/* The first wait, and the longest: each is twice the one before. */
#define FAILED_WAIT_MIN_NS UINT64_C(10000000000)
#define FAILED_WAIT_MAX_NS UINT64_C(600000000000)

struct failed_version;

struct failed_versions {
    struct failed_version *first; /* a list, owned */
};

/* Forgets all, so that each may be tried at once. Zeroed memory is empty; the
 * caller ends it so. */
void failed_versions_clear(struct failed_versions *failed);

/* Notes that it failed, now. False: there is no memory for that. */
bool failed_versions_add(struct failed_versions *failed, const char *model,
                         uint64_t version, const struct version_id *id,
                         uint64_t now_ns);

/* Is it too early to try that again? Not of another one under the same
 * number. */
bool failed_versions_wait(struct failed_versions *failed, const char *model,
                          uint64_t version, const struct version_id *id,
                          uint64_t now_ns);

/* When the next may be tried; UINT64_MAX: there is none. */
uint64_t failed_versions_next(const struct failed_versions *failed);

/* Forgets those that were neither added nor asked for since the last call. */
void failed_versions_sweep(struct failed_versions *failed);

#endif
