/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/codec/codec.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define CODEC(id, name, text) extern const struct codec codec_##name;
#include "quant/codec/codecs.def"
#undef CODEC

static const struct codec *const codecs[] = {
#define CODEC(id, name, text) &codec_##name,
#include "quant/codec/codecs.def"
#undef CODEC
};

#define N_CODECS (sizeof(codecs) / sizeof(codecs[0]))

/* A case met twice does not compile: ids are unique. */
static int codec_index(uint32_t id)
{
    enum {
#define CODEC(id, name, text) INDEX_##name,
#include "quant/codec/codecs.def"
#undef CODEC
    };
    switch (id) {
#define CODEC(id, name, text)                                                  \
    case id:                                                                   \
        return INDEX_##name;
#include "quant/codec/codecs.def"
#undef CODEC
    default:
        return -1;
    }
}

const struct codec *codec_by_id(uint32_t id)
{
    int index = codec_index(id);
    return index >= 0 ? codecs[index] : NULL;
}

int codec_check_format(const struct nb_format *format)
{
    if (format->dim < 1 || format->dim > NB_DIM_MAX ||
        format->scales > NB_SCALES_FP32) {
        return NB_ERR_INVALID;
    }
    const struct codec *codec = codec_by_id(format->codec);
    if (codec == NULL) {
        return NB_ERR_UNSUPPORTED;
    }
    return (codec->scales >> format->scales & 1u) != 0 ? 0 : NB_ERR_INVALID;
}

int codec_check_params(const struct nb_format *format,
                       const struct nb_params *params, struct nb_errctx *err)
{
    static const struct nb_params none;
    const struct codec *codec = codec_by_id(format->codec);

    params = params != NULL ? params : &none;
    if (params->column_scale != NULL && params->column_mean == NULL) {
        return nb_fail(err, NB_ERR_INVALID, "column scales without means");
    }
    const struct codec_trained *trained = codec->trained;
    if (trained == NULL && params->codebooks != NULL) {
        return nb_fail(err, NB_ERR_INVALID, "codebooks, but codec %s has none",
                       codec->name);
    }
    if (trained == NULL) {
        return 0;
    }
    if (params->codebooks == NULL) {
        return nb_fail(err, NB_ERR_INVALID, "no codebooks for codec %s",
                       codec->name);
    }
    if (params->n_levels != trained->n_levels ||
        !trained->can_have(params->n_codebooks)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%u codebooks of %u levels are not for codec %s",
                       params->n_codebooks, params->n_levels, codec->name);
    }
    return 0;
}

/* Index of the first of n values that is not finite or, if they must be
 * positive, not greater than 0; n if there is none. */
static size_t first_bad(const float *values, size_t n, bool positive)
{
    size_t i = 0;
    while (i < n && isfinite(values[i]) && (values[i] > 0 || !positive)) {
        i++;
    }
    return i;
}

int nb_params_check(const struct nb_format *format,
                    const struct nb_params *params, struct nb_errctx *err)
{
    int rv = codec_check_format(format);
    if (rv != 0) {
        return nb_fail(err, rv, "codec, dim or scale type: %s",
                       nb_strerror(rv));
    }
    rv = codec_check_params(format, params, err);
    if (rv != 0 || params == NULL) {
        return rv;
    }
    const struct {
        const char *name;
        const float *values;
        size_t n;
        bool positive;
    } parts[] = {
        {"column mean", params->column_mean, format->dim, false},
        {"column scale", params->column_scale, format->dim, true},
        {"codebook level", params->codebooks,
         (size_t)params->n_codebooks * params->n_levels, false},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t n = parts[i].values != NULL ? parts[i].n : 0;
        size_t at = first_bad(parts[i].values, n, parts[i].positive);
        if (at < n) {
            return nb_fail(err, NB_ERR_INVALID, "%s %zu is %g", parts[i].name,
                           at, (double)parts[i].values[at]);
        }
    }
    return 0;
}

int nb_codec_by_name(const char *name, uint32_t *id)
{
    for (size_t i = 0; i < N_CODECS; i++) {
        if (strcmp(codecs[i]->name, name) == 0) {
            *id = codecs[i]->id;
            return 0;
        }
    }
    return NB_ERR_NOT_FOUND;
}

const char *nb_codec_name(uint32_t id)
{
    const struct codec *codec = codec_by_id(id);
    return codec != NULL ? codec->name : NULL;
}

const char *nb_codec_at(size_t i)
{
    return i < N_CODECS ? codecs[i]->name : NULL;
}

int nb_codec_traits(uint32_t id, struct nb_codec_traits *traits)
{
    const struct codec *codec = codec_by_id(id);
    if (codec == NULL) {
        return NB_ERR_NOT_FOUND;
    }
    *traits = (struct nb_codec_traits){
        .scales = codec->default_scales,
        .other_scales = codec->scales != 1u << codec->default_scales,
        .searched = codec->searched,
        .trained = codec->trained != NULL,
    };
    return 0;
}

int nb_row_bytes(const struct nb_format *format, size_t *bytes)
{
    int rv = codec_check_format(format);
    if (rv == 0) {
        *bytes = codec_by_id(format->codec)->row_bytes(format);
    }
    return rv;
}

size_t nb_dtype_bytes(uint32_t dtype)
{
    switch (dtype) {
    case NB_FP32:
        return 4;
    case NB_FP16:
    case NB_BF16:
        return 2;
    default:
        return 0;
    }
}
