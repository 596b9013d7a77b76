/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Checks a table file's bytes through its descriptor: a file cut short under
 * the reader is then an error, where a mapping would fault. */
#ifndef NB_STORAGE_TABLE_CHECKSUM_H
#define NB_STORAGE_TABLE_CHECKSUM_H

#include "storage/io/io_pace.h"
#include "storage/table/table_format.h"

/* Sees a section's bytes, whole items at a time; an error ends the reading. */
struct section_visitor {
    int (*visit)(void *arg, const uint8_t *bytes, size_t n,
                 struct nb_errctx *err);
    void *arg;
    size_t item_bytes; /* divides the section's length */
};

/* Every byte that opening a table does not look at: the rows, which `rows`
 * (NULL: nobody) sees, unknown sections, and what lies between sections. Read
 * in blocks. -errno, NB_ERR_CHECKSUM, NB_ERR_FORMAT, NB_ERR_TRUNCATED,
 * NB_ERR_NOMEM, what `pace` (may be NULL) returned, and errors of the visitor
 * but for a wrong checksum, which says more. */
int table_check_file(int fd, const struct table_header *header,
                     const struct section_visitor *rows,
                     const struct io_pace *pace, const char *name,
                     struct nb_errctx *err);

/* Compares the checksum of a section already in memory. NB_ERR_CHECKSUM. */
int section_check_bytes(const void *bytes, const struct table_section *section,
                        const char *name, struct nb_errctx *err);

#endif
