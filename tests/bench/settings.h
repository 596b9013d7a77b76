/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The options that all benches share:
 *     [--rounds N] [--table-mib N] [--quick | --full] [--json FILE] */
#ifndef NB_TESTS_BENCH_SETTINGS_H
#define NB_TESTS_BENCH_SETTINGS_H

#include <stddef.h>
#include <stdio.h>

struct settings {
    size_t rounds;      /* 1..TIMING_ROUNDS_MAX */
    size_t table_bytes; /* of a table that is to be out of cache */
    FILE *json;         /* a line for each measurement; may be NULL */
};

/* `*settings` holds the defaults. Exits with status 2 on wrong usage. */
void settings_parse(struct settings *settings, int argc, char **argv);

/* Ends the file; exits with status 1 if not all of it was written. */
void settings_close(struct settings *settings);

#endif
