/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Word vectors as text: a word and its values a line. `word2vec` begins with a
 * line "ROWS DIM"; `glove` does not, and its first row tells the dim.
 *
 * A few words of published files hold spaces (". . ."). Of a line with more
 * fields than values and one word, the last ones are the values, and the rest
 * is the word if no number stands in it after its first field. Were numbers
 * allowed there, a line of too many values would pass for one.
 */
#include <inttypes.h>
#include <locale.h>
#include <string.h>

#include "quant/checked.h"
#include "storage/source/line_reader.h"
#include "storage/source/parse_float.h"
#include "storage/source/source.h"
#include "storage/source/source_format.h"
#include "storage/source/text_fields.h"

struct text_source {
    struct source base;
    struct line_reader lines;
    locale_t c_locale;
    uint64_t row;        /* the next one */
    uint64_t blank_line; /* the first of a run of blank lines, 0 if none */
    bool has_header;
};

static struct text_source *text_of(struct source *source)
{
    return (struct text_source *)source;
}

static struct fields fields_of(const struct line *line)
{
    return (struct fields){.at = line->text, .end = line->text + line->n};
}

static int fail_line(const struct text_source *text, const char *what,
                     struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_SOURCE, "%s: line %" PRIu64 " %s",
                   text->base.path, text->lines.n_lines, what);
}

static int fail_number(const struct text_source *text, size_t n_field,
                       const struct field *field, struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_SOURCE,
                   "%s: line %" PRIu64 ", field %zu: '%s' is not a number",
                   text->base.path, text->lines.n_lines, n_field,
                   field_show(field).text);
}

/* ---- first line ---------------------------------------------------------- */

static int set_dim(struct text_source *text, uint64_t dim,
                   struct nb_errctx *err)
{
    if (dim == 0 || dim > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: line 1: %" PRIu64 " values a row; a table has "
                       "1 to %u",
                       text->base.path, dim, NB_DIM_MAX);
    }
    text->base.dim = (uint32_t)dim;
    return 0;
}

/* "ROWS DIM" and no more. */
static bool parse_counts(struct fields fields, uint64_t *n_rows, uint64_t *dim)
{
    struct field field;
    return field_next(&fields, &field) && field_integer(&field, n_rows) &&
           field_next(&fields, &field) && field_integer(&field, dim) &&
           !field_next(&fields, &field);
}

static int read_counts(struct text_source *text, const struct line *line,
                       struct nb_errctx *err)
{
    struct source *source = &text->base;
    uint64_t dim;
    if (line->text == NULL ||
        !parse_counts(fields_of(line), &source->n_rows, &dim)) {
        return nb_fail(err, NB_ERR_SOURCE, "%s: line 1 is not \"ROWS DIM\"",
                       source->path);
    }
    int rv = set_dim(text, dim, err);
    if (rv != 0) {
        return rv;
    }
    /* A row takes at least "w 0 0 ... 0\n". */
    uint64_t least;
    if (!checked_mul(source->n_rows, 2 * dim + 2, &least) ||
        least > source->file_bytes) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: line 1 says %" PRIu64 " rows of %" PRIu64
                       " values, too many for a file of %" PRIu64 " bytes",
                       source->path, source->n_rows, dim, source->file_bytes);
    }
    return 0;
}

static int infer_dim(struct text_source *text, const struct line *line,
                     struct nb_errctx *err)
{
    struct line_shape shape;
    if (line->text == NULL) {
        return nb_fail(err, NB_ERR_SOURCE, "%s: the file is empty",
                       text->base.path);
    }
    if (!line_shape(fields_of(line), text->c_locale, &shape)) {
        return fail_line(text, "is blank", err);
    }
    if (shape.n_fields == 1) {
        return fail_line(text, "has no values", err);
    }
    if (shape.mixed || shape.n_words == shape.n_fields) {
        return fail_number(text, shape.n_words, &shape.last_word, err);
    }
    text->base.n_rows = SOURCE_ROWS_UNKNOWN;
    return set_dim(text, shape.n_fields - shape.n_words, err);
}

static int text_init(struct source *source, bool has_header,
                     struct nb_errctx *err)
{
    struct text_source *text = text_of(source);
    text->has_header = has_header;
    text->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (text->c_locale == (locale_t)0) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", source->path);
    }
    struct line line;
    int rv = line_reader_next(&text->lines, source, &line, err);
    if (rv != 0) {
        return rv;
    }
    if (has_header) {
        return read_counts(text, &line, err);
    }
    rv = infer_dim(text, &line, err);
    return rv == 0 ? source->format->rewind(source, err) : rv;
}

/* ---- rows ---------------------------------------------------------------- */

/* A word without spaces, then exactly dim numbers: nearly every line. */
static bool parse_plain(const struct text_source *text, struct fields fields,
                        float *values, struct field *word)
{
    struct field field;
    if (!field_next(&fields, word)) {
        return false;
    }
    for (uint32_t i = 0; i < text->base.dim; i++) {
        if (!field_next(&fields, &field) ||
            !parse_float(field.text, field.end, text->c_locale, &values[i])) {
            return false;
        }
    }
    return !field_next(&fields, &field);
}

static int fail_ragged(const struct text_source *text, size_t n_values,
                       struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_SOURCE,
                   "%s: line %" PRIu64 " has %zu values, line 1 %s %" PRIu32,
                   text->base.path, text->lines.n_lines, n_values,
                   text->has_header ? "says" : "has", text->base.dim);
}

/* Any other line: one whose word has spaces, or a wrong one. */
static int parse_other(const struct text_source *text, struct fields fields,
                       float *values, struct field *word, struct nb_errctx *err)
{
    struct field field;
    size_t n_fields = 0;
    for (struct fields rest = fields; field_next(&rest, &field);) {
        n_fields++;
    }
    if (n_fields < (size_t)text->base.dim + 1) {
        return fail_ragged(text, n_fields - (n_fields > 0), err);
    }
    size_t n_words = n_fields - text->base.dim;
    for (size_t i = 0; i < n_fields; i++) {
        float value = 0;
        field_next(&fields, &field);
        bool number =
            i > 0 && parse_float(field.text, field.end, text->c_locale, &value);
        if (i >= n_words) {
            if (!number) {
                return fail_number(text, i + 1, &field, err);
            }
            values[i - n_words] = value;
        } else if (number) {
            return fail_ragged(text, n_fields - 1, err);
        } else {
            word->text = i == 0 ? field.text : word->text;
            word->end = field.end;
        }
    }
    return 0;
}

/* The next line that is not blank. Blank ones may only end the file. */
static int next_row_line(struct text_source *text, struct line *line,
                         struct nb_errctx *err)
{
    for (;;) {
        int rv = line_reader_next(&text->lines, &text->base, line, err);
        if (rv != 0 || line->text == NULL) {
            return rv;
        }
        if (line->n > 0) {
            break;
        }
        if (text->blank_line == 0) {
            text->blank_line = text->lines.n_lines;
        }
    }
    if (text->blank_line != 0) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: line %" PRIu64 " is blank, with more after it",
                       text->base.path, text->blank_line);
    }
    return 0;
}

/* Whether the rows the header promised are there, and no more. */
static int check_count(const struct text_source *text, bool more,
                       struct nb_errctx *err)
{
    const struct source *source = &text->base;
    if (!text->has_header ||
        (more ? text->row < source->n_rows : text->row == source->n_rows)) {
        return 0;
    }
    return nb_fail(err, NB_ERR_SOURCE,
                   "%s: line 1 says %" PRIu64 " rows, the file has %s%" PRIu64,
                   source->path, source->n_rows, more ? "more than " : "",
                   text->row);
}

static int text_read(struct source *source, float *values, size_t max_rows,
                     size_t *n_rows, struct nb_errctx *err)
{
    struct text_source *text = text_of(source);
    size_t n = 0;
    for (; n < max_rows; n++) {
        struct line line;
        int rv = next_row_line(text, &line, err);
        if (rv == 0) {
            rv = check_count(text, line.text != NULL, err);
        }
        if (rv != 0) {
            return rv;
        }
        if (line.text == NULL) {
            break;
        }
        float *row = values + n * source->dim;
        struct fields fields = fields_of(&line);
        struct field word;
        if (!parse_plain(text, fields, row, &word)) {
            rv = parse_other(text, fields, row, &word, err);
            if (rv != 0) {
                return rv;
            }
        }
        source_show_word(source, word.text, (size_t)(word.end - word.text));
        text->row++;
    }
    *n_rows = n;
    return 0;
}

static int text_rewind(struct source *source, struct nb_errctx *err)
{
    struct text_source *text = text_of(source);
    line_reader_reset(&text->lines);
    text->row = 0;
    text->blank_line = 0;
    int rv = source_seek(source, 0, err);
    if (rv == 0 && text->has_header) {
        struct line header;
        rv = line_reader_next(&text->lines, source, &header, err);
    }
    return rv;
}

static void text_fini(struct source *source)
{
    struct text_source *text = text_of(source);
    line_reader_fini(&text->lines);
    if (text->c_locale != (locale_t)0) {
        freelocale(text->c_locale);
    }
}

static uint64_t text_line(const struct source *source, uint64_t row)
{
    const struct text_source *text = (const struct text_source *)source;
    return row + 1 + text->has_header;
}

/* ---- detection ----------------------------------------------------------- */

/* The first line, without its last field if the head cuts it. */
static struct fields first_line(const uint8_t *head, size_t n)
{
    const char *text = (const char *)head;
    const char *end = memchr(text, '\n', n);
    if (end == NULL) {
        end = text + n;
        while (n == SOURCE_HEAD_BYTES && end > text && !is_separator(end[-1])) {
            end--;
        }
    }
    while (end > text && (is_separator(end[-1]) || end[-1] == '\r')) {
        end--;
    }
    return (struct fields){.at = text, .end = end};
}

static bool word2vec_probe(const uint8_t *head, size_t n)
{
    uint64_t n_rows;
    uint64_t dim;
    return parse_counts(first_line(head, n), &n_rows, &dim);
}

static bool glove_probe(const uint8_t *head, size_t n)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        return false;
    }
    struct line_shape shape;
    bool yes = line_shape(first_line(head, n), c_locale, &shape) &&
               shape.n_fields > shape.n_words;
    freelocale(c_locale);
    return yes;
}

static int word2vec_init(struct source *source, struct nb_errctx *err)
{
    return text_init(source, true, err);
}

static int glove_init(struct source *source, struct nb_errctx *err)
{
    return text_init(source, false, err);
}

#define TEXT_FORMAT(tag)                                                       \
    const struct source_format source_##tag = {                                \
        .name = #tag,                                                          \
        .struct_bytes = sizeof(struct text_source),                            \
        .probe = tag##_probe,                                                  \
        .init = tag##_init,                                                    \
        .read = text_read,                                                     \
        .rewind = text_rewind,                                                 \
        .fini = text_fini,                                                     \
        .line = text_line,                                                     \
        .has_words = true,                                                     \
    };

TEXT_FORMAT(word2vec)
TEXT_FORMAT(glove)
