/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/zip_archive.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/checked.h"
#include "storage/io/file_io.h"

/* Records, and where their fields stand. */
enum {
    END_BYTES = 22, /* and a comment */
    END_DISK = 4,
    END_DIRECTORY_DISK = 6,
    END_DISK_MEMBERS = 8,
    END_MEMBERS = 10,
    END_DIRECTORY_BYTES = 12,
    END_DIRECTORY_OFFSET = 16,
    END_COMMENT_BYTES = 20,

    LOCATOR_BYTES = 20, /* right before the end record, in zip64 */
    LOCATOR_DISK = 4,
    LOCATOR_OFFSET = 8,
    LOCATOR_DISKS = 16,

    END64_BYTES = 56,
    END64_DISK = 16,
    END64_DIRECTORY_DISK = 20,
    END64_DISK_MEMBERS = 24,
    END64_MEMBERS = 32,
    END64_DIRECTORY_BYTES = 40,
    END64_DIRECTORY_OFFSET = 48,

    ENTRY_BYTES = 46, /* in the directory; name, extra and comment follow */
    ENTRY_FLAGS = 8,
    ENTRY_METHOD = 10,
    ENTRY_CRC = 16,
    ENTRY_PACKED_BYTES = 20,
    ENTRY_BYTES_UNPACKED = 24,
    ENTRY_NAME_BYTES = 28,
    ENTRY_EXTRA_BYTES = 30,
    ENTRY_COMMENT_BYTES = 32,
    ENTRY_OFFSET = 42,

    LOCAL_BYTES = 30, /* before a member; name and extra follow */
    LOCAL_METHOD = 8,
    LOCAL_NAME_BYTES = 26,
    LOCAL_EXTRA_BYTES = 28,
};

#define END_MAGIC     0x06054b50u
#define LOCATOR_MAGIC 0x07064b50u
#define END64_MAGIC   0x06064b50u
#define ENTRY_MAGIC   0x02014b50u
#define LOCAL_MAGIC   0x04034b50u

#define FLAG_ENCRYPTED 1u
#define EXTRA_ZIP64    1u     /* tag of the extra field with long sizes */
#define COMMENT_MAX    65535u /* bytes */

bool zip_has_magic(const uint8_t *bytes, size_t n)
{
    return n >= 4 &&
           (get_u32(bytes) == LOCAL_MAGIC || get_u32(bytes) == END_MAGIC);
}

/* ---- where the directory is ---------------------------------------------- */

/* What an end record says, of either kind. */
struct end_record {
    uint64_t offset; /* its own */
    uint64_t disk;
    uint64_t directory_disk;
    uint64_t disk_members;
    uint64_t members;
    uint64_t directory_bytes;
    uint64_t directory_offset;
};

static int malformed(const struct zip_archive *archive, uint64_t offset,
                     const char *what, struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_SOURCE, "%s: zip, offset %" PRIu64 ": %s",
                   archive->path, offset, what);
}

static int read_at(const struct zip_archive *archive, void *to, size_t n,
                   uint64_t offset, struct nb_errctx *err)
{
    int rv = file_read_at(archive->fd, to, n, offset);
    if (rv == NB_ERR_TRUNCATED) {
        return malformed(archive, offset, "the file ends", err);
    }
    return rv == 0 ? 0
                   : nb_fail(err, rv, "%s: cannot read: %s", archive->path,
                             nb_strerror(rv));
}

/* Finds the end record in the last n bytes of the file: the last one that with
 * its comment ends where the file does. */
static const uint8_t *find_end(const uint8_t *tail, size_t n)
{
    for (size_t at = n - END_BYTES + 1; at-- > 0;) {
        if (get_u32(tail + at) == END_MAGIC &&
            get_u16(tail + at + END_COMMENT_BYTES) == n - END_BYTES - at) {
            return tail + at;
        }
    }
    return NULL;
}

static int read_end(const struct zip_archive *archive, uint64_t file_bytes,
                    struct end_record *end, struct nb_errctx *err)
{
    size_t n = END_BYTES + COMMENT_MAX;
    if (file_bytes < END_BYTES) {
        return malformed(archive, file_bytes, "the file ends", err);
    }
    if (n > file_bytes) {
        n = (size_t)file_bytes;
    }
    uint8_t *tail = malloc(n);
    if (tail == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", archive->path);
    }
    int rv = read_at(archive, tail, n, file_bytes - n, err);
    if (rv != 0) {
        goto out;
    }
    const uint8_t *found = find_end(tail, n);
    if (found == NULL) {
        rv = malformed(archive, file_bytes,
                       "no end record stands before it; is the file cut?", err);
        goto out;
    }
    *end = (struct end_record){
        .offset = file_bytes - n + (uint64_t)(found - tail),
        .disk = get_u16(found + END_DISK),
        .directory_disk = get_u16(found + END_DIRECTORY_DISK),
        .disk_members = get_u16(found + END_DISK_MEMBERS),
        .members = get_u16(found + END_MEMBERS),
        .directory_bytes = get_u32(found + END_DIRECTORY_BYTES),
        .directory_offset = get_u32(found + END_DIRECTORY_OFFSET),
    };

out:
    free(tail);
    return rv;
}

/* Where there is a zip64 end record, it is in the place of the other. */
static int read_end64(const struct zip_archive *archive, struct end_record *end,
                      struct nb_errctx *err)
{
    uint8_t locator[LOCATOR_BYTES];
    uint8_t bytes[END64_BYTES];
    if (end->offset < LOCATOR_BYTES) {
        return 0;
    }
    uint64_t locator_offset = end->offset - LOCATOR_BYTES;
    int rv = read_at(archive, locator, sizeof(locator), locator_offset, err);
    if (rv != 0 || get_u32(locator) != LOCATOR_MAGIC) {
        return rv;
    }
    uint64_t offset = get_u64(locator + LOCATOR_OFFSET);
    if (get_u32(locator + LOCATOR_DISK) != 0 ||
        get_u32(locator + LOCATOR_DISKS) > 1 || locator_offset < END64_BYTES ||
        offset > locator_offset - END64_BYTES) {
        return malformed(archive, locator_offset,
                         "the zip64 end record is not before its locator", err);
    }
    rv = read_at(archive, bytes, sizeof(bytes), offset, err);
    if (rv != 0) {
        return rv;
    }
    if (get_u32(bytes) != END64_MAGIC) {
        return malformed(archive, offset, "not a zip64 end record", err);
    }
    *end = (struct end_record){
        .offset = offset,
        .disk = get_u32(bytes + END64_DISK),
        .directory_disk = get_u32(bytes + END64_DIRECTORY_DISK),
        .disk_members = get_u64(bytes + END64_DISK_MEMBERS),
        .members = get_u64(bytes + END64_MEMBERS),
        .directory_bytes = get_u64(bytes + END64_DIRECTORY_BYTES),
        .directory_offset = get_u64(bytes + END64_DIRECTORY_OFFSET),
    };
    return 0;
}

static int check_end(const struct zip_archive *archive,
                     const struct end_record *end, struct nb_errctx *err)
{
    uint64_t directory_end;
    if (end->disk != 0 || end->directory_disk != 0 ||
        end->disk_members != end->members) {
        return nb_fail(err, NB_ERR_UNSUPPORTED, "%s: zip of several disks",
                       archive->path);
    }
    if (!checked_add(end->directory_offset, end->directory_bytes,
                     &directory_end) ||
        directory_end != end->offset) {
        return malformed(archive, end->offset,
                         "the directory does not end here, as it should", err);
    }
    if (end->members > end->directory_bytes / ENTRY_BYTES) {
        return malformed(archive, end->offset,
                         "more members than the directory has room for", err);
    }
    if (end->directory_bytes > ZIP_DIRECTORY_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE,
                       "%s: zip directory of %" PRIu64
                       " bytes, the limit is %" PRIu64,
                       archive->path, end->directory_bytes, ZIP_DIRECTORY_MAX);
    }
    return 0;
}

int zip_open(int fd, uint64_t file_bytes, const char *path,
             struct zip_archive *archive, struct nb_errctx *err)
{
    struct zip_archive opened = {.path = path, .fd = fd};
    struct end_record end = {0};
    int rv = read_end(&opened, file_bytes, &end, err);
    if (rv == 0) {
        rv = read_end64(&opened, &end, err);
    }
    if (rv == 0) {
        rv = check_end(&opened, &end, err);
    }
    if (rv != 0) {
        return rv;
    }
    opened.n_members = end.members;
    opened.directory_offset = end.directory_offset;
    opened.directory_bytes = (size_t)end.directory_bytes;
    opened.directory = malloc(opened.directory_bytes + 1); /* not of 0 */
    if (opened.directory == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    rv = read_at(&opened, opened.directory, opened.directory_bytes,
                 opened.directory_offset, err);
    if (rv != 0) {
        zip_close(&opened);
        return rv;
    }
    *archive = opened;
    return 0;
}

void zip_close(struct zip_archive *archive)
{
    free(archive->directory);
    archive->directory = NULL;
}

void zip_rewind(struct zip_archive *archive)
{
    archive->at = 0;
    archive->n_taken = 0;
}

/* ---- members ------------------------------------------------------------- */

/* Takes the 64-bit form of a field that is all ones. */
static bool take_long(uint64_t *value, const uint8_t **at, const uint8_t *end)
{
    if (*value != UINT32_MAX) {
        return true;
    }
    if (end - *at < 8) {
        return false;
    }
    *value = get_u64(*at);
    *at += 8;
    return true;
}

/* Replaces sizes and offset by those of a zip64 extra field; false if one is
 * needed and there is none, or it is short. */
static bool read_extra(const uint8_t *extra, size_t n,
                       struct zip_member *member)
{
    const uint8_t *at = extra;
    const uint8_t *end = extra; /* no long values */
    while (n >= 4) {
        size_t field = get_u16(extra + 2);
        if (field > n - 4) {
            break;
        }
        if (get_u16(extra) == EXTRA_ZIP64) {
            at = extra + 4;
            end = at + field;
            break;
        }
        extra += 4 + field;
        n -= 4 + field;
    }
    return take_long(&member->bytes, &at, end) &&
           take_long(&member->packed_bytes, &at, end) &&
           take_long(&member->offset, &at, end);
}

/* Whether there is room for the member before the directory, and its sizes can
 * be: deflate makes at most 1,032 bytes of one. */
static bool is_possible(const struct zip_archive *archive,
                        const struct zip_member *member)
{
    uint64_t end;
    return checked_add(member->offset, LOCAL_BYTES + member->name_bytes,
                       &end) &&
           checked_add(end, member->packed_bytes, &end) &&
           end <= archive->directory_offset &&
           (member->method == ZIP_STORED
                ? member->bytes == member->packed_bytes
                : member->bytes / 1032 <= member->packed_bytes);
}

int zip_next(struct zip_archive *archive, struct zip_member *member, bool *more,
             struct nb_errctx *err)
{
    size_t left = archive->directory_bytes - archive->at;
    uint64_t offset = archive->directory_offset + archive->at;
    *more = archive->n_taken < archive->n_members;
    if (!*more) {
        return left == 0
                   ? 0
                   : malformed(archive, offset,
                               "the directory has more than its members", err);
    }
    const uint8_t *entry = archive->directory + archive->at;
    if (left < ENTRY_BYTES || get_u32(entry) != ENTRY_MAGIC) {
        return malformed(archive, offset, "not a directory entry", err);
    }
    size_t name_bytes = get_u16(entry + ENTRY_NAME_BYTES);
    size_t extra_bytes = get_u16(entry + ENTRY_EXTRA_BYTES);
    size_t entry_bytes = ENTRY_BYTES + name_bytes + extra_bytes +
                         get_u16(entry + ENTRY_COMMENT_BYTES);
    if (left < entry_bytes) {
        return malformed(archive, offset, "the directory ends inside an entry",
                         err);
    }
    const uint8_t *name = entry + ENTRY_BYTES;
    *member = (struct zip_member){
        .name = name,
        .name_bytes = name_bytes,
        .encrypted = (get_u16(entry + ENTRY_FLAGS) & FLAG_ENCRYPTED) != 0,
        .method = get_u16(entry + ENTRY_METHOD),
        .crc = get_u32(entry + ENTRY_CRC),
        .packed_bytes = get_u32(entry + ENTRY_PACKED_BYTES),
        .bytes = get_u32(entry + ENTRY_BYTES_UNPACKED),
        .offset = get_u32(entry + ENTRY_OFFSET),
    };
    if (!read_extra(name + name_bytes, extra_bytes, member)) {
        return malformed(archive, offset, "an entry without its long sizes",
                         err);
    }
    if (!is_possible(archive, member)) {
        return malformed(archive, offset,
                         "an entry of impossible offset or sizes", err);
    }
    archive->at += entry_bytes;
    archive->n_taken++;
    return 0;
}

int zip_locate(const struct zip_archive *archive,
               const struct zip_member *member, uint64_t *offset,
               struct nb_errctx *err)
{
    if (member->encrypted) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: zip, offset %" PRIu64 ": an encrypted member",
                       archive->path, member->offset);
    }
    if (member->method != ZIP_STORED && member->method != ZIP_DEFLATED) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: zip, offset %" PRIu64
                       ": compression method %u; read are 0 (stored) and 8 "
                       "(deflated)",
                       archive->path, member->offset, member->method);
    }
    /* is_possible() saw to it that header and name are in the file. */
    size_t n = LOCAL_BYTES + member->name_bytes;
    uint8_t *local = malloc(n);
    if (local == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", archive->path);
    }
    int rv = read_at(archive, local, n, member->offset, err);
    if (rv != 0) {
        goto out;
    }
    if (get_u32(local) != LOCAL_MAGIC ||
        get_u16(local + LOCAL_METHOD) != member->method ||
        get_u16(local + LOCAL_NAME_BYTES) != member->name_bytes ||
        memcmp(local + LOCAL_BYTES, member->name, member->name_bytes) != 0) {
        rv = malformed(archive, member->offset,
                       "not the member that the directory says", err);
        goto out;
    }
    *offset = member->offset + n + get_u16(local + LOCAL_EXTRA_BYTES);
    if (*offset + member->packed_bytes > archive->directory_offset) {
        rv = malformed(archive, member->offset,
                       "the member reaches into the directory", err);
    }

out:
    free(local);
    return rv;
}
