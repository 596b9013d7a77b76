/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How much memory the process may have. */
#ifndef NB_SERVER_MEMORY_LIMIT_H
#define NB_SERVER_MEMORY_LIMIT_H

#include <stdint.h>

/* That of the machine, or what a control group of the process allows. */
uint64_t memory_limit(void);

/* What control groups (v2) allow, the least of memory.max and memory.high of
 * the process' group and those above it: `groups` is /proc/self/cgroup, `root`
 * where they are mounted. UINT64_MAX: there is no limit, or none can be read.
 */
uint64_t memory_limit_of_groups(const char *groups, const char *root);

#endif
