/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/row_weights.h"

#include <inttypes.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quant/bytes.h"
#include "storage/io/file_io.h"
#include "storage/source/line_reader.h"
#include "storage/source/npy_reader.h"
#include "storage/source/parse_float.h"
#include "storage/source/source_format.h"
#include "storage/source/text_fields.h"

#define BLOCK_BYTES 4096u  /* of a .npy, converted at a time */
#define WEIGHT_MAX  0x1p64 /* of a u8; sums of products stay finite */

/* A number of a .npy, by type and size. */
typedef double item_fn(const uint8_t *item);

struct item_type {
    const char *name; /* descr without byte order */
    size_t bytes;
    item_fn *value;
};

struct row_weights {
    struct source file;           /* path, descriptor and position; no format */
    const struct item_type *type; /* of a .npy; NULL: text */
    uint64_t items_left;          /* of a .npy */
    struct line_reader lines;
    locale_t c_locale;
    uint64_t n_read;
    bool any; /* one was above 0 */
};

/* ---- .npy ---------------------------------------------------------------- */

static double item_f4(const uint8_t *item)
{
    return (double)get_f32(item);
}

static double item_f8(const uint8_t *item)
{
    uint64_t bits = get_u64(item);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static double item_u1(const uint8_t *item)
{
    return item[0];
}

static double item_u2(const uint8_t *item)
{
    return get_u16(item);
}

static double item_u4(const uint8_t *item)
{
    return get_u32(item);
}

static double item_u8(const uint8_t *item)
{
    return (double)get_u64(item);
}

static double item_i1(const uint8_t *item)
{
    return (int8_t)item[0];
}

static double item_i2(const uint8_t *item)
{
    return (int16_t)get_u16(item);
}

static double item_i4(const uint8_t *item)
{
    return (int32_t)get_u32(item);
}

static double item_i8(const uint8_t *item)
{
    return (double)(int64_t)get_u64(item);
}

static const struct item_type *item_type_of(const char *descr)
{
    static const struct item_type types[] = {
        {"f4", 4, item_f4}, {"f8", 8, item_f8}, {"u1", 1, item_u1},
        {"u2", 2, item_u2}, {"u4", 4, item_u4}, {"u8", 8, item_u8},
        {"i1", 1, item_i1}, {"i2", 2, item_i2}, {"i4", 4, item_i4},
        {"i8", 8, item_i8},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        /* '|' stands where bytes have no order. */
        if ((descr[0] == '<' || (descr[0] == '|' && types[i].bytes == 1)) &&
            strcmp(descr + 1, types[i].name) == 0) {
            return &types[i];
        }
    }
    return NULL;
}

static int begin_npy(struct row_weights *weights, struct nb_errctx *err)
{
    struct source *file = &weights->file;
    struct npy_header header;
    int rv =
        npy_read_header(file, source_read_exactly, file->path, &header, err);
    if (rv != 0) {
        return rv;
    }
    weights->type = item_type_of(header.descr);
    if (weights->type == NULL) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy of '%s'; weights are <f4, <f8 or integers of "
                       "1 to 8 bytes, little-endian",
                       file->path, header.descr);
    }
    if (header.n_axes != 1) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy with %u axes; weights are a vector, one axis",
                       file->path, header.n_axes);
    }
    weights->items_left = header.axes[0];
    header.axes[1] = 1;
    return npy_check_extent(&header, file->path, weights->type->bytes,
                            file->file_bytes, err);
}

static int fail_number(const struct row_weights *weights, double value,
                       struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_SOURCE,
                   "%s: weight %" PRIu64 " is %g; weights are from 0 to 2^64",
                   weights->file.path, weights->n_read, value);
}

static int fail_fewer(const struct row_weights *weights, struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_INVALID,
                   "%s: %" PRIu64 " weights, and the source has more rows",
                   weights->file.path, weights->n_read);
}

/* Takes over the value of the next row. */
static int take(struct row_weights *weights, double value, double *to,
                struct nb_errctx *err)
{
    if (!(value >= 0 && value <= WEIGHT_MAX)) {
        return fail_number(weights, value, err);
    }
    weights->any = weights->any || value > 0;
    weights->n_read++;
    *to = value;
    return 0;
}

static int read_npy(struct row_weights *weights, size_t n, double *to,
                    struct nb_errctx *err)
{
    const struct item_type *type = weights->type;
    uint8_t bytes[BLOCK_BYTES];
    n = n < weights->items_left ? n : (size_t)weights->items_left;
    while (n > 0) {
        size_t part = BLOCK_BYTES / type->bytes;
        part = part < n ? part : n;
        int rv =
            source_read_exactly(&weights->file, bytes, part * type->bytes, err);
        for (size_t i = 0; i < part && rv == 0; i++) {
            rv = take(weights, type->value(bytes + i * type->bytes), to++, err);
        }
        if (rv != 0) {
            return rv;
        }
        weights->items_left -= part;
        n -= part;
    }
    return 0;
}

/* ---- text ---------------------------------------------------------------- */

/* n_read stays at the end. */
static int read_line(struct row_weights *weights, double *to,
                     struct nb_errctx *err)
{
    struct line line;
    int rv = line_reader_next(&weights->lines, &weights->file, &line, err);
    if (rv != 0 || line.text == NULL) {
        return rv;
    }
    struct fields fields = {.at = line.text, .end = line.text + line.n};
    struct field field;
    struct field more;
    double value;
    if (!field_next(&fields, &field) || field_next(&fields, &more) ||
        !parse_double(field.text, field.end, weights->c_locale, &value)) {
        struct field whole = {.text = line.text, .end = line.text + line.n};
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: line %" PRIu64 ", '%s', is not one number",
                       weights->file.path, weights->lines.n_lines,
                       field_show(&whole).text);
    }
    return take(weights, value, to, err);
}

static int read_text(struct row_weights *weights, size_t n, double *to,
                     struct nb_errctx *err)
{
    uint64_t first = weights->n_read;
    for (size_t i = 0; i < n; i++) {
        int rv = read_line(weights, to + i, err);
        if (rv != 0) {
            return rv;
        }
        if (weights->n_read == first + i) {
            break;
        }
    }
    return 0;
}

/* ---- both ---------------------------------------------------------------- */

static int begin(struct row_weights *weights, struct nb_errctx *err)
{
    struct source *file = &weights->file;
    weights->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (weights->c_locale == (locale_t)0) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", file->path);
    }
    uint8_t head[NPY_MAGIC_BYTES];
    size_t n;
    int rv = source_read_bytes(file, head, sizeof(head), &n, err);
    if (rv == 0) {
        rv = source_seek(file, 0, err);
    }
    if (rv == 0 && npy_has_magic(head, n)) {
        rv = begin_npy(weights, err);
    }
    return rv;
}

int row_weights_open(const char *path, struct row_weights **weights,
                     struct nb_errctx *err)
{
    struct row_weights *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    opened->file.fd = -1;
    opened->file.path = strdup(path);
    int rv =
        opened->file.path == NULL
            ? nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path)
            : file_open(path, &opened->file.fd, &opened->file.file_bytes, err);
    if (rv == 0) {
        rv = begin(opened, err);
    }
    if (rv != 0) {
        row_weights_close(opened);
        return rv;
    }
    *weights = opened;
    return 0;
}

int row_weights_next(struct row_weights *weights, size_t max, double *to,
                     size_t *n, struct nb_errctx *err)
{
    uint64_t before = weights->n_read;
    int rv = weights->type != NULL ? read_npy(weights, max, to, err)
                                   : read_text(weights, max, to, err);
    *n = (size_t)(weights->n_read - before);
    return rv;
}

int row_weights_read(struct row_weights *weights, size_t n, double *to,
                     struct nb_errctx *err)
{
    size_t there;
    int rv = row_weights_next(weights, n, to, &there, err);
    return rv == 0 && there < n ? fail_fewer(weights, err) : rv;
}

int row_weights_end(struct row_weights *weights, struct nb_errctx *err)
{
    bool more = weights->items_left > 0;
    if (weights->type == NULL) {
        struct line line;
        int rv = line_reader_next(&weights->lines, &weights->file, &line, err);
        if (rv != 0) {
            return rv;
        }
        more = line.text != NULL;
    }
    if (more) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: more weights than the source's %" PRIu64 " rows",
                       weights->file.path, weights->n_read);
    }
    if (!weights->any) {
        return nb_fail(err, NB_ERR_INVALID, "%s: no weight is above 0",
                       weights->file.path);
    }
    return 0;
}

void row_weights_close(struct row_weights *weights)
{
    if (weights == NULL) {
        return;
    }
    if (weights->c_locale != (locale_t)0) {
        freelocale(weights->c_locale);
    }
    if (weights->file.fd >= 0) {
        close(weights->file.fd);
    }
    line_reader_fini(&weights->lines);
    free(weights->file.path);
    free(weights);
}
