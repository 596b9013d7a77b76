/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The header of a table file, byte by byte: storage/FORMAT.md in C. */
#ifndef NB_STORAGE_TABLE_FORMAT_H
#define NB_STORAGE_TABLE_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define TABLE_MAGIC_BYTES    8
#define TABLE_VERSION        1u
#define TABLE_PAGE           4096u /* alignment of rows; bound of a gap */
#define TABLE_ALIGN          8u    /* of the other sections */
#define TABLE_SECTIONS_MAX   64u
#define TABLE_METADATA_MAX   (1u << 20) /* bytes */
#define TABLE_STRIDE_PAD_MAX (TABLE_PAGE - 1u)

/* Bytes that a transfer as text would damage: the high bit, CR LF, LF. */
static const uint8_t TABLE_MAGIC[TABLE_MAGIC_BYTES] = {0x89, 'N',  'B',  'T',
                                                       '\r', '\n', 0x1a, '\n'};

/* Offsets of the header's fields. */
enum {
    HEADER_MAGIC = 0,
    HEADER_VERSION = 8,
    HEADER_BYTES = 12,
    HEADER_CHECKSUM = 16,
    HEADER_FILE_BYTES = 24,
    HEADER_N_ROWS = 32,
    HEADER_STRIDE = 40,
    HEADER_DIM = 48,
    HEADER_CODEC = 52,
    HEADER_SCALES = 56,
    HEADER_N_SECTIONS = 60,
    HEADER_REQUIRED_FLAGS = 64,
    HEADER_OPTIONAL_FLAGS = 72,
    HEADER_SECTIONS = 80, /* the directory */
};

/* Offsets of the fields of one directory entry. */
enum {
    SECTION_KIND = 0,
    SECTION_FLAGS = 4,
    SECTION_OFFSET = 8,
    SECTION_LENGTH = 16,
    SECTION_CHECKSUM = 24,
    SECTION_BYTES = 32,
};

#define TABLE_HEADER_MAX (HEADER_SECTIONS + TABLE_SECTIONS_MAX * SECTION_BYTES)

static_assert(HEADER_VERSION == HEADER_MAGIC + TABLE_MAGIC_BYTES, "version");
static_assert(HEADER_CHECKSUM == HEADER_BYTES + 4, "header checksum");
static_assert(HEADER_FILE_BYTES == HEADER_CHECKSUM + 8, "file bytes");
static_assert(HEADER_DIM == HEADER_STRIDE + 8, "dim");
static_assert(HEADER_REQUIRED_FLAGS == HEADER_N_SECTIONS + 4, "flags");
static_assert(HEADER_SECTIONS == HEADER_OPTIONAL_FLAGS + 8, "directory");
static_assert(HEADER_SECTIONS % TABLE_ALIGN == 0, "alignment");
static_assert(SECTION_OFFSET == SECTION_FLAGS + 4, "section offset");
static_assert(SECTION_BYTES == SECTION_CHECKSUM + 8, "section size");
static_assert(TABLE_HEADER_MAX <= TABLE_PAGE, "the header fits one page");

enum section_kind {
    SECTION_ROWS = 1,
    SECTION_METADATA = 2,
    SECTION_PARAMS = 3,
    SECTION_KEYS = 5,
    SECTION_UNSEEN = 6,
    SECTION_PROTECTED = 7,
    SECTION_KINDS = 8 /* past the last */
};

/* Offsets of the fields of a key index section. */
enum {
    KEYS_SEED = 0,
    KEYS_N_PARTS = 8,
    KEYS_N_BUCKETS = 16,
    KEYS_KIND = 20,
    KEYS_ZERO = 24,
    KEYS_PARTS = 32,
};

/* Offsets of the fields of one of its parts. */
enum {
    KEYS_PART_FIRST_ROW = 0,
    KEYS_PART_N_ROWS = 8,
    KEYS_PART_SEED = 12,
    KEYS_PART_BYTES = 16,
};

/* Offsets of the fields of an unseen ids section. */
enum {
    UNSEEN_ACTION = 0,
    UNSEEN_ZERO = 4,
    UNSEEN_DEFAULT_ROW = 8,
    UNSEEN_BYTES = 16,
};

/* Offsets of the fields of a parameters section. */
enum {
    PARAMS_PARTS = 0,
    PARAMS_N_CODEBOOKS = 4,
    PARAMS_N_LEVELS = 8,
    PARAMS_ZERO = 12,
    PARAMS_VALUES = 16,
};

/* Parts of the parameters, in the order of their values. */
#define PARAMS_COLUMN_MEAN  0x1u
#define PARAMS_COLUMN_SCALE 0x2u
#define PARAMS_CODEBOOKS    0x4u
#define PARAMS_PARTS_DEFINED                                                   \
    (PARAMS_COLUMN_MEAN | PARAMS_COLUMN_SCALE | PARAMS_CODEBOOKS)

#define TABLE_PARAMS_MAX                                                       \
    (PARAMS_VALUES +                                                           \
     sizeof(float) *                                                           \
         (2 * (size_t)NB_DIM_MAX + (size_t)NB_CODEBOOKS_MAX * NB_LEVELS_MAX))

/* Section flags 0..15 must be understood to read the file, 16..31 may be
 * ignored. */
#define SECTION_REQUIRED      0x1u /* who does not know the kind must refuse */
#define SECTION_FLAGS_STRICT  0xffffu
#define SECTION_FLAGS_DEFINED SECTION_REQUIRED

/* Header flags that must be understood; none is defined yet. */
#define TABLE_REQUIRED_FLAGS_DEFINED UINT64_C(0)

/* Blocks of a protected rows section. */
static inline uint64_t table_protected_blocks(uint64_t n_rows)
{
    return n_rows / NB_PROTECTED_ROWS + (n_rows % NB_PROTECTED_ROWS > 0);
}

struct table_section {
    uint32_t kind;
    uint32_t flags;
    uint64_t offset;
    uint64_t length;
    uint64_t checksum; /* xxh3-64 of its bytes */
};

struct table_header {
    uint64_t file_bytes;
    uint64_t n_rows;
    uint64_t stride;
    struct nb_format format;
    uint32_t header_bytes;
    uint32_t n_sections;
    uint64_t required_flags;
    uint64_t optional_flags;
    struct table_section sections[TABLE_SECTIONS_MAX]; /* by offset */
};

/* The first section of that kind, or NULL. */
const struct table_section *
table_header_section(const struct table_header *header, uint32_t kind);

/* Name of a section of that kind, for messages. */
const char *section_kind_name(uint32_t kind);

/* Writes the header with its checksum; returns its length. n_sections must not
 * be over TABLE_SECTIONS_MAX. */
size_t table_header_encode(const struct table_header *header,
                           uint8_t bytes[TABLE_HEADER_MAX]);

/* xxh3-64 of an encoded header without its checksum field. */
uint64_t table_header_checksum(const uint8_t *bytes, size_t header_bytes);

/*
 * Decodes and checks the header of a file of file_bytes bytes that starts with
 * the n given ones (n is file_bytes or at least TABLE_HEADER_MAX). On success
 * every section lies inside the file and rows are what the format says;
 * sections' checksums are not looked at. `name` is for messages.
 * NB_ERR_MAGIC, NB_ERR_VERSION, NB_ERR_TRUNCATED, NB_ERR_CHECKSUM,
 * NB_ERR_FORMAT, NB_ERR_UNSUPPORTED.
 */
int table_header_decode(const uint8_t *bytes, size_t n, uint64_t file_bytes,
                        const char *name, struct table_header *header,
                        struct nb_errctx *err);

#endif
