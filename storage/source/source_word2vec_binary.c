/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Word vectors as the original word2vec writes them: a line "ROWS DIM", then
 * for each row a word, a space and its values in fp32. A newline follows the
 * values, or does not.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "quant/checked.h"
#include "storage/source/source_format.h"
#include "storage/source/text_fields.h"

#define BUFFER_BYTES   ((size_t)256 * 1024)
#define HEADER_MAX     64u   /* of the first line: two numbers */
#define WORD_BYTES_MAX 4096u /* before the space */

struct word2vec_source {
    struct source base;
    uint64_t data_offset;
    uint64_t row; /* the next one */
    uint8_t *buffer;
    size_t begin; /* of what is not yet used */
    size_t end;   /* of what is read */
};

static struct word2vec_source *word2vec_of(struct source *source)
{
    return (struct word2vec_source *)source;
}

/* ---- bytes --------------------------------------------------------------- */

/* Where the next byte stands in the file. */
static uint64_t offset_of(const struct word2vec_source *word2vec)
{
    return word2vec->base.bytes_read - (word2vec->end - word2vec->begin);
}

/* Has n bytes in the buffer, or all there are; n is at most its size. */
static int fill(struct word2vec_source *word2vec, size_t n,
                struct nb_errctx *err)
{
    size_t left = word2vec->end - word2vec->begin;
    if (left >= n) {
        return 0;
    }
    memmove(word2vec->buffer, word2vec->buffer + word2vec->begin, left);
    word2vec->begin = 0;
    word2vec->end = left;
    size_t got;
    int rv = source_read_bytes(&word2vec->base, word2vec->buffer + left,
                               BUFFER_BYTES - left, &got, err);
    if (rv == 0) {
        word2vec->end += got;
    }
    return rv;
}

/* Takes the character if it comes next. */
static int take(struct word2vec_source *word2vec, char c, bool *taken,
                struct nb_errctx *err)
{
    int rv = fill(word2vec, 1, err);
    if (rv != 0) {
        return rv;
    }
    *taken = word2vec->begin < word2vec->end &&
             word2vec->buffer[word2vec->begin] == (uint8_t)c;
    word2vec->begin += *taken;
    return 0;
}

/* ---- first line ---------------------------------------------------------- */

/* "ROWS DIM\n" at the start of n bytes; *length is that of the line. */
static bool parse_header(const uint8_t *bytes, size_t n, uint64_t *n_rows,
                         uint64_t *dim, size_t *length)
{
    const char *text = (const char *)bytes;
    const char *end = memchr(text, '\n', n < HEADER_MAX ? n : HEADER_MAX);
    if (end == NULL) {
        return false;
    }
    *length = (size_t)(end - text) + 1;
    end -= end > text && end[-1] == '\r';
    struct fields fields = {.at = text, .end = end};
    struct field field;
    return field_next(&fields, &field) && field_integer(&field, n_rows) &&
           field_next(&fields, &field) && field_integer(&field, dim) &&
           !field_next(&fields, &field);
}

static int read_header(struct word2vec_source *word2vec, struct nb_errctx *err)
{
    struct source *source = &word2vec->base;
    int rv = fill(word2vec, HEADER_MAX, err);
    if (rv != 0) {
        return rv;
    }
    uint64_t dim;
    size_t length;
    if (!parse_header(word2vec->buffer, word2vec->end, &source->n_rows, &dim,
                      &length)) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: does not begin with a line \"ROWS DIM\"",
                       source->path);
    }
    if (dim == 0 || dim > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: %" PRIu64 " values a row; a table has 1 to %u",
                       source->path, dim, NB_DIM_MAX);
    }
    /* A row is at least a space and its values. */
    uint64_t least;
    if (!checked_mul(source->n_rows, 1 + sizeof(float) * dim, &least) ||
        least > source->file_bytes - length) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: begins with %" PRIu64 " rows of %" PRIu64
                       " values, too many for a file of %" PRIu64 " bytes",
                       source->path, source->n_rows, dim, source->file_bytes);
    }
    source->dim = (uint32_t)dim;
    word2vec->data_offset = length;
    word2vec->begin = length;
    return 0;
}

static int word2vec_init(struct source *source, struct nb_errctx *err)
{
    struct word2vec_source *word2vec = word2vec_of(source);
    word2vec->buffer = malloc(BUFFER_BYTES);
    if (word2vec->buffer == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", source->path);
    }
    return read_header(word2vec, err);
}

/* ---- rows ---------------------------------------------------------------- */

static int fail_row(const struct word2vec_source *word2vec, const char *what,
                    struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_SOURCE,
                   "%s: row %" PRIu64 " of %" PRIu64 ", byte %" PRIu64 ": %s",
                   word2vec->base.path, word2vec->row, word2vec->base.n_rows,
                   offset_of(word2vec), what);
}

static int take_word(struct word2vec_source *word2vec, struct nb_errctx *err)
{
    int rv = fill(word2vec, WORD_BYTES_MAX + 1, err);
    if (rv != 0) {
        return rv;
    }
    const uint8_t *word = word2vec->buffer + word2vec->begin;
    size_t left = word2vec->end - word2vec->begin;
    if (left == 0) {
        return fail_row(word2vec, "the file ends", err);
    }
    const uint8_t *space =
        memchr(word, ' ', left <= WORD_BYTES_MAX ? left : WORD_BYTES_MAX + 1);
    if (space == NULL) {
        return fail_row(word2vec,
                        left <= WORD_BYTES_MAX
                            ? "the file ends in its word"
                            : "no space ends its word within 4096 bytes",
                        err);
    }
    source_show_word(&word2vec->base, (const char *)word,
                     (size_t)(space - word));
    word2vec->begin += (size_t)(space - word) + 1;
    return 0;
}

/* Takes a row's values: what the buffer has, and the rest from the file. */
static int take_values(struct word2vec_source *word2vec, float *values,
                       struct nb_errctx *err)
{
    size_t n = word2vec->base.dim * sizeof(float);
    size_t part = word2vec->end - word2vec->begin;
    part = part < n ? part : n;
    memcpy(values, word2vec->buffer + word2vec->begin, part);
    word2vec->begin += part;
    size_t got = 0;
    if (part < n) {
        int rv = source_read_bytes(&word2vec->base, (uint8_t *)values + part,
                                   n - part, &got, err);
        if (rv != 0) {
            return rv;
        }
    }
    return part + got == n
               ? 0
               : fail_row(word2vec, "the file ends in its values", err);
}

static int check_end(struct word2vec_source *word2vec, struct nb_errctx *err)
{
    int rv = fill(word2vec, 1, err);
    if (rv == 0 && word2vec->begin < word2vec->end) {
        rv = nb_fail(err, NB_ERR_SOURCE,
                     "%s: begins with %" PRIu64
                     " rows, has more after them (byte %" PRIu64 ")",
                     word2vec->base.path, word2vec->base.n_rows,
                     offset_of(word2vec));
    }
    return rv;
}

static int word2vec_read(struct source *source, float *values, size_t max_rows,
                         size_t *n_rows, struct nb_errctx *err)
{
    struct word2vec_source *word2vec = word2vec_of(source);
    size_t n = 0;
    for (; n < max_rows && word2vec->row < source->n_rows; n++) {
        int rv = take_word(word2vec, err);
        bool newline;
        if (rv == 0) {
            rv = take_values(word2vec, values + n * source->dim, err);
        }
        if (rv == 0) {
            rv = take(word2vec, '\n', &newline, err);
        }
        if (rv != 0) {
            return rv;
        }
        word2vec->row++;
    }
    if (word2vec->row == source->n_rows) {
        int rv = check_end(word2vec, err);
        if (rv != 0) {
            return rv;
        }
    }
    *n_rows = n;
    return 0;
}

static int word2vec_rewind(struct source *source, struct nb_errctx *err)
{
    struct word2vec_source *word2vec = word2vec_of(source);
    word2vec->row = 0;
    word2vec->begin = 0;
    word2vec->end = 0;
    return source_seek(source, word2vec->data_offset, err);
}

static void word2vec_fini(struct source *source)
{
    free(word2vec_of(source)->buffer);
}

/* ---- detection ----------------------------------------------------------- */

static bool is_control(uint8_t c)
{
    return (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

/* Text begins with the same line. It has no control characters, and among the
 * bytes of a row of fp32 there is one, but for very few rows of dim 1 or 2. */
static bool word2vec_probe(const uint8_t *head, size_t n)
{
    uint64_t n_rows;
    uint64_t dim;
    size_t at;
    if (!parse_header(head, n, &n_rows, &dim, &at) || n_rows == 0 ||
        dim > NB_DIM_MAX) {
        return false;
    }
    size_t room = n - at < WORD_BYTES_MAX + 1 ? n - at : WORD_BYTES_MAX + 1;
    const uint8_t *space = memchr(head + at, ' ', room);
    if (space == NULL) {
        return false;
    }
    at = (size_t)(space - head) + 1;
    size_t end = n - at < sizeof(float) * dim ? n : at + sizeof(float) * dim;
    while (at < end && !is_control(head[at])) {
        at++;
    }
    return at < end;
}

const struct source_format source_word2vec_binary = {
    .name = "word2vec-binary",
    .struct_bytes = sizeof(struct word2vec_source),
    .probe = word2vec_probe,
    .init = word2vec_init,
    .read = word2vec_read,
    .rewind = word2vec_rewind,
    .fini = word2vec_fini,
    .has_words = true,
};
