/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A line of the log as a JSON object. */
#ifndef NB_SERVER_LOG_JSON_H
#define NB_SERVER_LOG_JSON_H

#include <stddef.h>

/*
 * Turns `line`, blank-separated `key=value` with values bare or as log_quote()
 * quotes them, into an object on one line, without its end. Bare
 * numbers and seconds, such as 12, 0.5 and 0.001216s, become numbers,
 * everything else strings: UTF-8 as it is, bytes that
 * are none as the characters U+0080 to U+00FF. Fields for which there is no
 * room are left out. Returns the length; `bytes` is 16 at least.
 */
size_t log_to_json(const char *line, char *to, size_t bytes);

/* How much of a bare value is its number: all, or all but the `s` of seconds;
 * 0: the value is none. */
size_t log_json_number(const char *value, size_t bytes);

#endif
