/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The bytes of a zip file's member, inflated as they are read; its checksum is
 * compared once the last byte is. */
#ifndef NB_STORAGE_ZIP_STREAM_H
#define NB_STORAGE_ZIP_STREAM_H

#include <zlib.h>

#include "storage/source/source_format.h"
#include "storage/source/zip_archive.h"

/* Begins as zero. One stream serves one member after another. */
struct zip_stream {
    struct source *source;
    const char *name;         /* for messages, borrowed */
    struct zip_member member; /* its name is not used */
    uint64_t packed_offset;
    uint64_t packed_left; /* not yet read */
    uint64_t bytes_left;  /* unpacked, not yet handed out */
    uint32_t crc;         /* of those handed out */
    uint8_t *packed;      /* what zlib reads from */
    z_stream zlib;
    bool deflated; /* zlib is in use */
};

/* Goes to the first byte of a member whose packed bytes are at this offset of
 * the source's file. -errno, NB_ERR_NOMEM. */
int zip_stream_start(struct zip_stream *stream, struct source *source,
                     const struct zip_member *member, uint64_t packed_offset,
                     struct nb_errctx *err);

/* Goes back to the first byte. -errno. */
int zip_stream_rewind(struct zip_stream *stream, struct nb_errctx *err);

/* Reads n bytes. -errno; NB_ERR_SOURCE: there are less, the packed bytes are
 * damaged, or the member ends and its length or checksum is wrong. */
int zip_stream_read(struct zip_stream *stream, void *to, size_t n,
                    struct nb_errctx *err);

void zip_stream_fini(struct zip_stream *stream);

#endif
