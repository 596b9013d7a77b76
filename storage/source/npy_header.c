/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/npy_header.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/checked.h"

#define AXES_MAX 64u /* more than NumPy has */

enum {
    KEY_DESCR = 1,
    KEY_ORDER = 2,
    KEY_SHAPE = 4,
    KEY_ALL = 7
};

/* A cursor in the text, and what was found. */
struct parser {
    const char *at; /* the text ends with a NUL, which no rule accepts */
    const char *start;
    const char *name;
    struct nb_errctx *err;
    unsigned keys; /* KEY_* seen */
    struct npy_header *header;
};

static int malformed(const struct parser *parser, const char *expected)
{
    return nb_fail(parser->err, NB_ERR_SOURCE,
                   "%s: .npy header, character %td: expected %s", parser->name,
                   parser->at - parser->start, expected);
}

static void skip_space(struct parser *parser)
{
    while (*parser->at == ' ' || *parser->at == '\n' || *parser->at == '\t' ||
           *parser->at == '\r') {
        parser->at++;
    }
}

/* Takes `c`, and white space around it, if it comes next. */
static bool take(struct parser *parser, char c)
{
    skip_space(parser);
    if (*parser->at != c) {
        return false;
    }
    parser->at++;
    skip_space(parser);
    return true;
}

/* A quoted string without escapes. */
static int take_quoted(struct parser *parser, char string[NPY_DESCR_MAX + 1])
{
    skip_space(parser);
    char quote = *parser->at;
    if (quote != '\'' && quote != '"') {
        return malformed(parser, "a string");
    }
    const char *from = parser->at + 1;
    size_t n = strcspn(from, quote == '\'' ? "'\\" : "\"\\");
    if (from[n] != quote || n > NPY_DESCR_MAX) {
        return malformed(parser, "a short string");
    }
    memcpy(string, from, n);
    string[n] = '\0';
    parser->at = from + n + 1;
    return 0;
}

/* Skips a list, strings inside it included: only its presence matters. */
static int skip_list(struct parser *parser)
{
    unsigned depth = 0;
    do {
        char c = *parser->at;
        if (c == '\'' || c == '"') {
            const char *end = strchr(parser->at + 1, c);
            parser->at = end != NULL ? end : parser->at + strlen(parser->at);
            c = *parser->at;
        }
        if (c == '\0') {
            return malformed(parser, "the end of a list");
        }
        depth += c == '[' || c == '(';
        depth -= c == ']' || c == ')';
        parser->at++;
    } while (depth > 0);
    return 0;
}

static int parse_descr(struct parser *parser)
{
    if (*parser->at == '[') {
        parser->header->descr[0] = '\0';
        return skip_list(parser);
    }
    return take_quoted(parser, parser->header->descr);
}

static int parse_order(struct parser *parser)
{
    if (strncmp(parser->at, "True", 4) == 0) {
        parser->header->fortran_order = true;
        parser->at += 4;
        return 0;
    }
    if (strncmp(parser->at, "False", 5) == 0) {
        parser->header->fortran_order = false;
        parser->at += 5;
        return 0;
    }
    return malformed(parser, "True or False");
}

static int parse_axis(struct parser *parser, uint64_t *axis)
{
    if (*parser->at < '0' || *parser->at > '9') {
        return malformed(parser, "a length");
    }
    uint64_t value = 0;
    for (; *parser->at >= '0' && *parser->at <= '9'; parser->at++) {
        if (!checked_mul(value, 10, &value) ||
            !checked_add(value, (uint64_t)(*parser->at - '0'), &value)) {
            return malformed(parser, "a length below 2^64");
        }
    }
    if (*parser->at == 'L') { /* Python 2 wrote long integers so */
        parser->at++;
    }
    *axis = value;
    return 0;
}

static int parse_shape(struct parser *parser)
{
    if (!take(parser, '(')) {
        return malformed(parser, "'('");
    }
    parser->header->n_axes = 0;
    while (!take(parser, ')')) {
        uint64_t axis = 0;
        int rv = parse_axis(parser, &axis);
        if (rv != 0) {
            return rv;
        }
        if (parser->header->n_axes < 2) {
            parser->header->axes[parser->header->n_axes] = axis;
        }
        if (++parser->header->n_axes > AXES_MAX) {
            return malformed(parser, "fewer axes");
        }
        if (!take(parser, ',') && *parser->at != ')') {
            return malformed(parser, "',' or ')'");
        }
    }
    return 0;
}

static int parse_member(struct parser *parser)
{
    static const struct {
        const char *key;
        unsigned bit;
        int (*parse)(struct parser *parser);
    } members[] = {
        {"descr", KEY_DESCR, parse_descr},
        {"fortran_order", KEY_ORDER, parse_order},
        {"shape", KEY_SHAPE, parse_shape},
    };
    char key[NPY_DESCR_MAX + 1];
    int rv = take_quoted(parser, key);
    if (rv != 0) {
        return rv;
    }
    if (!take(parser, ':')) {
        return malformed(parser, "':'");
    }
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (strcmp(key, members[i].key) == 0 &&
            (parser->keys & members[i].bit) == 0) {
            parser->keys |= members[i].bit;
            return members[i].parse(parser);
        }
    }
    return malformed(parser, "descr, fortran_order and shape, once each");
}

static int parse_dict(struct parser *parser, size_t n)
{
    if (!take(parser, '{')) {
        return malformed(parser, "'{'");
    }
    while (!take(parser, '}')) {
        int rv = parse_member(parser);
        if (rv != 0) {
            return rv;
        }
        skip_space(parser);
        if (!take(parser, ',') && *parser->at != '}') {
            return malformed(parser, "',' or '}'");
        }
    }
    if (parser->at != parser->start + n) {
        return malformed(parser, "nothing after '}'");
    }
    if (parser->keys != KEY_ALL) {
        return malformed(parser, "descr, fortran_order and shape");
    }
    return 0;
}

int npy_header_parse(const char *text, size_t n, const char *name,
                     struct npy_header *header, struct nb_errctx *err)
{
    struct parser parser = {
        .at = text, .start = text, .name = name, .header = header, .err = err};
    *header = (struct npy_header){0};
    return parse_dict(&parser, n);
}

void npy_header_write(const char *descr, uint64_t n_rows, uint64_t n_columns,
                      uint8_t bytes[NPY_WRITTEN_BYTES])
{
    char *text = (char *)bytes + NPY_PREFIX_V1;
    size_t room = NPY_WRITTEN_BYTES - NPY_PREFIX_V1;
    memcpy(bytes, NPY_MAGIC, NPY_MAGIC_BYTES);
    bytes[NPY_MAGIC_BYTES] = 1; /* version 1.0 */
    bytes[NPY_MAGIC_BYTES + 1] = 0;
    put_u16(bytes + NPY_LENGTH, (uint16_t)room);
    char columns[24] = "";
    if (n_columns > 0) {
        snprintf(columns, sizeof(columns), " %" PRIu64, n_columns);
    }
    /* At most 55 + 3 + 2 * 20 characters: it always fits. */
    int n = snprintf(text, room,
                     "{'descr': '%s', 'fortran_order': False, "
                     "'shape': (%" PRIu64 ",%s), }",
                     descr, n_rows, columns);
    assert(n > 0 && (size_t)n < room);
    memset(text + n, ' ', room - (size_t)n);
    text[room - 1] = '\n';
}
