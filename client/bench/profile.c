/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/profile.h"

#include <stdio.h>
#include <string.h>

#include "proto/frame.h"

#define BAGS(...)                                                              \
    {                                                                          \
        __VA_ARGS__                                                            \
    }
#define PROFILE(name, method, tables, dim, bags, samples, rows, help)          \
    static const uint32_t name##_bags[] = bags;
#include "client/bench/profiles.def"
#undef PROFILE

static const struct profile profiles[] = {
#define PROFILE(name, method, tables, dim, bags, samples, rows, help)          \
    {#name,       FRAME_METHOD_##method,                                       \
     tables,      dim,                                                         \
     name##_bags, sizeof(name##_bags) / sizeof(name##_bags[0]),                \
     samples,     rows,                                                        \
     help},
#include "client/bench/profiles.def"
#undef PROFILE
};

const struct profile *profile_at(size_t i)
{
    return i < sizeof(profiles) / sizeof(profiles[0]) ? &profiles[i] : NULL;
}

const struct profile *profile_by_name(const char *name)
{
    const struct profile *profile;
    for (size_t i = 0; (profile = profile_at(i)) != NULL; i++) {
        if (strcmp(profile->name, name) == 0) {
            return profile;
        }
    }
    return NULL;
}

const char *profile_name_at(size_t i)
{
    const struct profile *profile = profile_at(i);
    return profile != NULL ? profile->name : NULL;
}

uint32_t profile_bag(const struct profile *profile, size_t table)
{
    return profile->bags[profile->n_bags == 1 ? 0 : table];
}

void profile_table_name(size_t table, char name[PROFILE_TABLE_BYTES])
{
    snprintf(name, PROFILE_TABLE_BYTES, "t%zu", table);
}
