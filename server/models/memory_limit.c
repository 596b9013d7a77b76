/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/memory_limit.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define GROUP_LINE "0::" /* of v2, before the path */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A number, or "max". */
static uint64_t read_limit(const char *directory, const char *name)
{
    char path[2 * PATH_MAX + 16];
    char line[32];
    char *end;
    uint64_t limit = UINT64_MAX;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return limit; /* the root group has none */
    }
    if (fgets(line, sizeof(line), file) != NULL) {
        uint64_t read = strtoull(line, &end, 10);
        limit = end != line ? read : limit;
    }
    (void)fclose(file);
    return limit;
}

/* Of the group at `path` below `root`, and those above it. */
static uint64_t least_above(const char *root, const char *path)
{
    char directory[2 * PATH_MAX];
    uint64_t limit = UINT64_MAX;
    size_t top = strlen(root);
    if (top >= PATH_MAX || strlen(path) >= PATH_MAX) {
        return limit;
    }
    snprintf(directory, sizeof(directory), "%s%s", root, path);
    for (;;) {
        limit = least(limit, read_limit(directory, "memory.max"));
        limit = least(limit, read_limit(directory, "memory.high"));
        char *name = strrchr(directory + top, '/');
        if (name == NULL) {
            return limit;
        }
        *name = '\0';
    }
}

uint64_t memory_limit_of_groups(const char *groups, const char *root)
{
    char line[PATH_MAX + sizeof(GROUP_LINE) + 1];
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen(groups, "re");
    if (file == NULL) {
        return limit;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, GROUP_LINE, strlen(GROUP_LINE)) == 0) {
            line[strcspn(line, "\n")] = '\0';
            limit = least_above(root, line + strlen(GROUP_LINE));
        }
    }
    (void)fclose(file);
    return limit;
}

uint64_t memory_limit(const char *groups, const char *root)
{
    uint64_t limit =
        least(uv_get_total_memory(), memory_limit_of_groups(groups, root));
    /* libuv knows groups of v1 only, before 1.45. 0: none. */
    uint64_t constrained = uv_get_constrained_memory();
    return constrained != 0 ? least(limit, constrained) : limit;
}
