/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/word_list.h"

#include <stdlib.h>
#include <string.h>

#include "storage/table/table_reader.h"

/* Text being taken apart; words are written to `to`. */
struct cursor {
    const char *at;
    char *to;
    bool bags;
};

/* Takes a word up to its ',' (or ';', or the end), which it stays at. */
static int take_word(struct cursor *cursor, struct word_list *list,
                     struct nb_errctx *err)
{
    struct id_list *ids = &list->bags.ids;
    char *word = cursor->to;
    while (*cursor->at != '\0' && *cursor->at != ',' &&
           !(cursor->bags && *cursor->at == ';')) {
        cursor->at += *cursor->at == '\\';
        if (*cursor->at == '\0') {
            return nb_fail(err, NB_ERR_INVALID,
                           "nothing stands after the last backslash");
        }
        *cursor->to++ = *cursor->at++;
    }
    size_t n = (size_t)(cursor->to - word);
    if (n == 0) {
        return nb_fail(err, NB_ERR_INVALID, "word %zu is empty", ids->n + 1);
    }
    *cursor->to++ = '\0';
    list->words[ids->n] = word;
    ids->ids[ids->n++] = table_word_key(word, n);
    return 0;
}

static int take_bag(struct cursor *cursor, struct word_list *list,
                    struct nb_errctx *err)
{
    size_t before = list->bags.ids.n;
    int rv = 0;
    bool more = !cursor->bags || (*cursor->at != ';' && *cursor->at != '\0');
    while (rv == 0 && more) {
        rv = take_word(cursor, list, err);
        more = *cursor->at == ',';
        cursor->at += more;
    }
    list->bags.lengths[list->bags.n_bags++] =
        (uint32_t)(list->bags.ids.n - before);
    return rv;
}

int word_list_parse(const char *text, bool bags, struct word_list *list,
                    struct nb_errctx *err)
{
    /* A word and a bag take a character or a separator. */
    size_t most = strlen(text) + 2;
    struct word_list made = {
        .bags = {.ids.ids = calloc(most, sizeof(uint64_t)),
                 .lengths = calloc(most, sizeof(uint32_t))},
        .words = calloc(most, sizeof(char *)),
        .text = calloc(2, most),
    };
    if (made.bags.ids.ids == NULL || made.bags.lengths == NULL ||
        made.words == NULL || made.text == NULL) {
        word_list_fini(&made);
        return nb_fail(err, NB_ERR_NOMEM, "no memory for the words");
    }
    struct cursor cursor = {.at = text, .to = made.text, .bags = bags};
    int rv = 0;
    bool more = true;
    while (more) {
        rv = take_bag(&cursor, &made, err);
        more = rv == 0 && *cursor.at == ';';
        cursor.at += more;
    }
    if (rv != 0) {
        word_list_fini(&made);
        return rv;
    }
    *list = made;
    return 0;
}

void word_list_fini(struct word_list *list)
{
    bag_list_fini(&list->bags);
    free((void *)list->words);
    free(list->text);
    *list = (struct word_list){0};
}
