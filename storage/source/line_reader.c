/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/line_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST ((size_t)256 * 1024)

void line_reader_reset(struct line_reader *reader)
{
    reader->begin = 0;
    reader->end = 0;
    reader->scanned = 0;
    reader->n_lines = 0;
    reader->at_end = false;
}

void line_reader_fini(struct line_reader *reader)
{
    free(reader->buffer);
    reader->buffer = NULL;
    reader->capacity = 0;
}

/* Makes room for more of the line at `begin`, one byte apart for a NUL. */
static int make_room(struct line_reader *reader, const struct source *source,
                     struct nb_errctx *err)
{
    if (reader->begin > 0) {
        memmove(reader->buffer, reader->buffer + reader->begin,
                reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->scanned -= reader->begin;
        reader->begin = 0;
    }
    if (reader->end + 1 < reader->capacity) {
        return 0;
    }
    if (reader->capacity >= LINE_BYTES_MAX) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: line %" PRIu64 " is longer than %zu bytes",
                       source->path, reader->n_lines + 1, LINE_BYTES_MAX);
    }
    size_t capacity =
        reader->capacity == 0 ? CAPACITY_FIRST : 2 * reader->capacity;
    char *grown = realloc(reader->buffer, capacity);
    if (grown == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: line %" PRIu64 ": out of memory",
                       source->path, reader->n_lines + 1);
    }
    reader->buffer = grown;
    reader->capacity = capacity;
    return 0;
}

static int fill(struct line_reader *reader, struct source *source,
                struct nb_errctx *err)
{
    int rv = make_room(reader, source, err);
    if (rv != 0) {
        return rv;
    }
    size_t room = reader->capacity - 1 - reader->end;
    size_t got;
    rv = source_read_bytes(source, reader->buffer + reader->end, room, &got,
                           err);
    if (rv != 0) {
        return rv;
    }
    reader->end += got;
    reader->at_end = got < room;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Hands out [begin, stop) and goes on at `next`. */
static void take(struct line_reader *reader, size_t stop, size_t next,
                 struct line *line)
{
    line->text = reader->buffer + reader->begin;
    size_t n = stop - reader->begin;
    while (n > 0 && is_blank(line->text[n - 1])) {
        n--;
    }
    line->text[n] = '\0';
    line->n = n;
    reader->begin = next;
    reader->scanned = next;
    reader->n_lines++;
}

int line_reader_next(struct line_reader *reader, struct source *source,
                     struct line *line, struct nb_errctx *err)
{
    for (;;) {
        char *newline = NULL;
        if (reader->scanned < reader->end) {
            newline = memchr(reader->buffer + reader->scanned, '\n',
                             reader->end - reader->scanned);
        }
        if (newline != NULL) {
            size_t stop = (size_t)(newline - reader->buffer);
            take(reader, stop, stop + 1, line);
            return 0;
        }
        reader->scanned = reader->end;
        if (reader->at_end) {
            if (reader->begin == reader->end) {
                line->text = NULL;
                line->n = 0;
            } else { /* the last line, without a newline */
                take(reader, reader->end, reader->end, line);
            }
            return 0;
        }
        int rv = fill(reader, source, err);
        if (rv != 0) {
            return rv;
        }
    }
}
