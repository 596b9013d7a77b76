/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/candidate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE_CODEC  "q4"
#define BASE_SEARCH "greedy"

/* ---- one ----------------------------------------------------------------- */

/* A codec and a search by name; search NULL: none given. */
static int make(const char *codec, const char *search, uint32_t dim,
                struct candidate *candidate)
{
    struct candidate made = {.format = {.dim = dim}};
    int rv = nb_codec_by_name(codec, &made.format.codec);
    if (rv != 0) {
        return rv;
    }
    struct nb_codec_traits traits;
    rv = nb_codec_traits(made.format.codec, &traits);
    if (rv != 0) {
        return rv;
    }
    made.format.scales = traits.scales;
    made.other_scales = traits.other_scales;
    made.codec = nb_codec_name(made.format.codec);
    made.search_name = "";
    if (!traits.searched && search != NULL) {
        return NB_ERR_NOT_FOUND;
    }
    if (traits.searched) {
        rv = nb_search_by_name(search != NULL ? search : BASE_SEARCH,
                               &made.search);
        if (rv != 0) {
            return rv;
        }
        made.search_name = nb_search_name(made.search);
    }
    *candidate = made;
    return 0;
}

struct candidate candidate_baseline(uint32_t dim)
{
    struct candidate candidate = {0};
    (void)make(BASE_CODEC, BASE_SEARCH, dim, &candidate); /* both exist */
    return candidate;
}

bool candidate_switch_scales(struct candidate *candidate)
{
    if (!candidate->other_scales) {
        return false;
    }
    candidate->format.scales = candidate->format.scales == NB_SCALES_FP16
                                   ? NB_SCALES_FP32
                                   : NB_SCALES_FP16;
    return true;
}

/* Below it fp16 has fewer than its 11 bits. */
#define HALF_LEAST 0x1p-14f

/* Whether fp16 scales hold next to nothing of rows as small as these. With
 * scaled columns rows are not small. */
static bool underflows(const struct candidate *candidate, const float *extremes)
{
    float greatest = 0;
    for (size_t i = 0; i < 2 * (size_t)candidate->format.dim; i++) {
        greatest = fmaxf(greatest, fabsf(extremes[i]));
    }
    return candidate->format.scales == NB_SCALES_FP16 &&
           candidate->columns != COLUMNS_SCALE && greatest > 0 &&
           greatest < HALF_LEAST;
}

int candidate_fit(struct candidate *candidate, const float *extremes)
{
    struct candidate other = *candidate;
    size_t at;
    int rv = nb_check_values(&candidate->format, NULL, extremes, 2, &at);
    bool underflow = rv == 0 && underflows(candidate, extremes);
    if ((underflow || rv == NB_ERR_OVERFLOW) &&
        candidate_switch_scales(&other)) {
        rv = nb_check_values(&other.format, NULL, extremes, 2, &at);
        if (rv == 0) {
            *candidate = other;
        }
    }
    return rv;
}

const char *candidate_columns_at(size_t i)
{
    static const char *const names[] = {[COLUMNS_NONE] = "none",
                                        [COLUMNS_CENTER] = "center",
                                        [COLUMNS_SCALE] = "scale"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

bool candidate_same(const struct candidate *a, const struct candidate *b)
{
    return a->format.codec == b->format.codec && a->columns == b->columns &&
           strcmp(a->search_name, b->search_name) == 0;
}

/* ---- a list -------------------------------------------------------------- */

static int append(struct candidate_list *list,
                  const struct candidate *candidate)
{
    for (size_t i = 0; i < list->n; i++) {
        if (candidate_same(&list->items[i], candidate)) {
            return 0;
        }
    }
    struct candidate *items =
        reallocarray(list->items, list->n + 1, sizeof(*items));
    if (items == NULL) {
        return NB_ERR_NOMEM;
    }
    items[list->n++] = *candidate;
    list->items = items;
    return 0;
}

/* With its columns as they are, and in every other way if that is of use. */
static int append_columns(struct candidate_list *list,
                          const struct candidate *candidate)
{
    struct candidate variant = *candidate;
    size_t row_bytes;
    int rv = nb_row_bytes(&candidate->format, &row_bytes);
    size_t n =
        row_bytes < (size_t)2 * candidate->format.dim ? COLUMNS_SCALE : 0;
    for (size_t i = COLUMNS_NONE; rv == 0 && i <= n; i++) {
        variant.columns = (enum table_columns)i;
        rv = append(list, &variant);
    }
    return rv;
}

/* A codec with each of its searches, or as it is. */
static int append_codec(struct candidate_list *list, const char *codec,
                        uint32_t dim)
{
    struct candidate candidate;
    int rv = make(codec, NULL, dim, &candidate);
    if (rv == 0 && candidate.search_name[0] == '\0') {
        return append_columns(list, &candidate);
    }
    const char *search;
    for (size_t i = 0; rv == 0 && (search = nb_search_at(i)) != NULL; i++) {
        rv = make(codec, search, dim, &candidate);
        if (rv == 0) {
            rv = append_columns(list, &candidate);
        }
    }
    return rv;
}

static int append_all(struct candidate_list *list, uint32_t dim)
{
    const char *codec;
    int rv = 0;
    for (size_t i = 0; rv == 0 && (codec = nb_codec_at(i)) != NULL; i++) {
        rv = append_codec(list, codec, dim);
    }
    return rv;
}

/* Codec and search from "CODEC", "SEARCH" or "CODEC/SEARCH". */
static int make_named(char *name, uint32_t dim, struct candidate *candidate)
{
    char *slash = strchr(name, '/');
    if (slash != NULL) {
        *slash = '\0';
        int rv = make(name, slash + 1, dim, candidate);
        *slash = '/';
        return rv;
    }
    int rv = make(name, NULL, dim, candidate);
    return rv == NB_ERR_NOT_FOUND ? make(BASE_CODEC, name, dim, candidate) : rv;
}

/* Columns by what stands after the '+'. */
static int choose_columns(const char *name, struct candidate *candidate)
{
    const char *known;
    for (size_t i = COLUMNS_CENTER; (known = candidate_columns_at(i)) != NULL;
         i++) {
        if (strcmp(name, known) == 0) {
            candidate->columns = (enum table_columns)i;
            return 0;
        }
    }
    return NB_ERR_NOT_FOUND;
}

static int append_name(struct candidate_list *list, char *name, uint32_t dim)
{
    struct candidate candidate;
    if (strcmp(name, "all") == 0) {
        return append_all(list, dim);
    }
    char *plus = strchr(name, '+');
    if (plus != NULL) {
        *plus = '\0';
    }
    int rv = make_named(name, dim, &candidate);
    if (plus != NULL) {
        *plus = '+';
        rv = rv == 0 ? choose_columns(plus + 1, &candidate) : rv;
    }
    return rv == 0 ? append(list, &candidate) : rv;
}

/* ---- from text ----------------------------------------------------------- */

/* "there is all, q4, q8, ..., asym, greedy" */
static int fail_name(const char *name, int rv, struct nb_errctx *err)
{
    if (rv == NB_ERR_NOMEM) {
        return nb_fail(err, rv, "out of memory");
    }
    char known[176] = "all";
    size_t n = strlen(known);
    const char *word;
    for (size_t i = 0; (word = nb_codec_at(i)) != NULL && n < sizeof(known);
         i++) {
        n += (size_t)snprintf(known + n, sizeof(known) - n, ", %s", word);
    }
    for (size_t i = 0; (word = nb_search_at(i)) != NULL && n < sizeof(known);
         i++) {
        n += (size_t)snprintf(known + n, sizeof(known) - n, ", %s", word);
    }
    return nb_fail(err, NB_ERR_NOT_FOUND,
                   "no codec or search called '%.40s', there is %s", name,
                   known);
}

int candidate_list_parse(const char *text, uint32_t dim,
                         struct candidate_list *list, struct nb_errctx *err)
{
    struct candidate_list parsed = {0};
    char *names = strdup(text);
    int rv = names == NULL ? NB_ERR_NOMEM : 0;
    char *rest = names;
    char *name = NULL;
    while (rv == 0 && (name = strsep(&rest, ",")) != NULL) {
        rv = append_name(&parsed, name, dim);
    }
    if (rv != 0) {
        fail_name(name != NULL ? name : "", rv, err);
        candidate_list_fini(&parsed);
    } else {
        *list = parsed;
    }
    free(names);
    return rv;
}

void candidate_list_fini(struct candidate_list *list)
{
    free(list->items);
    *list = (struct candidate_list){0};
}
