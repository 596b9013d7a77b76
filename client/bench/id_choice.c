/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/id_choice.h"

#include <stdbool.h>
#include <string.h>

#include "client/bench/decimal.h"

/* What published traces of recommendation models fit. */
#define ZIPF_DEFAULT 0.9
#define ZIPF_MOST    10.0

static int misused(const char *text, struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_INVALID,
                   "'%.80s' is none of uniform, zipf, zipf:S (S above 0, up to "
                   "10), hot:ROWS:SHARE (both 0 to 1), trace:FILE",
                   text);
}

static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static int parse_zipf(const char *text, const char *s, struct id_choice *choice,
                      struct nb_errctx *err)
{
    if (!decimal_parse(s, strlen(s), &choice->s) || choice->s <= 0 ||
        choice->s > ZIPF_MOST) {
        return misused(text, err);
    }
    choice->kind = ID_ZIPF;
    return 0;
}

static int parse_hot(const char *text, const char *parts,
                     struct id_choice *choice, struct nb_errctx *err)
{
    const char *colon = strchr(parts, ':');
    if (colon == NULL ||
        !decimal_parse(parts, (size_t)(colon - parts), &choice->hot_rows) ||
        !decimal_parse(colon + 1, strlen(colon + 1), &choice->hot_share) ||
        choice->hot_rows > 1 || choice->hot_share > 1) {
        return misused(text, err);
    }
    choice->kind = ID_HOT;
    return 0;
}

int id_choice_parse(const char *text, struct id_choice *choice,
                    const char **path, struct nb_errctx *err)
{
    *choice = (struct id_choice){.kind = ID_UNIFORM, .s = ZIPF_DEFAULT};
    *path = NULL;
    const char *rest;
    if (strcmp(text, "uniform") == 0) {
        return 0;
    }
    if (strcmp(text, "zipf") == 0) {
        choice->kind = ID_ZIPF;
        return 0;
    }
    if ((rest = after(text, "zipf:")) != NULL) {
        return parse_zipf(text, rest, choice, err);
    }
    if ((rest = after(text, "hot:")) != NULL) {
        return parse_hot(text, rest, choice, err);
    }
    if ((rest = after(text, "trace:")) != NULL && *rest != '\0') {
        choice->kind = ID_TRACE;
        *path = rest;
        return 0;
    }
    return misused(text, err);
}

void id_source_init(struct id_source *source, const struct id_choice *choice,
                    uint64_t n_rows, uint64_t seed, size_t first)
{
    *source = (struct id_source){.choice = choice, .n_rows = n_rows};
    scramble_init(&source->scramble, n_rows, seed);
    if (choice->kind == ID_ZIPF) {
        zipf_init(&source->zipf, n_rows, choice->s);
    } else if (choice->kind == ID_HOT) {
        source->n_hot = (uint64_t)((double)n_rows * choice->hot_rows);
        source->n_hot = source->n_hot < 1        ? 1
                        : source->n_hot > n_rows ? n_rows
                                                 : source->n_hot;
    } else if (choice->kind == ID_TRACE) {
        source->next = first % choice->n_trace;
    }
}

static uint64_t next_hot(struct id_source *source, struct random_stream *random)
{
    bool hot = source->n_hot == source->n_rows ||
               random_unit(random) < source->choice->hot_share;
    uint64_t rank =
        hot ? random_below(random, source->n_hot)
            : source->n_hot +
                  random_below(random, source->n_rows - source->n_hot);
    return scramble_at(&source->scramble, rank);
}

uint64_t id_source_next(struct id_source *source, struct random_stream *random)
{
    switch (source->choice->kind) {
    case ID_UNIFORM:
        return random_below(random, source->n_rows);
    case ID_ZIPF:
        return scramble_at(&source->scramble, zipf_rank(&source->zipf, random));
    case ID_HOT:
        return next_hot(source, random);
    case ID_TRACE:
        break;
    }
    uint64_t id = source->choice->trace[source->next++];
    if (source->next == source->choice->n_trace) {
        source->next = 0;
    }
    return id;
}
