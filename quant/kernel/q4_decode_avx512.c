/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of q4 as they are. The 16 values of a row are made once and, for fp16
 * and bf16 output, rounded once: what is looked up is already the result.
 */

#include "quant/kernel/q4_avx512.h"

/* The 16 values of a row. With fp16 scales the product is exact, so that it may
 * be fused. */
Q4_INLINE __m512 row_values(const float *params, const bool half)
{
    __m512 scale = _mm512_set1_ps(params[0]);
    __m512 bias = _mm512_set1_ps(params[1]);
    return half ? _mm512_fmadd_ps(scale, q4_codes(), bias)
                : _mm512_add_ps(_mm512_mul_ps(scale, q4_codes()), bias);
}

/* 16 columns as fp32: the low half from the first four bytes, the high half
 * from the others, so that they come out in order. */
Q4_INLINE __m512 unit_to_fp32(const uint8_t *codes, __m512 table)
{
    const __m512i shifts = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4,
                                             8, 12, 16, 20, 24, 28);
    __m512i both = _mm512_set1_epi32((int)get_u32(codes));

    q4_put_lanes(&both, 0xff00, codes + 4);
    return _mm512_permutexvar_ps(_mm512_srlv_epi32(both, shifts), table);
}

/* 32 columns as 16-bit floats: byte c / 2 goes to lane c, and the table stands
 * there twice, for vpermw looks at five bits. */
Q4_INLINE __m512i unit_to_16(__m512i codes, __m512i table)
{
    const __m512i spread = _mm512_set_epi8(
        15, 15, 15, 15, 14, 14, 14, 14, 13, 13, 13, 13, 12, 12, 12, 12, 11, 11,
        11, 11, 10, 10, 10, 10, 9, 9, 9, 9, 8, 8, 8, 8, 7, 7, 7, 7, 6, 6, 6, 6,
        5, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    __m512i at = _mm512_srlv_epi16(_mm512_shuffle_epi8(codes, spread),
                                   _mm512_set1_epi32(4 << 16));
    return _mm512_permutexvar_epi16(at, table);
}

Q4_INLINE void row_to_fp32(const struct kernel_job *job,
                           const struct q4_tile *tile, const uint8_t *row,
                           __m512 table, uint8_t *out)
{
    uint32_t j = 0;

#pragma GCC unroll 4
    for (; j + Q4_UNIT < job->dim; j += Q4_UNIT) {
        _mm512_storeu_ps(out + 4 * (size_t)j, unit_to_fp32(row + j / 2, table));
    }
    __m512i at = q4_indices(row + tile->tail_at, q4_shifts(tile->tail_shift));
    q4_store(out + 4 * (size_t)j, NB_FP32,
             q4_ordered(_mm512_permutexvar_ps(at, table)), job->dim - j);
}

Q4_INLINE void row_to_16(const struct kernel_job *job, const uint8_t *row,
                         __m512 values, uint8_t *out)
{
    __m256i once = job->dtype == NB_FP16
                       ? _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT)
                       : q4_to_bf16(values);
    __m512i table = _mm512_broadcast_i64x4(once);
    uint32_t j = 0;

#pragma GCC unroll 4
    for (; j + 2 * Q4_UNIT <= job->dim; j += 2 * Q4_UNIT) {
        __m512i codes = _mm512_broadcast_i32x4(
            _mm_loadu_si128((const void *)(row + j / 2)));
        _mm512_storeu_si512(out + 2 * (size_t)j, unit_to_16(codes, table));
    }
    if (j < job->dim) {
        uint32_t left = job->dim - j;
        __m128i codes = _mm_maskz_loadu_epi8(
            (__mmask16)((1u << (left + 1) / 2) - 1), row + j / 2);
        _mm512_mask_storeu_epi16(
            out + 2 * (size_t)j, ((__mmask32)1 << left) - 1,
            unit_to_16(_mm512_broadcast_i32x4(codes), table));
    }
}

/* Whole units only: nothing to mask or to reorder. */
Q4_INLINE void units_to_fp32(const uint8_t *row, __m512 table, uint8_t *out,
                             const unsigned units)
{
#pragma GCC unroll 16
    for (unsigned u = 0; u < units; u++) {
        _mm512_storeu_ps(out + (size_t)u * 64,
                         unit_to_fp32(row + (size_t)u * Q4_UNIT_BYTES, table));
    }
}

/* `units` is 0 for rows of any length and type. */
Q4_INLINE void decode_row(const struct kernel_job *job,
                          const struct q4_tile *tile, const uint8_t *row,
                          const float *params, const bool half,
                          const unsigned units, uint8_t *out)
{
    __m512 values = row_values(params, half);

    if (units > 0) {
        units_to_fp32(row, values, out, units);
    } else if (job->dtype == NB_FP32) {
        row_to_fp32(job, tile, row, values, out);
    } else {
        row_to_16(job, row, values, out);
    }
}

/* Four rows' scales and biases are converted at once, and passed through
 * memory: loading one into all lanes takes no arithmetic port. */
Q4_INLINE void decode_rows(const struct kernel_job *job,
                           const struct q4_tile *tile, const bool half,
                           const unsigned units)
{
    const uint8_t *const *rows = job->rows;
    size_t out_stride = units > 0 ? (size_t)units * 64 : job->out_stride;
    uint8_t *out = job->out;
    _Alignas(32) float params[8];
    size_t i = 0;

    for (; i + 4 <= job->n_rows; i += 4) {
        kernel_prefetch_ahead(job, i, 4);
        _mm256_store_ps(params, q4_params4(rows + i, tile->param_at, half));
        __asm__("" : "+m"(params)); /* or the compiler shuffles registers */
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            kernel_prefetch_results(out, out_stride);
            decode_row(job, tile, rows[i + j], params + 2 * j, half, units,
                       out);
            out += out_stride;
        }
    }
    for (; i < job->n_rows; i++) {
        kernel_prefetch_ahead(job, i, 1);
        _mm_store_ps(params, q4_params(rows[i], tile->param_at, half));
        decode_row(job, tile, rows[i], params, half, units, out);
        out += out_stride;
    }
}

/* fp32 rows of a usual length, one after the other. */
static bool decode_usual(const struct kernel_job *job,
                         const struct q4_tile *tile)
{
    if (job->scales != NB_SCALES_FP16 || job->dtype != NB_FP32 ||
        job->out_stride != (size_t)job->dim * sizeof(float)) {
        return false;
    }
    switch (job->dim) {
    case 32:
        decode_rows(job, tile, true, 2);
        return true;
    case 64:
        decode_rows(job, tile, true, 4);
        return true;
    case 128:
        decode_rows(job, tile, true, 8);
        return true;
    default:
        return false;
    }
}

void nb_q4_decode_avx512(const struct kernel_job *job)
{
    struct q4_tile tile;

    if (q4_too_short(job)) {
        nb_q4_decode_scalar(job);
        return;
    }
    q4_tile_init(&tile, job, 0, job->dim);
    if (decode_usual(job, &tile)) {
        return;
    }
    if (job->scales == NB_SCALES_FP16) {
        decode_rows(job, &tile, true, 0);
    } else {
        decode_rows(job, &tile, false, 0);
    }
}
