/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <float.h>
#include <math.h>

#include "quant/codec/codec.h"
#include "quant/kernel/kernels.h"
#include "quant/nibble.h"
#include "quant/search/search.h"

void nb_any_over_scalar(const float *x, size_t n, float limit, size_t *at)
{
    size_t i = 0;
    while (i < n && fabsf(x[i]) <= limit) {
        i++;
    }
    *at = i;
}

int nb_check_values(const struct nb_format *format, const float *x,
                    size_t n_rows, size_t *at)
{
    int rv = codec_check_format(format);
    if (rv != 0) {
        return rv;
    }
    float limit = format->scales == NB_SCALES_FP16 ? 65504.0f : FLT_MAX / 4;
    size_t n = n_rows * format->dim;
    size_t first;
    KERNEL_CALL(over, any, x, n, limit, &first);
    if (first == n) {
        return 0;
    }
    *at = first;
    return isfinite(x[first]) ? NB_ERR_OVERFLOW : NB_ERR_NONFINITE;
}

int nb_encode(const struct nb_format *format, uint32_t search, const float *x,
              size_t n_rows, void *rows, size_t stride)
{
    size_t bytes;
    int rv = nb_row_bytes(format, &bytes);
    if (rv != 0) {
        return rv;
    }
    const struct codec *codec = codec_by_id(format->codec);
    const struct search *chosen = codec->searched ? search_by_id(search) : NULL;
    if ((codec->searched && chosen == NULL) || stride < bytes) {
        return NB_ERR_INVALID;
    }
    codec->encode(format, chosen, x, n_rows, rows, stride);
    return 0;
}
