/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The values of a served block, as floats or as a .npy file. */
#ifndef NB_CLI_BLOCK_VALUES_H
#define NB_CLI_BLOCK_VALUES_H

#include <stddef.h>

#include "client/lib/nibble_client.h"

/* Decodes all rows to fp32, packed ones too, which may need the parameters of
 * their table (NULL: none). The caller frees *values, rows x dim of them.
 * NB_ERR_NOMEM, NB_ERR_UNSUPPORTED (a codec this build does not know),
 * NB_ERR_INVALID (parameters are missing or those of other rows). */
int block_values_decode(const struct nb_block *block,
                        const struct nb_table_params *params, float **values,
                        struct nb_errctx *err);

/* Writes the block as a .npy matrix: fp16 as it is, all else as fp32, which
 * loses nothing (.npy has neither bf16 nor packed rows). -errno, NB_ERR_NOMEM,
 * and what decoding gives. */
int block_values_write_npy(const struct nb_block *block,
                           const struct nb_table_params *params,
                           const char *path, struct nb_errctx *err);

#endif
