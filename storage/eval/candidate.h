/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Ways to store a table: a codec, a search where the codec takes one, and what
 * is taken off the columns before. */
#ifndef NB_STORAGE_CANDIDATE_H
#define NB_STORAGE_CANDIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/table/table_reader.h"

struct candidate {
    struct nb_format format;    /* with the scales the codec has by default */
    bool other_scales;          /* whether the codec has the other type too */
    uint32_t search;            /* 0 where there is none */
    const char *codec;          /* name; static storage */
    const char *search_name;    /* likewise; "" where the codec takes none */
    enum table_columns columns; /* never COLUMNS_AUTO */
};

struct candidate_list {
    struct candidate *items; /* owned */
    size_t n;
};

/*
 * Reads a comma list of names for rows of `dim` values: of a codec (with
 * greedy, if it takes a search), of a search (for q4), of both as CODEC/SEARCH,
 * each with "+center" or "+scale" after it for these columns; "all": whatever
 * there is, but for columns where they are no use, with 16 bits a value and
 * more. None stands twice. The caller ends *list with candidate_list_fini().
 * NB_ERR_NOT_FOUND: no such name, *err lists those there are; NB_ERR_NOMEM.
 */
int candidate_list_parse(const char *text, uint32_t dim,
                         struct candidate_list *list, struct nb_errctx *err);

void candidate_list_fini(struct candidate_list *list);

/* q4 by greedy search: what others are held against. */
struct candidate candidate_baseline(uint32_t dim);

/* Takes the candidate's other scales if those it has do not hold the extremes
 * of a source (2 x dim values) as they are, its columns left aside, or if all
 * are so small that fp16 underflows. NB_ERR_OVERFLOW if none hold them. */
int candidate_fit(struct candidate *candidate, const float *extremes);

/* The other type; false if there is none. */
bool candidate_switch_scales(struct candidate *candidate);

/* Name of what is taken off the columns, "none" first; NULL past the end. */
const char *candidate_columns_at(size_t i);

bool candidate_same(const struct candidate *a, const struct candidate *b);

#endif
