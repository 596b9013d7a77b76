/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/log/log_json.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Digits that every reader of JSON keeps exactly, as a double. */
#define NUMBER_DIGITS_MAX 15

struct writer {
    char *to;
    size_t n;
    size_t room; /* for fields: less than the whole by the closing brace */
    bool full;
};

static void put(struct writer *writer, const char *text, size_t bytes)
{
    if (writer->full || bytes > writer->room - writer->n) {
        writer->full = true;
        return;
    }
    memcpy(writer->to + writer->n, text, bytes);
    writer->n += bytes;
}

static size_t count_digits(const char *text, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && isdigit((unsigned char)text[n])) {
        n++;
    }
    return n;
}

size_t log_json_number(const char *value, size_t bytes)
{
    size_t digits = count_digits(value, bytes);
    size_t n = digits; /* of the number */
    if (digits == 0 || (value[0] == '0' && digits > 1)) {
        return 0;
    }
    if (n < bytes && value[n] == '.') {
        size_t decimals = count_digits(value + n + 1, bytes - n - 1);
        if (decimals == 0) {
            return 0;
        }
        digits += decimals;
        n += 1 + decimals;
    }
    bool seconds = n + 1 == bytes && value[n] == 's';
    return digits <= NUMBER_DIGITS_MAX && (n == bytes || seconds) ? n : 0;
}

/* The value of two hexadecimal digits; -1 if they are none. */
static int hex_byte(const char *digits)
{
    int value = 0;
    for (int i = 0; i < 2; i++) {
        if (!isxdigit((unsigned char)digits[i])) {
            return -1;
        }
        int c = tolower((unsigned char)digits[i]);
        value = value * 16 + (isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return value;
}

static void put_byte(struct writer *writer, unsigned c)
{
    char text[8];
    int n;
    if (c == '"' || c == '\\') {
        n = snprintf(text, sizeof(text), "\\%c", (char)c);
    } else if (c < 0x20 || c >= 0x7f) {
        n = snprintf(text, sizeof(text), "\\u%04x", c);
    } else {
        n = snprintf(text, sizeof(text), "%c", (char)c);
    }
    put(writer, text, (size_t)n);
}

/* The byte that stands at `*at` of a quoted value, which goes behind it; -1 at
 * the value's end. */
static int quoted_byte(const char **at)
{
    const char *from = *at;
    if (*from == '\0' || *from == '"') {
        return -1;
    }
    if (from[0] == '\\' && from[1] == 'x' && hex_byte(from + 2) >= 0) {
        *at += 4;
        return hex_byte(from + 2);
    }
    from += from[0] == '\\' && from[1] != '\0' ? 1 : 0;
    *at = from + 1;
    return (unsigned char)*from;
}

/* The least that goes through of 2, 3 and 4 bytes: no more bytes than it takes,
 * and no control character, which a terminal would obey. */
static const uint32_t least_of_bytes[] = {0xa0, 0x800, 0x10000};

/* A character of more than a byte, `first` and what stands at `*at`, goes
 * through as it is; false, and nothing is done, if that is no UTF-8. */
static bool put_character(struct writer *writer, unsigned first,
                          const char **at)
{
    size_t n = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1; /* bytes more */
    char text[4] = {(char)first};
    const char *behind = *at;
    if (first < 0xc2 || first > 0xf4) {
        return false;
    }
    uint32_t point = first & (0x3fu >> n);
    for (size_t i = 1; i <= n; i++) {
        int c = quoted_byte(&behind);
        if (c < 0x80 || c > 0xbf) {
            return false;
        }
        text[i] = (char)c;
        point = point << 6 | ((uint32_t)c & 0x3f);
    }
    if (point < least_of_bytes[n - 1] || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff)) {
        return false;
    }
    put(writer, text, n + 1);
    *at = behind;
    return true;
}

/* Behind the opening quote; returns behind the closing one. Bytes that are no
 * UTF-8 become the characters of their numbers. */
static const char *put_quoted(struct writer *writer, const char *at)
{
    int c;
    while ((c = quoted_byte(&at)) >= 0) {
        if (c < 0x80 || !put_character(writer, (unsigned)c, &at)) {
            put_byte(writer, (unsigned)c);
        }
    }
    return *at == '"' ? at + 1 : at;
}

static const char *put_value(struct writer *writer, const char *at)
{
    size_t bytes = strcspn(at, " ");
    size_t number = log_json_number(at, bytes);
    if (number > 0) {
        put(writer, at, number);
        return at + bytes;
    }
    put(writer, "\"", 1);
    if (*at == '"') {
        at = put_quoted(writer, at + 1);
    } else {
        for (; *at != '\0' && *at != ' '; at++) {
            put_byte(writer, (unsigned char)*at);
        }
    }
    put(writer, "\"", 1);
    return at;
}

/* One `key=value`, whole or not at all; returns behind it. */
static const char *put_field(struct writer *writer, const char *at)
{
    size_t before = writer->n;
    size_t key = strcspn(at, "= ");
    put(writer, before > 1 ? ",\"" : "\"", before > 1 ? 2 : 1);
    for (size_t i = 0; i < key; i++) {
        put_byte(writer, (unsigned char)at[i]);
    }
    put(writer, "\":", 2);
    at += key;
    at = put_value(writer, *at == '=' ? at + 1 : at);
    if (writer->full) {
        writer->n = before;
        writer->full = false;
    }
    return at;
}

size_t log_to_json(const char *line, char *to, size_t bytes)
{
    assert(bytes >= 16);
    struct writer writer = {.to = to, .room = bytes - 2};
    put(&writer, "{", 1);
    line += strspn(line, " ");
    while (*line != '\0') {
        line = put_field(&writer, line);
        line += strspn(line, " ");
    }
    to[writer.n++] = '}';
    to[writer.n] = '\0';
    return writer.n;
}
