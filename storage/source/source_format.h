/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What a format of sources.def implements. */
#ifndef NB_STORAGE_SOURCE_FORMAT_H
#define NB_STORAGE_SOURCE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/source/source.h"

#define SOURCE_HEAD_BYTES ((size_t)64 * 1024) /* what detection looks at */

/* First member of every format's own struct. */
struct source {
    const struct source_format *format;
    const struct source_options *options; /* valid in init */
    char *path;
    int fd;
    uint64_t file_bytes;
    uint64_t bytes_read;        /* of the file; for progress */
    uint32_t dim;               /* set by init */
    uint64_t n_rows;            /* set by init; SOURCE_ROWS_UNKNOWN */
    source_word_fn *watch_word; /* NULL: nobody; by formats that have words */
    void *watch_arg;
};

struct source_format {
    const char *name;
    bool has_tensors;        /* takes the option `tensor` */
    bool has_words;          /* shows them to watch_word */
    const char *file_inside; /* the path is a directory, and this the name of
                                the file in it that has the rows; or NULL */
    size_t struct_bytes;     /* of the struct that begins with struct source */
    /* Whether the first n bytes of a file (all of it if n is less than
     * SOURCE_HEAD_BYTES) look like this format; a NUL follows them. NULL: the
     * content does not tell, the format must be named. */
    bool (*probe)(const uint8_t *head, size_t n);
    /* Reads up to the first row, with the descriptor at 0 and the rest of the
     * struct zeroed; on error too, fini is called. */
    int (*init)(struct source *source, struct nb_errctx *err);
    /* Contract of source_read(), max_rows > 0. */
    int (*read)(struct source *source, float *values, size_t max_rows,
                size_t *n_rows, struct nb_errctx *err);
    /* Back to the first row. */
    int (*rewind)(struct source *source, struct nb_errctx *err);
    void (*fini)(struct source *source);
    /* Line of a row counted from 1; NULL where there are no lines. */
    uint64_t (*line)(const struct source *source, uint64_t row);
};

#define SOURCE(name) extern const struct source_format source_##name;
#include "storage/source/sources.def"
#undef SOURCE

/* Reads n bytes at the descriptor's position, counted in bytes_read; *got < n
 * only at the end of the file. -errno. */
int source_read_bytes(struct source *source, void *to, size_t n, size_t *got,
                      struct nb_errctx *err);

/* Reads n bytes; NB_ERR_SOURCE if the file ends before. */
typedef int source_exact_fn(struct source *source, void *to, size_t n,
                            struct nb_errctx *err);
source_exact_fn source_read_exactly;

/* Shows the word of a row that read() will return. */
static inline void source_show_word(const struct source *source,
                                    const char *word, size_t n)
{
    if (source->watch_word != NULL) {
        source->watch_word(source->watch_arg, word, n);
    }
}

/* Moves the descriptor, and bytes_read with it. -errno. */
int source_seek(struct source *source, uint64_t offset, struct nb_errctx *err);

#endif
