/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The codec registry: what quantizing needs to know of a codec. Decoding and
 * pooling are in kernel/, listed by codec in kernels.def. */
#ifndef NB_QUANT_CODEC_H
#define NB_QUANT_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "quant/search/affine.h"

enum codec_id {
    CODEC_any = 0, /* in kernels.def: of no codec in particular */
#define CODEC(id, name, text) CODEC_##name = (id),
#include "quant/codec/codecs.def"
#undef CODEC
};

struct search; /* search/search.h */

/* Bits of the scale types a codec knows. */
#define CODEC_SCALES_FP16 (1u << NB_SCALES_FP16)
#define CODEC_SCALES_FP32 (1u << NB_SCALES_FP32)

/* What a codec adds whose tables have codebooks. */
struct codec_trained {
    uint32_t n_levels; /* of a codebook */
    uint32_t usual_codebooks;
    bool (*can_have)(uint32_t n_codebooks);
    /* Encodes as codec.encode does, with a table's codebooks. */
    void (*encode)(const struct nb_format *format,
                   const struct nb_params *params, const float *x,
                   size_t n_rows, uint8_t *rows, size_t stride);
    /* Which of all levels each column of a row takes, and the row's scale and
     * bias (1 and 0 if rows have none). */
    void (*trace)(const struct nb_format *format,
                  const struct nb_params *params, const uint8_t *row,
                  uint32_t *levels, struct affine *affine);
    uint32_t
        n_subsets; /* level i is of subset i % n_subsets; ascending there */
    bool standard; /* levels are of rows of mean 0 and deviation 1 */
};

struct codec {
    uint32_t id;
    const char *name;
    uint32_t scales;         /* bits of the scale types that can be */
    uint32_t default_scales; /* enum nb_scales */
    bool searched;           /* whether a range search has a meaning */
    const struct codec_trained *trained; /* NULL: tables have no codebooks */
    /* Of a format whose dim and scales are in range. */
    size_t (*row_bytes)(const struct nb_format *format);
    /* Contract of nb_encode(), arguments already checked; `search` is NULL
     * unless `searched`. NULL if trained->encode() does it. */
    void (*encode)(const struct nb_format *format, const struct search *search,
                   const float *x, size_t n_rows, uint8_t *rows, size_t stride);
};

/* NULL if there is no codec of that id. */
const struct codec *codec_by_id(uint32_t id);

/* Checks every field; 0, NB_ERR_INVALID or NB_ERR_UNSUPPORTED. */
int codec_check_format(const struct nb_format *format);

/* Whether the parameters (NULL: none) are those of the format, whose fields are
 * in range; their values are not looked at. 0 or NB_ERR_INVALID, and *err says
 * which. */
int codec_check_params(const struct nb_format *format,
                       const struct nb_params *params, struct nb_errctx *err);

#endif
