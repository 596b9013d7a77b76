/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The one JSON object that --json prints. */
#ifndef NB_CLI_JSON_LINE_H
#define NB_CLI_JSON_LINE_H

#include <jansson.h>

/* JSON has no NaN and no infinity: those become null. */
json_t *json_number(double value);

/* Text from outside; what is not UTF-8 becomes '?'. */
json_t *json_text(const char *text);

/* Prints the object, takes it over, and returns the exit status of `command`:
 * building an object fails, as a whole, only for lack of memory, NULL. */
int json_line_print(const char *command, json_t *object);

#endif
