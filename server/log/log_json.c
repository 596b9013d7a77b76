/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/log/log_json.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
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

static bool is_number(const char *value, size_t bytes)
{
    if (bytes == 0 || bytes > NUMBER_DIGITS_MAX ||
        (value[0] == '0' && bytes > 1)) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (!isdigit((unsigned char)value[i])) {
            return false;
        }
    }
    return true;
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

/* Behind the opening quote; returns behind the closing one. */
static const char *put_quoted(struct writer *writer, const char *at)
{
    while (*at != '\0' && *at != '"') {
        unsigned c = (unsigned char)*at++;
        if (c == '\\' && *at == 'x' && hex_byte(at + 1) >= 0) {
            c = (unsigned)hex_byte(at + 1);
            at += 3;
        } else if (c == '\\' && *at != '\0') {
            c = (unsigned char)*at++;
        }
        put_byte(writer, c);
    }
    return *at == '"' ? at + 1 : at;
}

static const char *put_value(struct writer *writer, const char *at)
{
    size_t bytes = strcspn(at, " ");
    if (*at != '"' && is_number(at, bytes)) {
        put(writer, at, bytes);
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
