/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table_checksum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/file_io.h"

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

static int check_section(int fd, const struct table_section *section,
                         const struct io_pace *pace, const char *name,
                         struct nb_errctx *err)
{
    const char *kind = section_kind_name(section->kind);
    XXH3_state_t *hash = XXH3_createState();
    void *block = malloc(BLOCK_BYTES);
    int rv = 0;
    if (hash == NULL || block == NULL) {
        rv = fail_read(NB_ERR_NOMEM, kind, section->offset, name, err);
        goto out;
    }
    XXH3_64bits_reset(hash);
    uint64_t at = section->offset;
    uint64_t left = section->length;
    while (left > 0) {
        size_t n = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        rv = io_pace_step(pace, n);
        if (rv == 0) {
            rv = file_read_at(fd, block, n, at);
        }
        if (rv != 0) {
            fail_read(rv, kind, at, name, err);
            goto out;
        }
        XXH3_64bits_update(hash, block, n);
        at += n;
        left -= n;
    }
    rv = compare(XXH3_64bits_digest(hash), section, name, err);

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

int table_check_file(int fd, const struct table_header *header,
                     const struct io_pace *pace, const char *name,
                     struct nb_errctx *err)
{
    int rv = check_gaps(fd, header, name, err);
    for (uint32_t i = 0; i < header->n_sections && rv == 0; i++) {
        uint32_t kind = header->sections[i].kind;
        if (kind != SECTION_METADATA && kind != SECTION_PARAMS) {
            rv = check_section(fd, &header->sections[i], pace, name, err);
        }
    }
    return rv;
}
