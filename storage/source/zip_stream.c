/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/zip_stream.h"

#include <inttypes.h>
#include <stdlib.h>

#define PACKED_BYTES ((size_t)64 * 1024) /* read at once */
#define INFLATE_MAX  ((size_t)1 << 30)   /* bytes zlib is asked for at once */

/* ---- inflating ----------------------------------------------------------- */

static int fail_packed(const struct zip_stream *stream, const char *what,
                       struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_SOURCE,
                   "%s: deflated data, byte %" PRIu64 " of %" PRIu64
                   " unpacked: %s",
                   stream->name, stream->member.bytes - stream->bytes_left,
                   stream->member.bytes, what);
}

/* Has some packed bytes before zlib, unless there are none left. */
static int feed(struct zip_stream *stream, struct nb_errctx *err)
{
    if (stream->zlib.avail_in > 0 || stream->packed_left == 0) {
        return 0;
    }
    size_t n = stream->packed_left < PACKED_BYTES ? (size_t)stream->packed_left
                                                  : PACKED_BYTES;
    int rv = source_read_exactly(stream->source, stream->packed, n, err);
    if (rv != 0) {
        return rv;
    }
    stream->packed_left -= n;
    stream->zlib.next_in = stream->packed;
    stream->zlib.avail_in = (unsigned)n;
    return 0;
}

/* Inflates up to n bytes; *ended once the packed bytes say so. */
static int inflate_some(struct zip_stream *stream, uint8_t *to, size_t n,
                        size_t *got, bool *ended, struct nb_errctx *err)
{
    int rv = feed(stream, err);
    if (rv != 0) {
        return rv;
    }
    z_stream *zlib = &stream->zlib;
    zlib->next_out = to;
    zlib->avail_out = (unsigned)n;
    int status = inflate(zlib, Z_NO_FLUSH);
    *got = n - zlib->avail_out;
    *ended = status == Z_STREAM_END;
    if (status == Z_MEM_ERROR) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", stream->name);
    }
    if (status == Z_BUF_ERROR) { /* it wants more than there is */
        return fail_packed(stream, "ends early", err);
    }
    if (status != Z_OK && status != Z_STREAM_END) {
        return fail_packed(stream, zlib->msg != NULL ? zlib->msg : "damaged",
                           err);
    }
    return 0;
}

static int inflate_exactly(struct zip_stream *stream, uint8_t *to, size_t n,
                           struct nb_errctx *err)
{
    while (n > 0) {
        size_t got;
        bool ended;
        int rv = inflate_some(stream, to, n < INFLATE_MAX ? n : INFLATE_MAX,
                              &got, &ended, err);
        if (rv != 0) {
            return rv;
        }
        to += got;
        n -= got;
        if (ended && n > 0) {
            return fail_packed(stream, "ends early", err);
        }
    }
    return 0;
}

/* Whether the packed bytes end where the member does. */
static int check_packed_end(struct zip_stream *stream, struct nb_errctx *err)
{
    uint8_t more;
    size_t got = 0;
    bool ended = false;
    while (!ended && got == 0) {
        int rv = inflate_some(stream, &more, 1, &got, &ended, err);
        if (rv != 0) {
            return rv;
        }
    }
    return got > 0 || stream->zlib.avail_in > 0 || stream->packed_left > 0
               ? fail_packed(stream, "more follows", err)
               : 0;
}

/* ---- the member ---------------------------------------------------------- */

static int check_end(struct zip_stream *stream, struct nb_errctx *err)
{
    if (stream->deflated) {
        int rv = check_packed_end(stream, err);
        if (rv != 0) {
            return rv;
        }
    }
    if (stream->crc != stream->member.crc) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: checksum is %08" PRIx32
                       ", the directory says %08" PRIx32,
                       stream->name, stream->crc, stream->member.crc);
    }
    return 0;
}

int zip_stream_read(struct zip_stream *stream, void *to, size_t n,
                    struct nb_errctx *err)
{
    if (n > stream->bytes_left) {
        return nb_fail(
            err, NB_ERR_SOURCE,
            "%s: ends at %" PRIu64 " bytes, %" PRIu64 " more were to come",
            stream->name, stream->member.bytes, n - stream->bytes_left);
    }
    if (n == 0) {
        return 0;
    }
    int rv = stream->deflated ? inflate_exactly(stream, to, n, err)
                              : source_read_exactly(stream->source, to, n, err);
    if (rv != 0) {
        return rv;
    }
    stream->crc = (uint32_t)crc32_z(stream->crc, to, n);
    stream->bytes_left -= n;
    return stream->bytes_left == 0 ? check_end(stream, err) : 0;
}

int zip_stream_rewind(struct zip_stream *stream, struct nb_errctx *err)
{
    stream->packed_left = stream->member.packed_bytes;
    stream->bytes_left = stream->member.bytes;
    stream->crc = 0;
    stream->zlib.avail_in = 0;
    if (stream->deflated) {
        (void)inflateReset(&stream->zlib); /* fails only if never begun */
    }
    return source_seek(stream->source, stream->packed_offset, err);
}

static int prepare_zlib(struct zip_stream *stream, struct nb_errctx *err)
{
    if (stream->packed == NULL) {
        stream->packed = malloc(PACKED_BYTES);
    }
    /* No zlib header, and the largest window. */
    if (stream->packed == NULL ||
        inflateInit2(&stream->zlib, -MAX_WBITS) != Z_OK) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", stream->name);
    }
    stream->deflated = true;
    return 0;
}

int zip_stream_start(struct zip_stream *stream, struct source *source,
                     const struct zip_member *member, uint64_t packed_offset,
                     struct nb_errctx *err)
{
    stream->source = source;
    stream->member = *member;
    stream->packed_offset = packed_offset;
    if (stream->deflated && member->method != ZIP_DEFLATED) {
        (void)inflateEnd(&stream->zlib);
        stream->deflated = false;
    }
    if (!stream->deflated && member->method == ZIP_DEFLATED) {
        int rv = prepare_zlib(stream, err);
        if (rv != 0) {
            return rv;
        }
    }
    return zip_stream_rewind(stream, err);
}

void zip_stream_fini(struct zip_stream *stream)
{
    if (stream->deflated) {
        (void)inflateEnd(&stream->zlib);
    }
    free(stream->packed);
}
