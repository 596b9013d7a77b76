/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The header of a safetensors file: JSON text that names tensors and says where
 * in the data after it they are. */
#ifndef NB_STORAGE_SAFETENSORS_HEADER_H
#define NB_STORAGE_SAFETENSORS_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define SAFETENSORS_PREFIX     8u         /* bytes of the header's length */
#define SAFETENSORS_HEADER_MAX 100000000u /* bytes of text */
#define SAFETENSORS_DTYPE_MAX  15u        /* characters of a dtype's name */

struct safetensor {
    const char *name;
    char dtype[SAFETENSORS_DTYPE_MAX + 1];
    size_t n_axes;
    uint64_t axes[2];    /* lengths of the first two */
    uint64_t begin, end; /* of its values, in the data */
};

/* Called for each tensor in order; the tensor is valid for the call. */
typedef void safetensor_fn(void *arg, const struct safetensor *tensor);

/*
 * Parses n bytes of header of a file with data_bytes bytes of data. Tensors
 * must cover the data, each byte once, and have the size of their shape. Memory
 * is 24 bytes a tensor. NB_ERR_SOURCE; NB_ERR_NOMEM.
 */
int safetensors_parse(const char *text, size_t n, uint64_t data_bytes,
                      const char *path, safetensor_fn *each, void *arg,
                      struct nb_errctx *err);

#endif
