/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Decimal text to fp32 and double, correctly rounded, as strtof() and strtod()
 * in the C locale. */
#ifndef NB_STORAGE_PARSE_FLOAT_H
#define NB_STORAGE_PARSE_FLOAT_H

#include <locale.h>
#include <stdbool.h>

/*
 * Reads a number from [text, end), where *end is readable and cannot continue a
 * number (a blank or a NUL). Takes what strtof() takes, but no leading blank;
 * beyond the range of fp32 gives Inf or 0. False if the whole is not a number.
 * c_locale: of newlocale(LC_ALL_MASK, "C", 0).
 */
bool parse_float(const char *text, const char *end, locale_t c_locale,
                 float *value);

/* The same of double. */
bool parse_double(const char *text, const char *end, locale_t c_locale,
                  double *value);

#endif
