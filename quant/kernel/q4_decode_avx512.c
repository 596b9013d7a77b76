/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of q4 as they are. The 16 values of a row are made once and, for fp16
 * and bf16 output, rounded once: what is looked up is already the result.
 */

#include "quant/kernel/q4_avx512.h"

/* 16 columns as fp32: the low half from the first four bytes, the high half
 * from the others, so that they come out in order. */
Q4_INLINE void unit_to_fp32(const uint8_t *codes, __m512 table, uint8_t *out)
{
    __m512i both = _mm512_mask_broadcastd_epi32(
        _mm512_set1_epi32((int)get_u32(codes)), 0xff00,
        _mm_cvtsi32_si128((int)get_u32(codes + 4)));
    __m512i at =
        _mm512_srlv_epi32(both, _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28,
                                                  0, 4, 8, 12, 16, 20, 24, 28));
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(at, table));
}

/* 16 columns as 16-bit floats: byte c / 2 goes to lane c. */
Q4_INLINE __m256i unit_to_16(uint64_t codes, __m256i table)
{
    const __m256i spread = _mm256_setr_epi8(
        0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1, /* low */
        4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
    __m256i at =
        _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)codes), spread);
    at = _mm256_srlv_epi16(at, _mm256_set1_epi32(4 << 16));
    return _mm256_permutexvar_epi16(at, table);
}

static void row_to_fp32(const struct kernel_job *job,
                        const struct q4_tile *tile, const uint8_t *row,
                        uint8_t *out)
{
    __m512 table = q4_row_values(job, tile, row);
    uint32_t j = 0;

    for (; j + Q4_UNIT < job->dim; j += Q4_UNIT) {
        unit_to_fp32(row + j / 2, table, out + 4 * (size_t)j);
    }
    __m512i at = q4_indices(row + tile->tail_at, q4_shifts(tile->tail_shift));
    q4_store(out + 4 * (size_t)j, NB_FP32,
             q4_ordered(_mm512_permutexvar_ps(at, table)), job->dim - j);
}

static void row_to_16(const struct kernel_job *job, const struct q4_tile *tile,
                      const uint8_t *row, uint8_t *out)
{
    __m512 values = q4_row_values(job, tile, row);
    __m256i table = job->dtype == NB_FP16
                        ? _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT)
                        : q4_to_bf16(values);
    uint32_t j = 0;

    for (; j + Q4_UNIT < job->dim; j += Q4_UNIT) {
        _mm256_storeu_si256((__m256i *)(out + 2 * (size_t)j),
                            unit_to_16(get_u64(row + j / 2), table));
    }
    uint64_t codes = get_u64(row + tile->tail_at) >> tile->tail_shift;
    size_t n = job->dim - j;
    __mmask16 mask = (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
    _mm256_mask_storeu_epi16(out + 2 * (size_t)j, mask,
                             unit_to_16(codes, table));
}

void nb_q4_decode_avx512(const struct kernel_job *job)
{
    struct q4_tile tile;
    uint8_t *out = job->out;

    if (q4_too_short(job)) {
        nb_q4_decode_scalar(job);
        return;
    }
    q4_tile_init(&tile, job, 0, job->dim);
    for (size_t i = 0; i < job->n_rows; i++) {
        const uint8_t *row = job->rows[i];
        kernel_prefetch_ahead(job, i, 1);
        if (job->dtype == NB_FP32) {
            row_to_fp32(job, &tile, row, out);
        } else {
            row_to_16(job, &tile, row, out);
        }
        out += job->out_stride;
    }
}
