/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/text_fields.h"

#include "quant/checked.h"
#include "storage/source/parse_float.h"

bool field_integer(const struct field *field, uint64_t *value)
{
    uint64_t sum = 0;
    for (const char *at = field->text; at < field->end; at++) {
        if (*at < '0' || *at > '9' || !checked_mul(sum, 10, &sum) ||
            !checked_add(sum, (uint64_t)(*at - '0'), &sum)) {
            return false;
        }
    }
    *value = sum;
    return field->end > field->text;
}

struct field_shown field_show(const struct field *field)
{
    struct field_shown shown;
    size_t n = 0;
    for (const char *at = field->text;
         at < field->end && n + 1 < sizeof(shown.text); at++) {
        char printable = '?';
        if (*at > ' ' && *at <= '~') {
            printable = *at;
        }
        shown.text[n++] = printable;
    }
    shown.text[n] = '\0';
    return shown;
}

bool line_shape(struct fields fields, locale_t c_locale,
                struct line_shape *shape)
{
    *shape = (struct line_shape){0};
    struct field field;
    bool number_seen = false; /* after the first field */
    while (field_next(&fields, &field)) {
        float value;
        bool number = shape->n_fields > 0 &&
                      parse_float(field.text, field.end, c_locale, &value);
        shape->n_fields++;
        if (number) {
            number_seen = true;
        } else {
            shape->n_words = shape->n_fields;
            shape->last_word = field;
            shape->mixed = number_seen;
        }
    }
    return shape->n_fields > 0;
}
