/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Numbers and foreign text made fit to read. */
#ifndef NB_CLI_CLI_TEXT_H
#define NB_CLI_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Room for any of these. */
struct cli_text {
    char text[96];
};

/* "2,444" */
struct cli_text text_count(uint64_t count);
/* "1 row", "2,444 rows" */
struct cli_text text_counted(uint64_t count, const char *noun);
/* "86,016 bytes (84.0 KiB)" */
struct cli_text text_bytes(uint64_t bytes);
/* "3 days 2 h", "5 min 2 s", "1.25 s": the two greatest units */
struct cli_text text_duration(double seconds);
/* Rows a second, "1,234 rows/s". */
struct cli_text text_rate(uint64_t rows, double seconds);
/* part of whole, "14.7 %" */
struct cli_text text_percent(double part, double whole);

/* Text from outside with nothing in it that a terminal would obey, cut to fit
 * with "..." */
struct cli_text text_foreign(const char *text);
/* The same on standard output, of any length and whole. */
void text_foreign_print(const char *text);

/* Prints text as one word of a shell that reads it back whole, likewise without
 * anything that a terminal would obey. */
void text_print_word(FILE *to, const char *text);

#endif
