/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Fields of a line of text, apart by spaces and tabs. */
#ifndef NB_STORAGE_TEXT_FIELDS_H
#define NB_STORAGE_TEXT_FIELDS_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct field {
    const char *text;
    const char *end; /* what stands there cannot continue a number */
};

/* What a walk over the fields looks at; *end is a blank, a line end or NUL. */
struct fields {
    const char *at;
    const char *end;
};

static inline bool is_separator(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next field; false at the end. */
static inline bool field_next(struct fields *fields, struct field *field)
{
    const char *at = fields->at;
    while (at < fields->end && is_separator(*at)) {
        at++;
    }
    field->text = at;
    while (at < fields->end && !is_separator(*at)) {
        at++;
    }
    field->end = at;
    fields->at = at;
    return field->end > field->text;
}

/* Whether the field is an unsigned integer below 2^64. */
bool field_integer(const struct field *field, uint64_t *value);

/* A printable form for messages, cut to fit. */
struct field_shown {
    char text[32];
};
struct field_shown field_show(const struct field *field);

/* What a line without a known number of values holds. */
struct line_shape {
    size_t n_fields;
    size_t n_words; /* fields before the numbers that end the line, >= 1 */
    struct field last_word;
    bool mixed; /* a number stands among the words after the first */
};

/* False if there are no fields. */
bool line_shape(struct fields fields, locale_t c_locale,
                struct line_shape *shape);

#endif
