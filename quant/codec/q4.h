/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Layout of a q4 row, that of FBGEMM's fused 4-bit rows on CPUs:
 *   ceil(dim / 2) bytes of codes, even column in the low nibble; with an odd
 *   dim the last high nibble is 0
 *   scale, bias: fp16 or fp32, little-endian
 * value = scale * code + bias. Rows may stand at any alignment.
 */
#ifndef NB_QUANT_Q4_H
#define NB_QUANT_Q4_H

#include <stddef.h>
#include <stdint.h>

#include "quant/bytes.h"
#include "quant/half.h"
#include "quant/nibble.h"

#define Q4_LEVELS 16

#define Q4_BLOCK_MAX 64 /* rows that are encoded at a time, at most */

/* Rows whose values take 16 KiB: those of a block are searched, then packed,
 * while the next block's are fetched, and L1 holds both. Below 16 rows the
 * kernels would run short. */
static inline size_t q4_block_rows(uint32_t dim)
{
    size_t rows = (size_t)16 * 1024 / sizeof(float) / dim / 16 * 16;
    return rows > Q4_BLOCK_MAX ? Q4_BLOCK_MAX : rows < 16 ? 16 : rows;
}

static inline size_t q4_code_bytes(uint32_t dim)
{
    return ((size_t)dim + 1) / 2;
}

static inline size_t q4_scale_bytes(uint32_t scales)
{
    return scales == NB_SCALES_FP16 ? 2 : 4;
}

static inline float q4_scale(const uint8_t *row, uint32_t dim, uint32_t scales)
{
    const uint8_t *at = row + q4_code_bytes(dim);
    return scales == NB_SCALES_FP16 ? half_to_float(get_u16(at)) : get_f32(at);
}

static inline float q4_bias(const uint8_t *row, uint32_t dim, uint32_t scales)
{
    const uint8_t *at = row + q4_code_bytes(dim) + q4_scale_bytes(scales);
    return scales == NB_SCALES_FP16 ? half_to_float(get_u16(at)) : get_f32(at);
}

#endif
