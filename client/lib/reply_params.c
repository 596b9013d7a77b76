/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/reply_params.h"

#include <stdbool.h>
#include <stdlib.h>

#include "proto/wire.h"
#include "quant/bytes.h"

/* Field numbers of nibble.proto. */
enum {
    REPLY_PARAMS = 13
};
enum {
    PARAMS_VERSION = 2,
    PARAMS_CODEC = 3,
    PARAMS_DIM = 4,
    PARAMS_SCALES = 5,
    PARAMS_ID = 6,
    PARAMS_COLUMN_MEAN = 7,
    PARAMS_COLUMN_SCALE = 8,
    PARAMS_CODEBOOKS = 9,
    PARAMS_LEVELS = 10,
    PARAMS_CODEBOOK_LEVELS = 11
};

/* The lists of floats, in the order of their memory. */
enum list {
    MEAN,
    SCALE,
    LEVELS,
    N_LISTS
};

struct lists {
    size_t n[N_LISTS];
    float *at[N_LISTS]; /* NULL while they are counted */
};

/* Which list a field is of; N_LISTS if none. */
static enum list list_of(uint32_t number)
{
    switch (number) {
    case PARAMS_COLUMN_MEAN:
        return MEAN;
    case PARAMS_COLUMN_SCALE:
        return SCALE;
    case PARAMS_CODEBOOK_LEVELS:
        return LEVELS;
    default:
        return N_LISTS;
    }
}

/* Counts a field's floats, packed or one by itself, and stores them if there is
 * memory. False if it is no field of floats. */
static bool take_floats(struct lists *lists, enum list list,
                        const struct wire_field *field)
{
    float *to = lists->at[list];
    size_t *n = &lists->n[list];
    if (field->type == WIRE_FIXED32) {
        if (to != NULL) {
            uint8_t bits[sizeof(float)];
            put_u32(bits, (uint32_t)field->value);
            to[*n] = get_f32(bits);
        }
        *n += 1;
        return true;
    }
    if (field->type != WIRE_BYTES || field->bytes % sizeof(float) != 0) {
        return false;
    }
    for (size_t i = 0; to != NULL && i < field->bytes / sizeof(float); i++) {
        to[*n + i] = get_f32(field->data + i * sizeof(float));
    }
    *n += field->bytes / sizeof(float);
    return true;
}

static bool take_number(struct nb_table_params *params,
                        const struct wire_field *field)
{
    uint32_t value = (uint32_t)field->value;
    switch (field->number) {
    case PARAMS_VERSION:
        params->version = field->value;
        break;
    case PARAMS_CODEC:
        params->format.codec = value;
        break;
    case PARAMS_DIM:
        params->format.dim = value;
        break;
    case PARAMS_SCALES:
        params->format.scales = value;
        break;
    case PARAMS_CODEBOOKS:
        params->params.n_codebooks = value;
        break;
    case PARAMS_LEVELS:
        params->params.n_levels = value;
        break;
    case PARAMS_ID:
        params->id = field->value;
        return field->type == WIRE_FIXED64;
    default:
        return true; /* of a newer peer, or not needed */
    }
    return field->type == WIRE_VARINT;
}

static int walk(struct wire wire, struct nb_table_params *params,
                struct lists *lists, struct nb_errctx *err)
{
    struct wire_field field;
    int rv;
    while ((rv = wire_next(&wire, &field)) > 0) {
        enum list list = list_of(field.number);
        bool ok = list != N_LISTS ? take_floats(lists, list, &field)
                                  : take_number(params, &field);
        if (!ok) {
            return nb_fail(err, NB_ERR_MESSAGE,
                           "reply: params: field %u is malformed",
                           field.number);
        }
    }
    return rv == 0 ? 0
                   : nb_fail(err, NB_ERR_MESSAGE, "reply: params: malformed");
}

/* Do the lists have the lengths that the numbers say? */
static int check_lengths(const struct nb_table_params *params,
                         const struct lists *lists, struct nb_errctx *err)
{
    uint32_t dim = params->format.dim;
    uint64_t levels =
        (uint64_t)params->params.n_codebooks * params->params.n_levels;
    if ((lists->n[MEAN] != 0 && lists->n[MEAN] != dim) ||
        (lists->n[SCALE] != 0 && lists->n[SCALE] != dim) ||
        lists->n[LEVELS] != levels) {
        return nb_fail(err, NB_ERR_MESSAGE,
                       "reply: params: %zu means and %zu scales for dim %u, "
                       "%zu levels for %u codebooks of %u",
                       lists->n[MEAN], lists->n[SCALE], dim, lists->n[LEVELS],
                       params->params.n_codebooks, params->params.n_levels);
    }
    return 0;
}

static int check(const struct nb_table_params *params, struct nb_errctx *err)
{
    struct nb_errctx why;
    int rv = nb_params_check(&params->format, &params->params, &why);
    if (rv == 0) {
        return 0;
    }
    return nb_fail(err, rv == NB_ERR_UNSUPPORTED ? rv : NB_ERR_MESSAGE,
                   "reply: params: %.200s", why.text);
}

/* As reply_params_read(), of the message itself. */
static int read_message(struct wire wire, struct nb_table_params **params,
                        struct nb_errctx *err)
{
    struct nb_table_params counted = {0};
    struct lists lists = {{0}, {NULL}};
    int rv = walk(wire, &counted, &lists, err);
    if (rv == 0) {
        rv = check_lengths(&counted, &lists, err);
    }
    if (rv != 0) {
        return rv;
    }
    /* The message is 2^32 bytes at most. */
    size_t n = lists.n[MEAN] + lists.n[SCALE] + lists.n[LEVELS];
    struct nb_table_params *made = malloc(sizeof(*made) + n * sizeof(float));
    if (made == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "no memory for %zu parameters", n);
    }
    *made = counted;
    float *at = (float *)(void *)(made + 1);
    for (int i = 0; i < N_LISTS; i++) {
        lists.at[i] = at;
        at += lists.n[i];
        lists.n[i] = 0;
    }
    rv = walk(wire, &counted, &lists, err);
    made->params.column_mean = lists.n[MEAN] != 0 ? lists.at[MEAN] : NULL;
    made->params.column_scale = lists.n[SCALE] != 0 ? lists.at[SCALE] : NULL;
    made->params.codebooks = lists.n[LEVELS] != 0 ? lists.at[LEVELS] : NULL;
    if (rv == 0) {
        rv = check(made, err);
    }
    if (rv != 0) {
        free(made);
        return rv;
    }
    *params = made;
    return 0;
}

int reply_params_read(const void *body, size_t bytes,
                      struct nb_table_params **params, struct nb_errctx *err)
{
    struct wire wire = {body, (const uint8_t *)body + bytes};
    struct wire_field field;
    struct wire message = {NULL, NULL};
    int rv;
    while ((rv = wire_next(&wire, &field)) > 0) {
        if (field.number == REPLY_PARAMS && field.type == WIRE_BYTES) {
            message = (struct wire){field.data, field.data + field.bytes};
        }
    }
    if (rv < 0) {
        return nb_fail(err, NB_ERR_MESSAGE, "reply: malformed status");
    }
    if (message.at == NULL) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "the server does not tell the parameters of tables");
    }
    return read_message(message, params, err);
}

void nb_table_params_free(struct nb_table_params *params)
{
    free(params);
}
