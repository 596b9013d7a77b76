/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/number_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 30)
#define READ_BYTES     (64u << 10)
#define BLANKS         " \t\r\n"

bool number_parse(const char *text, size_t n, uint64_t *value)
{
    uint64_t sum = 0;
    if (n == 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' ||
            __builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(text[i] - '0'), &sum)) {
            return false;
        }
    }
    *value = sum;
    return true;
}

/* ---- items ------------------------------------------------------------ */

/* Text being taken apart. */
struct items {
    const char *at;
    const char *end;
    size_t n_taken;
};

static bool is_blank(char c)
{
    return c != '\0' && strchr(BLANKS, c) != NULL;
}

static void skip_blanks(struct items *items)
{
    while (items->at < items->end && is_blank(*items->at)) {
        items->at++;
    }
}

/* The next item. A comma stands between two items, so after one there must be
 * another, which may turn out empty: the caller refuses that. */
static bool next_item(struct items *items, const char **item, size_t *n)
{
    skip_blanks(items);
    bool comma =
        items->n_taken > 0 && items->at < items->end && *items->at == ',';
    if (comma) {
        items->at++;
        skip_blanks(items);
    } else if (items->at == items->end) {
        return false;
    }
    *item = items->at;
    while (items->at < items->end && *items->at != ',' &&
           !is_blank(*items->at)) {
        items->at++;
    }
    *n = (size_t)(items->at - *item);
    items->n_taken++;
    return true;
}

/* An upper bound of the items in a text. */
static size_t items_at_most(const char *text, size_t n)
{
    size_t count = 1;
    for (size_t i = 0; i < n; i++) {
        count += text[i] == ',' || is_blank(text[i]) ? 1 : 0;
    }
    return count;
}

static int wrong_item(struct nb_errctx *err, size_t index, const char *item,
                      size_t n, const char *what)
{
    return nb_fail(err, NB_ERR_INVALID, "item %zu, '%.*s', is not %s",
                   index + 1, n < 40 ? (int)n : 40, item, what);
}

/* Appends the ids of a text to an array that has room for them. */
static int take_ids(const char *text, size_t n, struct id_list *list,
                    struct nb_errctx *err)
{
    struct items items = {text, text + n, 0};
    const char *item;
    size_t bytes;
    while (next_item(&items, &item, &bytes)) {
        if (!number_parse(item, bytes, &list->ids[list->n])) {
            return wrong_item(err, list->n, item, bytes,
                              "a whole number below 2^64");
        }
        list->n++;
    }
    return 0;
}

/* ---- ids -------------------------------------------------------------- */

int id_list_parse(const char *text, size_t n, struct id_list *list,
                  struct nb_errctx *err)
{
    struct id_list made = {.ids = calloc(items_at_most(text, n), 8)};
    if (made.ids == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "no memory for the ids");
    }
    int rv = take_ids(text, n, &made, err);
    if (rv != 0) {
        free(made.ids);
        return rv;
    }
    *list = made;
    return 0;
}

void id_list_fini(struct id_list *list)
{
    free(list->ids);
    *list = (struct id_list){0};
}

/* Reads all of a stream. The caller frees *text. */
static int read_all(FILE *from, char **text, size_t *n)
{
    char *all = NULL;
    size_t held = 0;
    size_t got;
    int rv = 0;
    do {
        char *grown = realloc(all, held + READ_BYTES);
        if (grown == NULL || held > FILE_BYTES_MAX) {
            free(grown != NULL ? grown : all);
            return grown == NULL ? NB_ERR_NOMEM : -EFBIG;
        }
        all = grown;
        got = fread(all + held, 1, READ_BYTES, from);
        held += got;
    } while (got == READ_BYTES);
    if (ferror(from)) {
        rv = errno != 0 ? -errno : -EIO;
        free(all);
        return rv;
    }
    *text = all;
    *n = held;
    return 0;
}

int id_list_read(const char *path, struct id_list *list, struct nb_errctx *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    errno = 0;
    FILE *from = is_stdin ? stdin : fopen(path, "re");
    if (from == NULL) {
        return nb_fail(err, -errno, "%s: %s", path, nb_strerror(-errno));
    }
    char *text = NULL;
    size_t n = 0;
    int rv = read_all(from, &text, &n);
    if (!is_stdin) {
        (void)fclose(from);
    }
    if (rv != 0) {
        return nb_fail(err, rv, "%s: %s", path, nb_strerror(rv));
    }
    struct nb_errctx why;
    rv = id_list_parse(text, n, list, &why);
    free(text);
    return rv == 0 ? 0 : nb_fail(err, rv, "%.100s: %s", path, why.text);
}

/* ---- bags ------------------------------------------------------------- */

/* The bag at *text, which is moved behind its ';'; NULL after the last bag. */
static bool next_bag(const char **text, const char **bag, size_t *n)
{
    if (*text == NULL) {
        return false;
    }
    *bag = *text;
    *n = strcspn(*bag, ";");
    *text = (*bag)[*n] == ';' ? *bag + *n + 1 : NULL;
    return true;
}

static size_t count_bags(const char *text)
{
    size_t n = 1;
    for (; *text != '\0'; text++) {
        n += *text == ';' ? 1 : 0;
    }
    return n;
}

int bag_list_parse(const char *text, struct bag_list *list,
                   struct nb_errctx *err)
{
    size_t n_bags = count_bags(text);
    /* Every bag may begin one more item than it has separators. */
    size_t n_ids = items_at_most(text, strlen(text)) + n_bags;
    struct bag_list made = {.ids.ids = calloc(n_ids, 8),
                            .lengths = calloc(n_bags, 4)};
    if (made.ids.ids == NULL || made.lengths == NULL) {
        bag_list_fini(&made);
        return nb_fail(err, NB_ERR_NOMEM, "no memory for the bags");
    }
    int rv = 0;
    const char *rest = text;
    const char *bag;
    size_t bytes;
    while (rv == 0 && next_bag(&rest, &bag, &bytes)) {
        size_t before = made.ids.n;
        rv = take_ids(bag, bytes, &made.ids, err);
        made.lengths[made.n_bags++] = (uint32_t)(made.ids.n - before);
    }
    if (rv != 0) {
        bag_list_fini(&made);
        return rv;
    }
    *list = made;
    return 0;
}

void bag_list_fini(struct bag_list *list)
{
    id_list_fini(&list->ids);
    free(list->lengths);
    *list = (struct bag_list){0};
}

/* ---- weights ---------------------------------------------------------- */

static bool weight_parse(const char *item, size_t n, float *weight)
{
    char text[64];
    if (n == 0 || n >= sizeof(text)) {
        return false;
    }
    memcpy(text, item, n);
    text[n] = '\0';
    char *end;
    errno = 0;
    *weight = strtof(text, &end);
    bool overflow = errno == ERANGE && (*weight > 1 || *weight < -1);
    return *end == '\0' && !overflow;
}

static int take_weights(const char *bag, size_t bytes, size_t index,
                        size_t length, float *weights, struct nb_errctx *err)
{
    struct items items = {bag, bag + bytes, 0};
    const char *item;
    size_t n;
    while (next_item(&items, &item, &n)) {
        float weight;
        if (!weight_parse(item, n, &weight)) {
            return wrong_item(err, items.n_taken - 1, item, n, "a number");
        }
        if (items.n_taken <= length) {
            weights[items.n_taken - 1] = weight;
        }
    }
    if (items.n_taken != length) {
        return nb_fail(err, NB_ERR_INVALID,
                       "bag %zu has %zu ids but %zu "
                       "weights",
                       index, length, items.n_taken);
    }
    return 0;
}

int weights_parse(const char *text, const struct bag_list *bags,
                  float **weights, struct nb_errctx *err)
{
    size_t n_bags = count_bags(text);
    if (n_bags != bags->n_bags) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%zu bags of weights for %zu bags "
                       "of ids",
                       n_bags, bags->n_bags);
    }
    float *made = calloc(bags->ids.n + 1, sizeof(*made));
    if (made == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "no memory for the weights");
    }
    const char *bag;
    size_t bytes;
    size_t at = 0;
    for (size_t i = 0; next_bag(&text, &bag, &bytes); i++) {
        int rv = take_weights(bag, bytes, i, bags->lengths[i], made + at, err);
        if (rv != 0) {
            free(made);
            return rv;
        }
        at += bags->lengths[i];
    }
    *weights = made;
    return 0;
}
