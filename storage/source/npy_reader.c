/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/npy_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/checked.h"

bool npy_has_magic(const uint8_t *bytes, size_t n)
{
    return n >= NPY_MAGIC_BYTES &&
           memcmp(bytes, NPY_MAGIC, NPY_MAGIC_BYTES) == 0;
}

/* ---- the header's bytes -------------------------------------------------- */

/* An array being read. */
struct npy_reader {
    struct source *source;
    source_exact_fn *read_exactly;
    const char *name;
    struct nb_errctx *err;
};

/* Magic, version and length of the text. */
static int read_prefix(const struct npy_reader *reader, uint32_t *text_bytes,
                       uint64_t *prefix_bytes)
{
    uint8_t prefix[NPY_PREFIX_MAX];
    int rv = reader->read_exactly(reader->source, prefix, NPY_PREFIX_V1,
                                  reader->err);
    if (rv != 0) {
        return rv;
    }
    if (!npy_has_magic(prefix, NPY_PREFIX_V1)) {
        return nb_fail(reader->err, NB_ERR_SOURCE,
                       "%s: not a .npy file (magic, offset 0)", reader->name);
    }
    unsigned version = prefix[NPY_MAGIC_BYTES];
    if (version < 1 || version > 3) {
        return nb_fail(reader->err, NB_ERR_UNSUPPORTED, "%s: .npy version %u",
                       reader->name, version);
    }
    uint32_t length = get_u16(prefix + NPY_LENGTH);
    *prefix_bytes = NPY_PREFIX_V1;
    if (version > 1) {
        rv = reader->read_exactly(reader->source, prefix + NPY_PREFIX_V1,
                                  NPY_PREFIX_MAX - NPY_PREFIX_V1, reader->err);
        if (rv != 0) {
            return rv;
        }
        length = get_u32(prefix + NPY_LENGTH);
        *prefix_bytes = NPY_PREFIX_MAX;
    }
    if (length > NPY_HEADER_MAX) {
        return nb_fail(reader->err, NB_ERR_SOURCE,
                       "%s: .npy header of %" PRIu32
                       " bytes (offset %d), the limit is %u",
                       reader->name, length, NPY_LENGTH, NPY_HEADER_MAX);
    }
    *text_bytes = length;
    return 0;
}

int npy_read_header(struct source *source, source_exact_fn *read_exactly,
                    const char *name, struct npy_header *header,
                    struct nb_errctx *err)
{
    const struct npy_reader reader = {.source = source,
                                      .read_exactly = read_exactly,
                                      .name = name,
                                      .err = err};
    uint32_t n = 0;
    uint64_t prefix_bytes = 0;
    int rv = read_prefix(&reader, &n, &prefix_bytes);
    if (rv != 0) {
        return rv;
    }
    char *text = malloc((size_t)n + 1);
    if (text == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", name);
    }
    rv = read_exactly(source, text, n, err);
    if (rv == 0) {
        text[n] = '\0';
        rv = npy_header_parse(text, n, name, header, err);
    }
    header->bytes = prefix_bytes + n;
    free(text);
    return rv;
}

/* ---- what it means ------------------------------------------------------- */

static const char *type_kind(char c)
{
    switch (c) {
    case 'b':
        return "booleans";
    case 'i':
    case 'u':
        return "integers";
    case 'c':
        return "complex numbers";
    case 'S':
    case 'U':
        return "strings";
    case 'O':
        return "Python objects";
    case 'M':
    case 'm':
        return "dates";
    case 'f':
        return "floats of a size not read";
    default:
        return "values of a type not read";
    }
}

/* The type without its byte order. */
static const char *type_of(const struct npy_header *header)
{
    const char *descr = header->descr;
    return descr[0] != '\0' && strchr("<>|=", descr[0]) != NULL ? descr + 1
                                                                : descr;
}

static bool is_byte(const struct npy_header *header)
{
    return strcmp(type_of(header), "u1") == 0;
}

static int check_axes(const struct npy_header *header, const char *name,
                      struct nb_errctx *err)
{
    if (header->n_axes != 2) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy with %u axes; a table needs two, rows and "
                       "columns",
                       name, header->n_axes);
    }
    if (header->fortran_order) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy in Fortran order; save it in C order "
                       "(numpy.ascontiguousarray)",
                       name);
    }
    return 0;
}

static int unsupported(const struct npy_header *header, const char *name,
                       const char *what, struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_UNSUPPORTED,
                   "%s: .npy of %s ('%s'); read are <f2, <f4 and <f8%s", name,
                   what, header->descr,
                   is_byte(header) ? ", and fused rows if their format is named"
                                   : "");
}

static int value_type_of(const struct npy_header *header, const char *name,
                         enum value_type *type, struct nb_errctx *err)
{
    static const struct {
        const char *name;
        enum value_type type;
    } types[] = {{"f2", VALUE_F16}, {"f4", VALUE_F32}, {"f8", VALUE_F64}};
    const char *wanted = type_of(header);
    size_t i = 0;
    while (i < sizeof(types) / sizeof(types[0]) &&
           strcmp(wanted, types[i].name) != 0) {
        i++;
    }
    if (i == sizeof(types) / sizeof(types[0])) {
        return unsupported(header, name,
                           header->descr[0] == '\0' ? "structured values"
                                                    : type_kind(wanted[0]),
                           err);
    }
    if (header->descr[0] == '>') {
        return unsupported(header, name, "big-endian values", err);
    }
    if (header->descr[0] != '<') {
        return unsupported(header, name, "values of unstated byte order", err);
    }
    *type = types[i].type;
    return 0;
}

int npy_as_matrix(const struct npy_header *header, const char *name,
                  struct matrix_shape *shape, struct nb_errctx *err)
{
    enum value_type type = VALUE_F32;
    int rv = value_type_of(header, name, &type, err);
    if (rv == 0) {
        rv = check_axes(header, name, err);
    }
    if (rv != 0) {
        return rv;
    }
    if (header->axes[1] == 0 || header->axes[1] > NB_DIM_MAX) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy of %" PRIu64 " columns; a table has 1 to %u",
                       name, header->axes[1], NB_DIM_MAX);
    }
    *shape = (struct matrix_shape){.n_rows = header->axes[0],
                                   .dim = (uint32_t)header->axes[1],
                                   .type = type};
    return 0;
}

int npy_as_byte_rows(const struct npy_header *header, const char *name,
                     struct nb_errctx *err)
{
    if (!is_byte(header)) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: .npy of '%s'; fused rows are bytes, |u1", name,
                       header->descr);
    }
    return check_axes(header, name, err);
}

int npy_check_extent(const struct npy_header *header, const char *name,
                     size_t item_bytes, uint64_t bytes, struct nb_errctx *err)
{
    uint64_t end;
    if (!checked_mul(header->axes[1], item_bytes, &end) ||
        !checked_mul(end, header->axes[0], &end) ||
        !checked_add(end, header->bytes, &end) || end != bytes) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: .npy header says %" PRIu64 " x %" PRIu64
                       " values of %zu bytes, file has %" PRIu64
                       " bytes of data",
                       name, header->axes[0], header->axes[1], item_bytes,
                       bytes - header->bytes);
    }
    return 0;
}
