/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Checks a table file's bytes through its descriptor: a file cut short under
 * the reader is then an error, where a mapping would fault. */
#ifndef NB_STORAGE_TABLE_CHECKSUM_H
#define NB_STORAGE_TABLE_CHECKSUM_H

#include "storage/table_format.h"

/* Compares the checksum of one section, read in blocks. -errno,
 * NB_ERR_CHECKSUM, NB_ERR_TRUNCATED, NB_ERR_NOMEM. */
int section_check_file(int fd, const struct table_section *section,
                       const char *name, struct nb_errctx *err);

/* The same of a section already in memory. NB_ERR_CHECKSUM. */
int section_check_bytes(const void *bytes, const struct table_section *section,
                        const char *name, struct nb_errctx *err);

/* Checks that the bytes between sections are zero. -errno, NB_ERR_FORMAT,
 * NB_ERR_TRUNCATED. */
int table_check_gaps(int fd, const struct table_header *header,
                     const char *name, struct nb_errctx *err);

#endif
