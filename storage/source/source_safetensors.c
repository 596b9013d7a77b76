/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A matrix of a safetensors file: the header's length in 8 bytes, the header,
 * the tensors' values. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "storage/source/matrix_source.h"
#include "storage/source/safetensors_header.h"
#include "storage/source/tensor_choice.h"

/* The tensor to be read, as the header is walked. */
struct chosen {
    struct tensor_choice choice;
    struct safetensor tensor; /* its name is not kept */
};

static bool value_type_of(const char *dtype, enum value_type *type)
{
    static const struct {
        const char *name;
        enum value_type type;
    } types[] = {{"F16", VALUE_F16},
                 {"BF16", VALUE_BF16},
                 {"F32", VALUE_F32},
                 {"F64", VALUE_F64}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(dtype, types[i].name) == 0) {
            *type = types[i].type;
            return true;
        }
    }
    return false;
}

static bool is_matrix(const struct safetensor *tensor)
{
    enum value_type type;
    return tensor->n_axes == 2 && tensor->axes[1] > 0 &&
           tensor->axes[1] <= NB_DIM_MAX && value_type_of(tensor->dtype, &type);
}

static void look_at(void *arg, const struct safetensor *tensor)
{
    struct chosen *chosen = arg;
    if (tensor_choice_offer(&chosen->choice, tensor->name, is_matrix(tensor))) {
        chosen->tensor = *tensor;
        chosen->tensor.name = NULL;
    }
}

/* Says what the tensor is that was asked for. */
static int fail_not_matrix(const struct source *source,
                           const struct chosen *chosen, struct nb_errctx *err)
{
    const struct safetensor *tensor = &chosen->tensor;
    enum value_type type;
    const struct tensor_shown name = tensor_show(chosen->choice.wanted);
    if (!value_type_of(tensor->dtype, &type)) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: tensor '%s' is of %s; read are F16, BF16, F32 and "
                       "F64",
                       source->path, name.text, tensor->dtype);
    }
    if (tensor->n_axes != 2) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: tensor '%s' has %zu axes; a table needs two, rows "
                       "and columns",
                       source->path, name.text, tensor->n_axes);
    }
    return nb_fail(err, NB_ERR_UNSUPPORTED,
                   "%s: tensor '%s' has %" PRIu64 " columns; a table has 1 to "
                   "%u",
                   source->path, name.text, tensor->axes[1], NB_DIM_MAX);
}

static int read_length(struct source *source, uint64_t *length,
                       struct nb_errctx *err)
{
    uint8_t prefix[SAFETENSORS_PREFIX];
    int rv = source_read_exactly(source, prefix, sizeof(prefix), err);
    if (rv != 0) {
        return rv;
    }
    *length = get_u64(prefix);
    if (*length > SAFETENSORS_HEADER_MAX) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: safetensors header of %" PRIu64
                       " bytes (offset 0), the limit is %u",
                       source->path, *length, SAFETENSORS_HEADER_MAX);
    }
    if (source->file_bytes < SAFETENSORS_PREFIX ||
        *length > source->file_bytes - SAFETENSORS_PREFIX) {
        return nb_fail(err, NB_ERR_SOURCE,
                       "%s: safetensors header of %" PRIu64
                       " bytes (offset 0), the file has %" PRIu64,
                       source->path, *length, source->file_bytes);
    }
    return 0;
}

/* Reads the header and leaves the position at the data. */
static int choose(struct source *source, struct chosen *chosen,
                  struct nb_errctx *err)
{
    uint64_t length = 0;
    int rv = read_length(source, &length, err);
    if (rv != 0) {
        return rv;
    }
    char *text = malloc((size_t)length + 1);
    if (text == NULL) {
        return nb_fail(err, NB_ERR_NOMEM,
                       "%s: out of memory for a header of "
                       "%" PRIu64 " bytes",
                       source->path, length);
    }
    rv = source_read_exactly(source, text, (size_t)length, err);
    if (rv == 0) {
        rv = safetensors_parse(text, (size_t)length,
                               source->file_bytes - source->bytes_read,
                               source->path, look_at, chosen, err);
    }
    free(text);
    return rv;
}

static int safetensors_init(struct source *source, struct nb_errctx *err)
{
    struct chosen chosen = {.choice.wanted = source->options->tensor};
    int rv = choose(source, &chosen, err);
    if (rv == 0) {
        rv = tensor_choice_check(&chosen.choice, source->path, err);
    }
    if (rv == 0 && !is_matrix(&chosen.tensor)) {
        rv = fail_not_matrix(source, &chosen, err);
    }
    if (rv == 0) {
        rv = source_seek(source, source->bytes_read + chosen.tensor.begin, err);
    }
    if (rv != 0) {
        return rv;
    }
    struct matrix_shape shape = {.n_rows = chosen.tensor.axes[0],
                                 .dim = (uint32_t)chosen.tensor.axes[1]};
    value_type_of(chosen.tensor.dtype, &shape.type);
    return matrix_begin(source, &shape, source_read_exactly, err);
}

/* The length's upper bytes are 0, which they are not in text. */
static bool safetensors_probe(const uint8_t *head, size_t n)
{
    return n > SAFETENSORS_PREFIX && get_u64(head) <= SAFETENSORS_HEADER_MAX &&
           head[SAFETENSORS_PREFIX] == '{';
}

const struct source_format source_safetensors = {
    .name = "safetensors",
    .has_tensors = true,
    .struct_bytes = sizeof(struct matrix_source),
    .probe = safetensors_probe,
    .init = safetensors_init,
    .read = matrix_read,
    .rewind = matrix_rewind,
    .fini = matrix_fini,
};
