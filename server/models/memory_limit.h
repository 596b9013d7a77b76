/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How much memory the process may have. */
#ifndef NB_SERVER_MEMORY_LIMIT_H
#define NB_SERVER_MEMORY_LIMIT_H

#include <stdint.h>

/* Where the kernel tells of the control groups of the process, and where they
 * are mounted. */
#define MEMORY_GROUPS      "/proc/self/cgroup"
#define MEMORY_GROUPS_ROOT "/sys/fs/cgroup"

/* The least of what the machine has and what memory_limit_of_groups() and
 * control groups of v1 allow. */
uint64_t memory_limit(const char *groups, const char *root);

/* What control groups (v2) allow, the least of memory.max and memory.high of
 * the process' group, which the file `groups` names, and of those above it, up
 * to `root`. UINT64_MAX: there is no limit, or none can be read. */
uint64_t memory_limit_of_groups(const char *groups, const char *root);

#endif
