/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/table_checksum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/io/file_io.h"

#define BLOCK_BYTES ((size_t)256 * 1024)

static int fail_read(int rv, const char *kind, uint64_t offset,
                     const char *name, struct nb_errctx *err)
{
    return nb_fail(err, rv, "%s: %s section, offset %" PRIu64 ": %s", name,
                   kind, offset, nb_strerror(rv));
}

static int compare(uint64_t checksum, const struct table_section *section,
                   const char *name, struct nb_errctx *err)
{
    if (checksum == section->checksum) {
        return 0;
    }
    return nb_fail(err, NB_ERR_CHECKSUM,
                   "%s: checksum mismatch in the %s section, offset %" PRIu64
                   " to %" PRIu64,
                   name, section_kind_name(section->kind), section->offset,
                   section->offset + section->length);
}

int section_check_bytes(const void *bytes, const struct table_section *section,
                        const char *name, struct nb_errctx *err)
{
    return compare(XXH3_64bits(bytes, (size_t)section->length), section, name,
                   err);
}

/* Bytes to read at once. */
static size_t block_bytes(const struct section_visitor *visitor)
{
    size_t item = visitor != NULL ? visitor->item_bytes : 1;
    return item < BLOCK_BYTES ? BLOCK_BYTES / item * item : item;
}

static int check_section(int fd, const struct table_section *section,
                         const struct section_visitor *visitor,
                         const struct io_pace *pace, const char *name,
                         struct nb_errctx *err)
{
    const char *kind = section_kind_name(section->kind);
    size_t max = block_bytes(visitor);
    XXH3_state_t *hash = XXH3_createState();
    uint8_t *block = malloc(max);
    int seen = 0; /* of the visitor; a wrong checksum says more */
    int rv = 0;
    if (hash == NULL || block == NULL) {
        rv = fail_read(NB_ERR_NOMEM, kind, section->offset, name, err);
        goto out;
    }
    XXH3_64bits_reset(hash);
    uint64_t at = section->offset;
    uint64_t left = section->length;
    while (left > 0) {
        size_t n = left < max ? (size_t)left : max;
        rv = io_pace_step(pace, n);
        if (rv == 0) {
            rv = file_read_at(fd, block, n, at);
        }
        if (rv != 0) {
            fail_read(rv, kind, at, name, err);
            goto out;
        }
        XXH3_64bits_update(hash, block, n);
        if (visitor != NULL && seen == 0) {
            seen = visitor->visit(visitor->arg, block, n, err);
        }
        at += n;
        left -= n;
    }
    rv = compare(XXH3_64bits_digest(hash), section, name, err);
    rv = rv == 0 ? seen : rv;

out:
    free(block);
    XXH3_freeState(hash);
    return rv;
}

/* Bytes [from, to), less than a page of them. */
static int check_gap(int fd, uint64_t from, uint64_t to, const char *name,
                     struct nb_errctx *err)
{
    uint8_t gap[TABLE_PAGE];
    size_t n = (size_t)(to - from);
    int rv = file_read_at(fd, gap, n, from);
    if (rv != 0) {
        return fail_read(rv, "gap before a", from, name, err);
    }
    for (size_t i = 0; i < n; i++) {
        if (gap[i] != 0) {
            return nb_fail(err, NB_ERR_FORMAT,
                           "%s: byte 0x%02x between sections, offset %" PRIu64
                           ", is not zero",
                           name, gap[i], from + i);
        }
    }
    return 0;
}

static int check_gaps(int fd, const struct table_header *header,
                      const char *name, struct nb_errctx *err)
{
    uint64_t end = header->header_bytes;
    for (uint32_t i = 0; i < header->n_sections; i++) {
        const struct table_section *section = &header->sections[i];
        int rv = check_gap(fd, end, section->offset, name, err);
        if (rv != 0) {
            return rv;
        }
        end = section->offset + section->length;
    }
    return 0;
}

/* Opening reads and checks these. */
static bool checked_at_opening(uint32_t kind)
{
    return kind == SECTION_METADATA || kind == SECTION_PARAMS ||
           kind == SECTION_KEYS || kind == SECTION_UNSEEN;
}

int table_check_file(int fd, const struct table_header *header,
                     const struct section_visitor *rows,
                     const struct io_pace *pace, const char *name,
                     struct nb_errctx *err)
{
    int rv = check_gaps(fd, header, name, err);
    for (uint32_t i = 0; i < header->n_sections && rv == 0; i++) {
        uint32_t kind = header->sections[i].kind;
        if (!checked_at_opening(kind)) {
            rv = check_section(fd, &header->sections[i],
                               kind == SECTION_ROWS ? rows : NULL, pace, name,
                               err);
        }
    }
    return rv;
}
