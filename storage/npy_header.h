/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The header of a NumPy .npy file. */
#ifndef NB_STORAGE_NPY_HEADER_H
#define NB_STORAGE_NPY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define NPY_MAGIC_BYTES 6u
#define NPY_LENGTH      8 /* offset of the length: u16 in version 1, else u32 */
#define NPY_PREFIX_V1   10u    /* bytes before the text in version 1 */
#define NPY_PREFIX_MAX  12u    /* and in the others */
#define NPY_HEADER_MAX  65536u /* bytes of text; plain arrays need about 100 */

static const uint8_t NPY_MAGIC[NPY_MAGIC_BYTES] = {0x93, 'N', 'U',
                                                   'M',  'P', 'Y'};

struct npy_header {
    uint64_t n_rows;
    uint32_t dim;
    size_t value_bytes; /* of a little-endian float: 2, 4 or 8 */
};

/*
 * Parses the n bytes of text after the prefix, followed by a NUL: a Python
 * dict with descr, fortran_order and shape. NB_ERR_SOURCE if it is not that,
 * NB_ERR_UNSUPPORTED, by name, if it is not a matrix of floats in C order.
 */
int npy_header_parse(const char *text, size_t n, const char *name,
                     struct npy_header *header, struct nb_errctx *err);

/* Writes prefix and text (version 1.0) of a matrix; returns their length, a
 * multiple of 64. `descr` is a type such as "<f4". */
#define NPY_WRITTEN_BYTES 128u
void npy_header_write(const char *descr, uint64_t n_rows, uint64_t n_columns,
                      uint8_t bytes[NPY_WRITTEN_BYTES]);

#endif
