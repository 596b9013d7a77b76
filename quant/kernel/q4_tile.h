/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Where a tile of columns lies in a q4 row, for kernels that take a row in
 * units of 16 columns: 8 bytes of codes.
 */
#ifndef NB_QUANT_Q4_TILE_H
#define NB_QUANT_Q4_TILE_H

#include "quant/codec/q4.h"
#include "quant/kernel/kernels.h"

#define Q4_UNIT       16 /* columns */
#define Q4_UNIT_BYTES 8

struct q4_tile {
    size_t at;       /* byte of the first code */
    size_t param_at; /* byte of the scale */
    unsigned units;
    /* The codes of the last unit: 8 bytes, the last of the row at most, the
     * first tail_shift bits of which belong to the unit before. */
    size_t tail_at;
    unsigned tail_shift;
};

/* Rows too short for 8 bytes to be read at all (dim < 7) are done in scalar. */
static inline bool q4_too_short(const struct kernel_job *job)
{
    return job->row_bytes < Q4_UNIT_BYTES;
}

/* Of rows that are not too short. */
static inline void q4_tile_init(struct q4_tile *tile,
                                const struct kernel_job *job, uint32_t col,
                                uint32_t width)
{
    tile->at = col / 2;
    tile->param_at = q4_code_bytes(job->dim);
    tile->units = (width + Q4_UNIT - 1) / Q4_UNIT;
    size_t last = tile->at + (size_t)(tile->units - 1) * Q4_UNIT_BYTES;
    size_t end = job->row_bytes - Q4_UNIT_BYTES;
    tile->tail_at = last < end ? last : end;
    tile->tail_shift = (unsigned)(last - tile->tail_at) * 8;
}

#endif
