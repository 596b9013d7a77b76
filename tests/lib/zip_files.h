/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Zip files for tests, in memory. Failures abort the test. */
#ifndef NB_TESTS_LIB_ZIP_FILES_H
#define NB_TESTS_LIB_ZIP_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZIP_FILE_MEMBERS_MAX 64

struct zip_file {
    uint8_t *bytes; /* owned */
    size_t n;
    bool zip64; /* every size and offset in its long form */
    size_t n_members;
    size_t directory; /* offset, once ended */
    size_t end;       /* of the end record, or of the zip64 one */
    struct {
        char name[64];
        size_t offset; /* of its own header */
        size_t packed; /* offset */
        size_t packed_bytes;
        size_t bytes;
        unsigned method;
        uint32_t crc;
        size_t entry; /* offset in the file, once ended */
    } members[ZIP_FILE_MEMBERS_MAX];
};

/* Begins as zero. Adds a member, stored (0) or deflated (8). */
void zip_file_add(struct zip_file *zip, const char *name, unsigned method,
                  const void *bytes, size_t n);

/* Adds the directory and the end record with a comment. */
void zip_file_end(struct zip_file *zip, const char *comment);

void zip_file_free(struct zip_file *zip);

#endif
