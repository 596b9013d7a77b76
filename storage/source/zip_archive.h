/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The members of a zip file, as its central directory lists them: one disk,
 * zip64 or not, nothing before the first member. */
#ifndef NB_STORAGE_ZIP_ARCHIVE_H
#define NB_STORAGE_ZIP_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define ZIP_DIRECTORY_MAX ((uint64_t)64 * 1024 * 1024) /* bytes */

enum zip_method {
    ZIP_STORED = 0,
    ZIP_DEFLATED = 8
};

struct zip_archive {
    const char *path; /* borrowed */
    int fd;           /* borrowed */
    uint8_t *directory;
    size_t directory_bytes;
    uint64_t directory_offset; /* members stand before it */
    uint64_t n_members;
    uint64_t n_taken; /* by zip_next() */
    size_t at;        /* of the next one in the directory */
};

struct zip_member {
    const uint8_t *name; /* name_bytes, in the archive's memory; no NUL */
    size_t name_bytes;
    bool encrypted;
    unsigned method; /* enum zip_method, or one not read */
    uint32_t crc;    /* of the unpacked bytes */
    uint64_t packed_bytes;
    uint64_t bytes;
    uint64_t offset; /* of its own header in the file */
};

/* Whether the n bytes begin as a zip file does. */
bool zip_has_magic(const uint8_t *bytes, size_t n);

/* Reads the directory. -errno; NB_ERR_SOURCE; NB_ERR_UNSUPPORTED (several
 * disks); NB_ERR_TOO_LARGE (its size); NB_ERR_NOMEM. */
int zip_open(int fd, uint64_t file_bytes, const char *path,
             struct zip_archive *archive, struct nb_errctx *err);

void zip_close(struct zip_archive *archive);

/* Goes back to the first member. */
void zip_rewind(struct zip_archive *archive);

/* The next member; *more is false at the end. Its extent is checked to be
 * before the directory. NB_ERR_SOURCE. */
int zip_next(struct zip_archive *archive, struct zip_member *member, bool *more,
             struct nb_errctx *err);

/* Where the packed bytes of a member begin, by its own header, which must
 * agree with the directory. -errno; NB_ERR_SOURCE; NB_ERR_UNSUPPORTED (method,
 * encryption). */
int zip_locate(const struct zip_archive *archive,
               const struct zip_member *member, uint64_t *offset,
               struct nb_errctx *err);

#endif
