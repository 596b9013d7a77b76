/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The one JSON object that --json prints. */
#ifndef NB_CLI_JSON_LINE_H
#define NB_CLI_JSON_LINE_H

#include <stdint.h>

#include <jansson.h>

/* JSON has no NaN and no infinity: those become null. */
json_t *json_number(double value);

/* Integers of JSON libraries are often signed: what is above goes as text. */
json_t *json_count(uint64_t count);

/* Text from outside; what is not UTF-8 becomes '?'. */
json_t *json_text(const char *text);

/*
 * Add a value, taking it over. If there is no memory, or the value is NULL
 * because there was none for it, *object or *array is freed and set to NULL,
 * and stays so: one check at the end is enough.
 */
void json_put(json_t **object, const char *key, json_t *value);
void json_append(json_t **array, json_t *value);

/* Prints the object and takes it over; NULL stands for no memory. Returns the
 * exit status of `command`. */
int json_line_print(const char *command, json_t *object);

#endif
