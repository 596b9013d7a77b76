/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The lines of a source, one by one, of bounded length. */
#ifndef NB_STORAGE_LINE_READER_H
#define NB_STORAGE_LINE_READER_H

#include <stdint.h>

#include "storage/source/source_format.h"

/* 65,536 values of 60 characters, and a word. */
#define LINE_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct line_reader {
    char *buffer;     /* owned; grows with the longest line */
    size_t capacity;  /* of buffer */
    size_t begin;     /* of what is not yet returned */
    size_t end;       /* of what is read */
    size_t scanned;   /* no newline between begin and here */
    uint64_t n_lines; /* returned so far: the number of the last one */
    bool at_end;      /* the file has no more */
};

struct line {
    char *text; /* NUL after it; valid until the next call */
    size_t n;   /* without line end and blanks before it */
};

/* Starts from the source's position, also after other lines. */
void line_reader_reset(struct line_reader *reader);
void line_reader_fini(struct line_reader *reader);

/* The next line; text is NULL at the end. -errno, NB_ERR_SOURCE (too long),
 * NB_ERR_NOMEM. */
int line_reader_next(struct line_reader *reader, struct source *source,
                     struct line *line, struct nb_errctx *err);

#endif
