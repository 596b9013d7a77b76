/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/settings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/timing.h"

static bool parse_number(const char *text, size_t max, size_t *number)
{
    char *end;
    *number = strtoul(text, &end, 10);
    return *text != '\0' && *end == '\0' && *number >= 1 && *number <= max;
}

/* One option and its value; how many words that were, 0 for a bad one. */
static int parse_option(struct settings *settings, const char *name,
                        const char *value)
{
    size_t mib;
    if (strcmp(name, "--full") == 0) {
        settings->table_bytes = (size_t)4 << 30;
        settings->rounds = 15;
        return 1;
    }
    if (strcmp(name, "--quick") == 0) {
        settings->table_bytes = (size_t)64 << 20;
        settings->rounds = 3;
        return 1;
    }
    if (value == NULL) {
        return 0;
    }
    if (strcmp(name, "--rounds") == 0) {
        return parse_number(value, TIMING_ROUNDS_MAX, &settings->rounds) ? 2
                                                                         : 0;
    }
    if (strcmp(name, "--table-mib") == 0 &&
        parse_number(value, 1u << 16, &mib)) {
        settings->table_bytes = mib << 20;
        return 2;
    }
    if (strcmp(name, "--json") == 0) {
        settings->json = fopen(value, "w");
        if (settings->json == NULL) {
            perror(value);
        }
        return settings->json != NULL ? 2 : 0;
    }
    return 0;
}

void settings_parse(struct settings *settings, int argc, char **argv)
{
    for (int i = 1; i < argc;) {
        int words =
            parse_option(settings, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (words == 0) {
            fprintf(stderr,
                    "%s [--rounds 1..%d] [--table-mib N] [--quick | --full] "
                    "[--json FILE]\n  --quick: tables of 64 MiB, 3 rounds\n"
                    "  --full: tables of 4,096 MiB, 15 rounds\n",
                    argv[0], TIMING_ROUNDS_MAX);
            exit(2); /* NOLINT(concurrency-mt-unsafe): no threads yet */
        }
        i += words;
    }
}

void settings_close(struct settings *settings)
{
    if (settings->json != NULL && fclose(settings->json) != 0) {
        perror("--json");
        exit(1); /* NOLINT(concurrency-mt-unsafe): no threads any more */
    }
}
