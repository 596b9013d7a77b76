/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#define ZLIB_CONST /* its input is const */
#include "tests/lib/zip_files.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "quant/bytes.h"

/* Appends n bytes, zeros if there are none. */
static uint8_t *append(struct zip_file *zip, const void *bytes, size_t n)
{
    zip->bytes = realloc(zip->bytes, zip->n + n + 1);
    ck_assert_ptr_nonnull(zip->bytes);
    uint8_t *at = zip->bytes + zip->n;
    memset(at, 0, n + 1);
    if (bytes != NULL) {
        memcpy(at, bytes, n);
    }
    zip->n += n;
    return at;
}

/* Appends the bytes deflated. */
static void append_deflated(struct zip_file *zip, const void *bytes, size_t n)
{
    z_stream stream = {0};
    ck_assert_int_eq(
        deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
        Z_OK);
    size_t room = deflateBound(&stream, n);
    uint8_t *packed = malloc(room);
    ck_assert_ptr_nonnull(packed);
    stream.next_in = bytes;
    stream.avail_in = (unsigned)n;
    stream.next_out = packed;
    stream.avail_out = (unsigned)room;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    append(zip, packed, room - stream.avail_out);
    deflateEnd(&stream);
    free(packed);
}

void zip_file_add(struct zip_file *zip, const char *name, unsigned method,
                  const void *bytes, size_t n)
{
    ck_assert_uint_lt(zip->n_members, ZIP_FILE_MEMBERS_MAX);
    size_t i = zip->n_members++;
    size_t offset = zip->n;
    size_t name_bytes = strlen(name);
    size_t extra = zip->zip64 ? 20 : 0;
    append(zip, NULL, 30);
    append(zip, name, name_bytes);
    append(zip, NULL, extra);
    size_t packed = zip->n;
    if (method == 8) {
        append_deflated(zip, bytes, n);
    } else {
        append(zip, bytes, n);
    }
    uint8_t *local = zip->bytes + offset;
    uint32_t crc = (uint32_t)crc32_z(0, bytes, n);
    size_t packed_bytes = zip->n - packed;
    put_u32(local, 0x04034b50);
    put_u16(local + 4, 20);
    put_u16(local + 8, (uint16_t)method);
    put_u32(local + 14, crc);
    put_u32(local + 18, zip->zip64 ? UINT32_MAX : (uint32_t)packed_bytes);
    put_u32(local + 22, zip->zip64 ? UINT32_MAX : (uint32_t)n);
    put_u16(local + 26, (uint16_t)name_bytes);
    put_u16(local + 28, (uint16_t)extra);
    if (zip->zip64) {
        uint8_t *field = local + 30 + name_bytes;
        put_u16(field, 1);
        put_u16(field + 2, 16);
        put_u64(field + 4, n);
        put_u64(field + 12, packed_bytes);
    }
    snprintf(zip->members[i].name, sizeof(zip->members[i].name), "%s", name);
    zip->members[i].offset = offset;
    zip->members[i].packed = packed;
    zip->members[i].packed_bytes = packed_bytes;
    zip->members[i].bytes = n;
    zip->members[i].method = method;
    zip->members[i].crc = crc;
}

static void append_entry(struct zip_file *zip, size_t i)
{
    size_t name_bytes = strlen(zip->members[i].name);
    size_t extra = zip->zip64 ? 7 + 28 : 0; /* another field stands before */
    zip->members[i].entry = zip->n;
    uint8_t *entry = append(zip, NULL, 46 + name_bytes + extra);
    put_u32(entry, 0x02014b50);
    put_u16(entry + 10, (uint16_t)zip->members[i].method);
    put_u32(entry + 16, zip->members[i].crc);
    put_u32(entry + 20,
            zip->zip64 ? UINT32_MAX : (uint32_t)zip->members[i].packed_bytes);
    put_u32(entry + 24,
            zip->zip64 ? UINT32_MAX : (uint32_t)zip->members[i].bytes);
    put_u16(entry + 28, (uint16_t)name_bytes);
    put_u16(entry + 30, (uint16_t)extra);
    put_u32(entry + 42,
            zip->zip64 ? UINT32_MAX : (uint32_t)zip->members[i].offset);
    memcpy(entry + 46, zip->members[i].name, name_bytes);
    if (zip->zip64) {
        uint8_t *field = entry + 46 + name_bytes;
        put_u16(field, 0x5455);
        put_u16(field + 2, 3);
        put_u16(field + 7, 1);
        put_u16(field + 9, 24);
        put_u64(field + 11, zip->members[i].bytes);
        put_u64(field + 19, zip->members[i].packed_bytes);
        put_u64(field + 27, zip->members[i].offset);
    }
}

static void append_end64(struct zip_file *zip, size_t directory_bytes)
{
    uint8_t *end = append(zip, NULL, 56);
    put_u32(end, 0x06064b50);
    put_u64(end + 4, 44);
    put_u64(end + 24, zip->n_members);
    put_u64(end + 32, zip->n_members);
    put_u64(end + 40, directory_bytes);
    put_u64(end + 48, zip->directory);
    uint8_t *locator = append(zip, NULL, 20);
    put_u32(locator, 0x07064b50);
    put_u64(locator + 8, zip->end);
    put_u32(locator + 16, 1);
}

void zip_file_end(struct zip_file *zip, const char *comment)
{
    zip->directory = zip->n;
    for (size_t i = 0; i < zip->n_members; i++) {
        append_entry(zip, i);
    }
    size_t directory_bytes = zip->n - zip->directory;
    zip->end = zip->n;
    if (zip->zip64) {
        append_end64(zip, directory_bytes);
    }
    uint8_t *end = append(zip, NULL, 22);
    put_u32(end, 0x06054b50);
    put_u16(end + 8, (uint16_t)zip->n_members);
    put_u16(end + 10, (uint16_t)zip->n_members);
    put_u32(end + 12, zip->zip64 ? UINT32_MAX : (uint32_t)directory_bytes);
    put_u32(end + 16, zip->zip64 ? UINT32_MAX : (uint32_t)zip->directory);
    put_u16(end + 20, (uint16_t)strlen(comment));
    append(zip, comment, strlen(comment));
}

void zip_file_free(struct zip_file *zip)
{
    free(zip->bytes);
    zip->bytes = NULL;
}
