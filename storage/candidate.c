/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/candidate.h"

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

static int check_scales(const struct candidate *candidate, float max_abs)
{
    struct nb_format format = candidate->format;
    size_t at;
    format.dim = 1;
    return nb_check_values(&format, NULL, &max_abs, 1, &at);
}

int candidate_fit(struct candidate *candidate, float max_abs)
{
    int rv = check_scales(candidate, max_abs);
    if (rv == NB_ERR_OVERFLOW && candidate->other_scales) {
        struct candidate other = *candidate;
        other.format.scales = candidate->format.scales == NB_SCALES_FP16
                                  ? NB_SCALES_FP32
                                  : NB_SCALES_FP16;
        rv = check_scales(&other, max_abs);
        if (rv == 0) {
            *candidate = other;
        }
    }
    return rv;
}

bool candidate_same(const struct candidate *a, const struct candidate *b)
{
    return a->format.codec == b->format.codec &&
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

/* A codec with each of its searches, or as it is. */
static int append_codec(struct candidate_list *list, const char *codec,
                        uint32_t dim)
{
    struct candidate candidate;
    int rv = make(codec, NULL, dim, &candidate);
    if (rv == 0 && candidate.search_name[0] == '\0') {
        return append(list, &candidate);
    }
    const char *search;
    for (size_t i = 0; rv == 0 && (search = nb_search_at(i)) != NULL; i++) {
        rv = make(codec, search, dim, &candidate);
        if (rv == 0) {
            rv = append(list, &candidate);
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

static int append_name(struct candidate_list *list, char *name, uint32_t dim)
{
    struct candidate candidate;
    char *slash = strchr(name, '/');
    int rv;
    if (strcmp(name, "all") == 0) {
        return append_all(list, dim);
    }
    if (slash != NULL) {
        *slash = '\0';
        rv = make(name, slash + 1, dim, &candidate);
        *slash = '/';
    } else {
        rv = make(name, NULL, dim, &candidate);
        if (rv == NB_ERR_NOT_FOUND) {
            rv = make(BASE_CODEC, name, dim, &candidate);
        }
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
    char known[160] = "all";
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
