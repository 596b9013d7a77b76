/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Opens the input as a table file and, if it is accepted, looks rows up, pools
 * and exports them. Then again with every checksum made right, for no mutation
 * would get past them.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quant/bytes.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader.h"
#include "tests/lib/fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use(const struct table *table)
{
    const struct nb_rows *rows = table_rows(table);
    const struct table_info *info = table_info(table);
    if (info->n_rows == 0 || strlen(info->metadata) > TABLE_METADATA_MAX ||
        info->stride < 1) {
        abort();
    }
    uint64_t ids[] = {0, info->n_rows - 1, info->n_rows, UINT64_MAX};
    struct nb_lookup lookup = {.ids = {.u64 = ids, .n = 4}};
    uint32_t lengths[] = {3, 0, 1};
    struct nb_pool pool = {.ids = lookup.ids, .lengths = lengths, .n_bags = 3};
    uint64_t unseen = 0;
    float *out = malloc(4 * sizeof(float) * info->format.dim);
    if (out == NULL) {
        return;
    }
    if (nb_lookup(rows, &lookup, out, &unseen) != 0 || unseen != 2 ||
        nb_pool(rows, &pool, out, &unseen) != 0) {
        abort();
    }
    free(out);
}

static void open_input(const uint8_t *data, size_t n)
{
    struct fuzz_file file;
    fuzz_file_init(&file, data, n);
    for (int verify = TABLE_VERIFY_HEADER; verify <= TABLE_VERIFY_FULL;
         verify++) {
        struct table *table;
        struct nb_errctx err = {""};
        int rv = table_open(file.path, (enum table_verify)verify, &table, &err);
        if (rv == 0) {
            use(table);
            table_close(table);
        } else if (rv > 0 || err.text[0] == '\0') {
            abort();
        }
    }
    fuzz_file_fini(&file);
}

/* Makes the checksums of a header and of its sections right, as far as they
 * can be found. */
static void fix_checksums(uint8_t *bytes, size_t n)
{
    size_t header_bytes = get_u32(bytes + HEADER_BYTES);
    if (header_bytes < HEADER_SECTIONS || header_bytes > n ||
        header_bytes > TABLE_HEADER_MAX) {
        return;
    }
    for (size_t at = HEADER_SECTIONS; at + SECTION_BYTES <= header_bytes;
         at += SECTION_BYTES) {
        uint64_t offset = get_u64(bytes + at + SECTION_OFFSET);
        uint64_t length = get_u64(bytes + at + SECTION_LENGTH);
        if (offset <= n && length <= n - offset) {
            put_u64(bytes + at + SECTION_CHECKSUM,
                    XXH3_64bits(bytes + offset, (size_t)length));
        }
    }
    put_u64(bytes + HEADER_CHECKSUM,
            table_header_checksum(bytes, header_bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    open_input(data, n);
    if (n >= HEADER_SECTIONS) {
        uint8_t *fixed = malloc(n);
        if (fixed == NULL) {
            return 0;
        }
        memcpy(fixed, data, n);
        memcpy(fixed, TABLE_MAGIC, TABLE_MAGIC_BYTES);
        put_u64(fixed + HEADER_FILE_BYTES, n);
        fix_checksums(fixed, n);
        open_input(fixed, n);
        free(fixed);
    }
    return 0;
}
