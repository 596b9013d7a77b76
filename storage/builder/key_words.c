/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/builder/key_words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/builder/error_sums.h"
#include "storage/source/text_fields.h"

#define COMPARED_BYTES 256u /* of each word */

struct two_words {
    const struct key_clash *clash;
    uint64_t row;
    struct word {
        char text[COMPARED_BYTES];
        size_t n; /* may be more than is kept */
    } words[2];
};

static void keep_word(void *arg, const char *word, size_t n)
{
    struct two_words *two = arg;
    for (int i = 0; i < 2; i++) {
        if (two->row == two->clash->rows[i]) {
            struct word *kept = &two->words[i];
            kept->n = n;
            memcpy(kept->text, word, n < COMPARED_BYTES ? n : COMPARED_BYTES);
        }
    }
    two->row++;
}

static int read_words(struct source *source, struct two_words *two,
                      struct nb_errctx *err)
{
    size_t max_rows = block_rows(source_dim(source));
    float *values = malloc(max_rows * source_dim(source) * sizeof(*values));
    if (values == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "out of memory");
    }
    int rv = source_rewind(source, err);
    if (rv == 0) {
        rv = source_watch_words(source, keep_word, two, err);
    }
    size_t n = max_rows;
    while (rv == 0 && n == max_rows && two->row <= two->clash->rows[1]) {
        rv = source_read(source, values, max_rows, &n, err);
    }
    free(values);
    return rv;
}

static struct field_shown show(const struct word *word)
{
    size_t n = word->n < COMPARED_BYTES ? word->n : COMPARED_BYTES;
    const struct field field = {.text = word->text, .end = word->text + n};
    return field_show(&field);
}

int key_words_clash(struct source *source, const char *input,
                    const struct key_clash *clash, struct nb_errctx *err)
{
    struct two_words two = {.clash = clash};
    int rv = read_words(source, &two, err);
    if (rv != 0) {
        return rv;
    }
    const struct word *a = &two.words[0];
    const struct word *b = &two.words[1];
    size_t n = a->n < COMPARED_BYTES ? a->n : COMPARED_BYTES;
    if (a->n == b->n && memcmp(a->text, b->text, n) == 0) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%.120s: word '%s' stands twice, in rows %" PRIu64
                       " and %" PRIu64,
                       input, show(a).text, clash->rows[0], clash->rows[1]);
    }
    return nb_fail(err, NB_ERR_INVALID,
                   "%.80s: words '%s' and '%s' of rows %" PRIu64 " and %" PRIu64
                   " have the same key, %016" PRIx64,
                   input, show(a).text, show(b).text, clash->rows[0],
                   clash->rows[1], clash->key);
}
