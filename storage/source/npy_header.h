/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The header of a NumPy .npy file. */
#ifndef NB_STORAGE_NPY_HEADER_H
#define NB_STORAGE_NPY_HEADER_H

#include <stdbool.h>
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

#define NPY_DESCR_MAX 32u

/* What a header says, whatever the type and the number of axes. */
struct npy_header {
    char descr[NPY_DESCR_MAX + 1]; /* type, such as "<f4"; "": structured */
    bool fortran_order;
    unsigned n_axes;
    uint64_t axes[2]; /* lengths of the first two */
    uint64_t bytes;   /* of prefix and text: where the values begin */
};

/* Parses the n bytes of text after the prefix, followed by a NUL: a Python dict
 * with descr, fortran_order and shape. Sets all but header->bytes.
 * NB_ERR_SOURCE. */
int npy_header_parse(const char *text, size_t n, const char *name,
                     struct npy_header *header, struct nb_errctx *err);

/* Writes prefix and text (version 1.0) of a matrix, or of a vector if n_columns
 * is 0; their length is a multiple of 64. `descr` is a type such as "<f4". */
#define NPY_WRITTEN_BYTES 128u
void npy_header_write(const char *descr, uint64_t n_rows, uint64_t n_columns,
                      uint8_t bytes[NPY_WRITTEN_BYTES]);

#endif
