/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/table_format.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "quant/bytes.h"
#include "quant/checked.h"
#include "storage/table/key_index.h"

/* What a check needs to name the culprit. */
struct check {
    const char *name; /* of the file */
    struct nb_errctx *err;
};

const struct table_section *
table_header_section(const struct table_header *header, uint32_t kind)
{
    for (uint32_t i = 0; i < header->n_sections; i++) {
        if (header->sections[i].kind == kind) {
            return &header->sections[i];
        }
    }
    return NULL;
}

const char *section_kind_name(uint32_t kind)
{
    switch (kind) {
    case SECTION_ROWS:
        return "row";
    case SECTION_METADATA:
        return "metadata";
    case SECTION_PARAMS:
        return "parameters";
    case SECTION_KEYS:
        return "key index";
    case SECTION_UNSEEN:
        return "unseen ids";
    case SECTION_PROTECTED:
        return "protected rows";
    default:
        return "unknown";
    }
}

uint64_t table_header_checksum(const uint8_t *bytes, size_t header_bytes)
{
    /* The header is small: it is hashed from a copy without the field, which
     * takes no allocation. */
    uint8_t rest[TABLE_HEADER_MAX];
    size_t tail = header_bytes - HEADER_FILE_BYTES;
    assert(header_bytes <= sizeof(rest));
    memcpy(rest, bytes, HEADER_CHECKSUM);
    memcpy(rest + HEADER_CHECKSUM, bytes + HEADER_FILE_BYTES, tail);
    return XXH3_64bits(rest, HEADER_CHECKSUM + tail);
}

/* ---- encoding ------------------------------------------------------------ */

size_t table_header_encode(const struct table_header *header,
                           uint8_t bytes[TABLE_HEADER_MAX])
{
    assert(header->n_sections <= TABLE_SECTIONS_MAX);
    uint32_t length = HEADER_SECTIONS + header->n_sections * SECTION_BYTES;
    memcpy(bytes + HEADER_MAGIC, TABLE_MAGIC, TABLE_MAGIC_BYTES);
    put_u32(bytes + HEADER_VERSION, TABLE_VERSION);
    put_u32(bytes + HEADER_BYTES, length);
    put_u64(bytes + HEADER_FILE_BYTES, header->file_bytes);
    put_u64(bytes + HEADER_N_ROWS, header->n_rows);
    put_u64(bytes + HEADER_STRIDE, header->stride);
    put_u32(bytes + HEADER_DIM, header->format.dim);
    put_u32(bytes + HEADER_CODEC, header->format.codec);
    put_u32(bytes + HEADER_SCALES, header->format.scales);
    put_u32(bytes + HEADER_N_SECTIONS, header->n_sections);
    put_u64(bytes + HEADER_REQUIRED_FLAGS, header->required_flags);
    put_u64(bytes + HEADER_OPTIONAL_FLAGS, header->optional_flags);
    for (uint32_t i = 0; i < header->n_sections; i++) {
        const struct table_section *section = &header->sections[i];
        uint8_t *at = bytes + HEADER_SECTIONS + i * (size_t)SECTION_BYTES;
        put_u32(at + SECTION_KIND, section->kind);
        put_u32(at + SECTION_FLAGS, section->flags);
        put_u64(at + SECTION_OFFSET, section->offset);
        put_u64(at + SECTION_LENGTH, section->length);
        put_u64(at + SECTION_CHECKSUM, section->checksum);
    }
    put_u64(bytes + HEADER_CHECKSUM, table_header_checksum(bytes, length));
    return length;
}

/* ---- decoding ------------------------------------------------------------ */

/* Magic, version, length and checksum: after this the bytes are as written,
 * if not honest. */
static int check_envelope(const uint8_t *bytes, size_t n, struct check check,
                          uint32_t *header_bytes)
{
    size_t magic = n < TABLE_MAGIC_BYTES ? n : TABLE_MAGIC_BYTES;
    if (memcmp(bytes, TABLE_MAGIC, magic) != 0) {
        return nb_fail(check.err, NB_ERR_MAGIC,
                       "%s: not a nibble table file (magic, offset 0)",
                       check.name);
    }
    if (n < HEADER_SECTIONS) {
        return nb_fail(check.err, NB_ERR_TRUNCATED,
                       "%s: header needs %d bytes, file has %zu", check.name,
                       HEADER_SECTIONS, n);
    }
    uint32_t version = get_u32(bytes + HEADER_VERSION);
    if (version > TABLE_VERSION) {
        return nb_fail(check.err, NB_ERR_VERSION,
                       "%s: format version %" PRIu32 " (header, offset %d), "
                       "newer than %u, the newest this program reads",
                       check.name, version, HEADER_VERSION, TABLE_VERSION);
    }
    if (version == 0) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: format version 0 (header, offset %d)", check.name,
                       HEADER_VERSION);
    }
    uint32_t length = get_u32(bytes + HEADER_BYTES);
    if (length < HEADER_SECTIONS || length > TABLE_HEADER_MAX) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: header of %" PRIu32 " bytes (header, offset %d), "
                       "not within %d to %u",
                       check.name, length, HEADER_BYTES, HEADER_SECTIONS,
                       TABLE_HEADER_MAX);
    }
    if (length > n) {
        return nb_fail(check.err, NB_ERR_TRUNCATED,
                       "%s: header needs %" PRIu32 " bytes, file has %zu",
                       check.name, length, n);
    }
    if (get_u64(bytes + HEADER_CHECKSUM) !=
        table_header_checksum(bytes, length)) {
        return nb_fail(check.err, NB_ERR_CHECKSUM,
                       "%s: header checksum mismatch (offset %d)", check.name,
                       HEADER_CHECKSUM);
    }
    *header_bytes = length;
    return 0;
}

static void decode_fields(const uint8_t *bytes, struct table_header *header)
{
    header->file_bytes = get_u64(bytes + HEADER_FILE_BYTES);
    header->n_rows = get_u64(bytes + HEADER_N_ROWS);
    header->stride = get_u64(bytes + HEADER_STRIDE);
    header->format.dim = get_u32(bytes + HEADER_DIM);
    header->format.codec = get_u32(bytes + HEADER_CODEC);
    header->format.scales = get_u32(bytes + HEADER_SCALES);
    header->n_sections = get_u32(bytes + HEADER_N_SECTIONS);
    header->required_flags = get_u64(bytes + HEADER_REQUIRED_FLAGS);
    header->optional_flags = get_u64(bytes + HEADER_OPTIONAL_FLAGS);
}

static int check_sizes(const struct table_header *header, uint64_t file_bytes,
                       struct check check)
{
    if (header->file_bytes > file_bytes) {
        return nb_fail(
            check.err, NB_ERR_TRUNCATED,
            "%s: header (offset %d) says %" PRIu64 " bytes, file has %" PRIu64,
            check.name, HEADER_FILE_BYTES, header->file_bytes, file_bytes);
    }
    if (header->file_bytes < file_bytes) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: %" PRIu64 " bytes past the end of %" PRIu64
                       " that the header (offset %d) says",
                       check.name, file_bytes - header->file_bytes,
                       header->file_bytes, HEADER_FILE_BYTES);
    }
    if (header->n_sections > TABLE_SECTIONS_MAX ||
        header->header_bytes !=
            HEADER_SECTIONS + header->n_sections * SECTION_BYTES) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: %" PRIu32 " sections (header, offset %d) do not "
                       "fill a header of %" PRIu32 " bytes",
                       check.name, header->n_sections, HEADER_N_SECTIONS,
                       header->header_bytes);
    }
    uint64_t unknown = header->required_flags & ~TABLE_REQUIRED_FLAGS_DEFINED;
    if (unknown != 0) {
        return nb_fail(check.err, NB_ERR_UNSUPPORTED,
                       "%s: required flags 0x%" PRIx64 " (header, offset %d) "
                       "need a newer program",
                       check.name, unknown, HEADER_REQUIRED_FLAGS);
    }
    return 0;
}

static int check_rows(const struct table_header *header, struct check check)
{
    const struct nb_format *format = &header->format;
    size_t row_bytes;
    int rv = nb_row_bytes(format, &row_bytes);
    if (rv == NB_ERR_UNSUPPORTED) {
        return nb_fail(check.err, rv,
                       "%s: codec %" PRIu32 " (header, offset %d) is not known "
                       "to this program",
                       check.name, format->codec, HEADER_CODEC);
    }
    if (rv != 0) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: dim %" PRIu32 " or scale type %" PRIu32
                       " (header, offsets %d, %d) out of range",
                       check.name, format->dim, format->scales, HEADER_DIM,
                       HEADER_SCALES);
    }
    if (header->stride < row_bytes ||
        header->stride - row_bytes > TABLE_STRIDE_PAD_MAX) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: stride %" PRIu64 " (header, offset %d) for rows of "
                       "%zu bytes",
                       check.name, header->stride, HEADER_STRIDE, row_bytes);
    }
    if (header->n_rows == 0) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: no rows (header, offset %d)", check.name,
                       HEADER_N_ROWS);
    }
    return 0;
}

/* What holds for the length of one kind of section whatever is in it. */
static int check_length(const struct table_section *section, uint64_t max,
                        struct check check, size_t at)
{
    return section->length <= max
               ? 0
               : nb_fail(check.err, NB_ERR_FORMAT,
                         "%s: %s of %" PRIu64
                         " bytes (header, offset %zu), over the limit of "
                         "%" PRIu64,
                         check.name, section_kind_name(section->kind),
                         section->length, at + SECTION_LENGTH, max);
}

/* Blocks, then whole residual rows. */
static int check_protected(const struct table_header *header,
                           const struct table_section *section,
                           struct check check, size_t at)
{
    uint64_t blocks = table_protected_blocks(header->n_rows) *
                      sizeof(struct nb_protected_block);
    size_t row_bytes;
    (void)nb_row_bytes(&header->format, &row_bytes); /* checked before */
    return section->length > blocks &&
                   (section->length - blocks) % row_bytes == 0
               ? 0
               : nb_fail(check.err, NB_ERR_FORMAT,
                         "%s: protected rows section of %" PRIu64
                         " bytes (header, offset %zu): not %" PRIu64
                         " bytes and residual rows of %zu",
                         check.name, section->length, at + SECTION_LENGTH,
                         blocks, row_bytes);
}

/* What one kind of section must be. */
static int check_section_kind(const struct table_header *header,
                              const struct table_section *section,
                              struct check check, size_t at)
{
    uint64_t rows_bytes;
    switch (section->kind) {
    case SECTION_ROWS:
        if (section->offset % TABLE_PAGE != 0) {
            return nb_fail(check.err, NB_ERR_FORMAT,
                           "%s: row section at %" PRIu64
                           " (header, offset %zu) is not page-aligned",
                           check.name, section->offset, at + SECTION_OFFSET);
        }
        if (!checked_mul(header->n_rows, header->stride, &rows_bytes) ||
            rows_bytes != section->length) {
            return nb_fail(check.err, NB_ERR_FORMAT,
                           "%s: row section of %" PRIu64
                           " bytes (header, offset %zu) for %" PRIu64
                           " rows of stride %" PRIu64,
                           check.name, section->length, at + SECTION_LENGTH,
                           header->n_rows, header->stride);
        }
        return 0;
    case SECTION_METADATA:
        return check_length(section, TABLE_METADATA_MAX, check, at);
    case SECTION_PARAMS:
        return check_length(section, TABLE_PARAMS_MAX, check, at);
    case SECTION_KEYS:
        return check_length(section, key_index_section_max(header->n_rows),
                            check, at);
    case SECTION_UNSEEN:
        return check_length(section, UNSEEN_BYTES, check, at);
    case SECTION_PROTECTED:
        return check_protected(header, section, check, at);
    default:
        if ((section->flags & SECTION_REQUIRED) != 0) {
            return nb_fail(check.err, NB_ERR_UNSUPPORTED,
                           "%s: required section of unknown kind %" PRIu32
                           " (header, offset %zu) needs a newer program",
                           check.name, section->kind, at + SECTION_KIND);
        }
        return 0;
    }
}

/* Sections stand in order, apart, inside the file, with gaps below a page.
 * *end is the end of what came before, then of this one. */
static int check_section_place(const struct table_section *section,
                               uint64_t file_bytes, struct check check,
                               size_t at, uint64_t *end)
{
    const char *kind = section_kind_name(section->kind);
    uint64_t section_end;
    if (section->offset < *end || section->offset - *end >= TABLE_PAGE ||
        section->offset % TABLE_ALIGN != 0) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: %s section at %" PRIu64 " (header, offset %zu), "
                       "the one before ends at %" PRIu64,
                       check.name, kind, section->offset, at + SECTION_OFFSET,
                       *end);
    }
    if (!checked_add(section->offset, section->length, &section_end) ||
        section_end > file_bytes) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: %s section of %" PRIu64 " bytes at %" PRIu64
                       " (header, offset %zu), file has %" PRIu64,
                       check.name, kind, section->length, section->offset,
                       at + SECTION_LENGTH, file_bytes);
    }
    uint32_t unknown =
        section->flags & SECTION_FLAGS_STRICT & ~SECTION_FLAGS_DEFINED;
    if (unknown != 0) {
        return nb_fail(check.err, NB_ERR_UNSUPPORTED,
                       "%s: flags 0x%" PRIx32 " of the %s section (header, "
                       "offset %zu) need a newer program",
                       check.name, unknown, kind, at + SECTION_FLAGS);
    }
    *end = section_end;
    return 0;
}

static bool is_known(uint32_t kind)
{
    return (kind >= SECTION_ROWS && kind <= SECTION_PARAMS) ||
           (kind >= SECTION_KEYS && kind <= SECTION_PROTECTED);
}

static void decode_section(const uint8_t *entry, struct table_section *section)
{
    section->kind = get_u32(entry + SECTION_KIND);
    section->flags = get_u32(entry + SECTION_FLAGS);
    section->offset = get_u64(entry + SECTION_OFFSET);
    section->length = get_u64(entry + SECTION_LENGTH);
    section->checksum = get_u64(entry + SECTION_CHECKSUM);
}

/* How many there are of each kind, and what that asks of the others. */
static int check_counts(const struct table_header *header,
                        const unsigned counts[SECTION_KINDS],
                        struct check check)
{
    if (counts[SECTION_ROWS] != 1 || counts[SECTION_METADATA] != 1) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: %u row and %u metadata sections (header, offset "
                       "%d), not one of each",
                       check.name, counts[SECTION_ROWS],
                       counts[SECTION_METADATA], HEADER_SECTIONS);
    }
    for (uint32_t kind = 0; kind < SECTION_KINDS; kind++) {
        if (counts[kind] > 1) {
            return nb_fail(check.err, NB_ERR_FORMAT,
                           "%s: %u %s sections (header, offset %d)", check.name,
                           counts[kind], section_kind_name(kind),
                           HEADER_SECTIONS);
        }
    }
    if (counts[SECTION_KEYS] > 0 && counts[SECTION_PROTECTED] > 0) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: a key index and protected rows (header, offset "
                       "%d): no table has both",
                       check.name, HEADER_SECTIONS);
    }
    size_t row_bytes;
    if (counts[SECTION_KEYS] > 0 &&
        nb_row_bytes(&header->format, &row_bytes) == 0 &&
        header->stride - row_bytes < NB_KEY_BYTES) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: stride %" PRIu64 " (header, offset %d) for rows of "
                       "%zu bytes and their keys",
                       check.name, header->stride, HEADER_STRIDE, row_bytes);
    }
    return 0;
}

static int check_sections(const uint8_t *bytes, struct table_header *header,
                          struct check check)
{
    uint64_t end = header->header_bytes;
    unsigned counts[SECTION_KINDS] = {0};
    for (uint32_t i = 0; i < header->n_sections; i++) {
        size_t at = HEADER_SECTIONS + i * (size_t)SECTION_BYTES;
        struct table_section *section = &header->sections[i];
        decode_section(bytes + at, section);
        int rv =
            check_section_place(section, header->file_bytes, check, at, &end);
        if (rv == 0) {
            rv = check_section_kind(header, section, check, at);
        }
        if (rv != 0) {
            return rv;
        }
        if (is_known(section->kind)) {
            counts[section->kind]++;
        }
    }
    int rv = check_counts(header, counts, check);
    if (rv != 0) {
        return rv;
    }
    if (end != header->file_bytes) {
        return nb_fail(check.err, NB_ERR_FORMAT,
                       "%s: last section ends at %" PRIu64 ", file has %" PRIu64
                       " bytes",
                       check.name, end, header->file_bytes);
    }
    return 0;
}

int table_header_decode(const uint8_t *bytes, size_t n, uint64_t file_bytes,
                        const char *name, struct table_header *header,
                        struct nb_errctx *err)
{
    struct check check = {.name = name, .err = err};
    if (n == 0) {
        return nb_fail(err, NB_ERR_TRUNCATED, "%s: the file is empty", name);
    }
    int rv = check_envelope(bytes, n, check, &header->header_bytes);
    if (rv != 0) {
        return rv;
    }
    decode_fields(bytes, header);
    rv = check_sizes(header, file_bytes, check);
    if (rv == 0) {
        rv = check_rows(header, check);
    }
    if (rv == 0) {
        rv = check_sections(bytes, header, check);
    }
    return rv;
}
