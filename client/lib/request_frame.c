/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Two passes over the features: the first checks them and adds up sizes, the
 * second writes tags, lengths and short fields into one buffer of exactly that
 * size and puts the caller's arrays between them. The protobuf is written by
 * hand because a packed fixed-width field is an array in memory, which
 * protobuf-c would copy twice.
 */
#include "client/lib/request_frame.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/wire.h"
#include "quant/bytes.h"

/* Keeps every sum below 2^64: 2^20 features of under 2^37 bytes. */
#define FEATURES_MAX (1u << 20)
/* A feature gives at most four pieces: own, ids, own, weights. */
#define IOV_PER_FEATURE 4

/* Field numbers of nibble.proto; Lookup and Pool share those of the request. */
enum request_field {
    REQUEST_MODEL = 1,
    REQUEST_VERSION = 2,
    REQUEST_TIMEOUT_MS = 3,
    REQUEST_DTYPE = 4,
    REQUEST_FEATURES = 5
};

enum status_field {
    STATUS_MODEL = 1,
    STATUS_TABLE = 2,
    STATUS_VERSION = 3
};

enum feature_field {
    FEATURE_TABLE = 1,
    FEATURE_IDS = 2,
    LOOKUP_IDS32 = 3,
    POOL_LENGTHS = 3,
    POOL_WEIGHTS = 4,
    POOL_POOLING = 5,
    POOL_IDS32 = 6
};

/* What the first pass found out about a feature. */
struct feature_plan {
    size_t table_bytes;
    size_t id_bytes;      /* of one id on the wire */
    size_t lengths_bytes; /* as varints */
    size_t body_bytes;    /* of the encoded feature */
    bool narrow;          /* u64 ids travel as 32 bits */
};

/* Field numbers are below 16, so that a tag is one byte. */
static size_t varint_field_bytes(uint64_t value)
{
    return value == 0 ? 0 : 1 + wire_varint_bytes(value);
}

static size_t bytes_field_bytes(size_t n)
{
    return n == 0 ? 0 : 1 + wire_varint_bytes(n) + n;
}

/* ---- first pass ------------------------------------------------------- */

static bool ids_fit_32(const uint64_t *ids, size_t n)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) {
        all |= ids[i];
    }
    return all <= UINT32_MAX;
}

static int check_feature(const struct nb_feature *feature, size_t index,
                         struct nb_errctx *err)
{
    const struct nb_ids *ids = &feature->ids;
    if (feature->table == NULL || feature->table[0] == '\0') {
        return nb_fail(err, NB_ERR_INVALID, "feature %zu: no table named",
                       index);
    }
    if (ids->n > 0 && (ids->u64 == NULL) == (ids->u32 == NULL)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "feature %zu (table '%s'): one of ids.u64 and ids.u32 "
                       "must be set",
                       index, feature->table);
    }
    if (ids->n > UINT32_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "feature %zu (table '%s'): %zu ids do not fit a request",
                       index, feature->table, ids->n);
    }
    return 0;
}

static int check_bags(const struct nb_feature *feature, size_t index,
                      struct nb_errctx *err)
{
    if (feature->n_bags > UINT32_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "feature %zu (table '%s'): %zu bags do not fit a "
                       "request",
                       index, feature->table, feature->n_bags);
    }
    if (feature->n_bags > 0 && feature->lengths == NULL) {
        return nb_fail(err, NB_ERR_INVALID,
                       "feature %zu (table '%s'): bags without lengths", index,
                       feature->table);
    }
    if (feature->pooling > NB_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "feature %zu (table '%s'): no pooling mode %u", index,
                       feature->table, feature->pooling);
    }
    if (feature->pooling == NB_MAX && feature->weights != NULL) {
        return nb_fail(err, NB_ERR_INVALID,
                       "feature %zu (table '%s'): max takes no weights", index,
                       feature->table);
    }
    uint64_t sum = 0; /* at most 2^32 lengths of at most 2^32 */
    for (size_t i = 0; i < feature->n_bags; i++) {
        sum += feature->lengths[i];
    }
    if (sum != feature->ids.n) {
        return nb_fail(err, NB_ERR_INVALID,
                       "feature %zu (table '%s'): lengths sum to %llu, but "
                       "there are %zu ids",
                       index, feature->table, (unsigned long long)sum,
                       feature->ids.n);
    }
    return 0;
}

static void plan_feature(const struct nb_feature *feature, bool pool,
                         struct feature_plan *plan)
{
    const struct nb_ids *ids = &feature->ids;
    plan->table_bytes = strlen(feature->table);
    plan->narrow =
        ids->n > 0 && ids->u64 != NULL && ids_fit_32(ids->u64, ids->n);
    plan->id_bytes = ids->u64 == NULL || plan->narrow ? 4 : 8;
    plan->lengths_bytes = 0;
    plan->body_bytes = bytes_field_bytes(plan->table_bytes) +
                       bytes_field_bytes(ids->n * plan->id_bytes);
    if (pool) {
        for (size_t i = 0; i < feature->n_bags; i++) {
            plan->lengths_bytes += wire_varint_bytes(feature->lengths[i]);
        }
        plan->body_bytes += bytes_field_bytes(plan->lengths_bytes);
        plan->body_bytes += varint_field_bytes(feature->pooling);
        if (feature->weights != NULL) {
            plan->body_bytes += bytes_field_bytes(ids->n * sizeof(float));
        }
    }
}

/* Bytes of the feature that stay in the caller's arrays. */
static size_t borrowed_bytes(const struct nb_feature *feature,
                             const struct feature_plan *plan, bool pool)
{
    size_t ids = plan->narrow ? 0 : feature->ids.n * plan->id_bytes;
    bool weighted = pool && feature->weights != NULL;
    return ids + (weighted ? feature->ids.n * sizeof(float) : 0);
}

static int reserve_features(struct request_frame *frame, size_t n,
                            struct nb_errctx *err)
{
    if (n <= frame->feature_capacity && frame->iov != NULL) {
        return 0;
    }
    struct feature_plan *plans =
        realloc(frame->plans, (n + 1) * sizeof(*plans));
    if (plans == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "request of %zu features", n);
    }
    frame->plans = plans;
    struct iovec *iov =
        realloc(frame->iov, (1 + IOV_PER_FEATURE * n) * sizeof(*iov));
    if (iov == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "request of %zu features", n);
    }
    frame->iov = iov;
    frame->feature_capacity = n;
    return 0;
}

static int reserve_own(struct request_frame *frame, size_t bytes,
                       struct nb_errctx *err)
{
    if (bytes <= frame->own_capacity) {
        return 0;
    }
    uint8_t *own = malloc(bytes);
    if (own == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "request buffer of %zu bytes", bytes);
    }
    free(frame->own);
    frame->own = own;
    frame->own_capacity = bytes;
    return 0;
}

/* ---- second pass ------------------------------------------------------ */

struct writer {
    struct request_frame *frame;
    uint8_t *at;    /* in frame->own */
    uint8_t *piece; /* where the open piece began */
};

static void put_varint_field(struct writer *writer, uint32_t field,
                             uint64_t value)
{
    if (value != 0) {
        writer->at = wire_put_tag(writer->at, field, WIRE_VARINT);
        writer->at = wire_put_varint(writer->at, value);
    }
}

static void put_bytes_header(struct writer *writer, uint32_t field, size_t n)
{
    writer->at = wire_put_tag(writer->at, field, WIRE_BYTES);
    writer->at = wire_put_varint(writer->at, n);
}

static void put_text_field(struct writer *writer, uint32_t field,
                           const char *text, size_t n)
{
    if (n > 0) {
        put_bytes_header(writer, field, n);
        memcpy(writer->at, text, n);
        writer->at += n;
    }
}

static void append_piece(struct request_frame *frame, const void *base,
                         size_t n)
{
    if (n > 0) {
        frame->iov[frame->n_iov++] =
            (struct iovec){.iov_base = (void *)base, .iov_len = n};
        frame->bytes += n;
    }
}

static void close_piece(struct writer *writer)
{
    append_piece(writer->frame, writer->piece,
                 (size_t)(writer->at - writer->piece));
    writer->piece = writer->at;
}

static void put_borrowed_field(struct writer *writer, uint32_t field,
                               const void *data, size_t n)
{
    if (n > 0) {
        put_bytes_header(writer, field, n);
        close_piece(writer);
        append_piece(writer->frame, data, n);
    }
}

static void put_ids(struct writer *writer, const struct nb_ids *ids,
                    const struct feature_plan *plan, bool pool)
{
    uint32_t field32 = pool ? POOL_IDS32 : LOOKUP_IDS32;
    if (!plan->narrow) {
        const void *data = ids->u64 != NULL ? (const void *)ids->u64 : ids->u32;
        put_borrowed_field(writer, plan->id_bytes == 8 ? FEATURE_IDS : field32,
                           data, ids->n * plan->id_bytes);
        return;
    }
    put_bytes_header(writer, field32, ids->n * plan->id_bytes);
    for (size_t i = 0; i < ids->n; i++) {
        put_u32(writer->at + 4 * i, (uint32_t)ids->u64[i]);
    }
    writer->at += 4 * ids->n;
}

static void put_feature(struct writer *writer, const struct nb_feature *feature,
                        const struct feature_plan *plan, bool pool)
{
    put_bytes_header(writer, REQUEST_FEATURES, plan->body_bytes);
    put_text_field(writer, FEATURE_TABLE, feature->table, plan->table_bytes);
    put_ids(writer, &feature->ids, plan, pool);
    if (!pool) {
        return;
    }
    if (plan->lengths_bytes > 0) {
        put_bytes_header(writer, POOL_LENGTHS, plan->lengths_bytes);
        for (size_t i = 0; i < feature->n_bags; i++) {
            writer->at = wire_put_varint(writer->at, feature->lengths[i]);
        }
    }
    put_varint_field(writer, POOL_POOLING, feature->pooling);
    if (feature->weights != NULL) {
        put_borrowed_field(writer, POOL_WEIGHTS, feature->weights,
                           feature->ids.n * sizeof(float));
    }
}

static void begin_frame(struct writer *writer, struct request_frame *frame,
                        const struct request_call *call, size_t body_bytes)
{
    const struct frame_header header = {
        .kind = FRAME_REQUEST,
        .method = call->method,
        .request_id = call->request_id,
        .body_bytes = (uint32_t)body_bytes,
    };
    frame_header_put(frame->own, &header);
    frame->n_iov = 0;
    frame->bytes = 0;
    *writer = (struct writer){.frame = frame,
                              .at = frame->own + FRAME_HEADER_BYTES,
                              .piece = frame->own};
}

/* ---- both ------------------------------------------------------------- */

/* Checks every feature and fills frame->plans; *body_bytes and *borrowed are of
 * all features together. */
static int plan_features(struct request_frame *frame,
                         const struct nb_request *request, bool pool,
                         uint64_t *body_bytes, uint64_t *borrowed,
                         struct nb_errctx *err)
{
    *body_bytes = *borrowed = 0;
    for (size_t i = 0; i < request->n_features; i++) {
        const struct nb_feature *feature = &request->features[i];
        int rv = check_feature(feature, i, err);
        if (rv == 0 && pool) {
            rv = check_bags(feature, i, err);
        }
        if (rv != 0) {
            return rv;
        }
        struct feature_plan *plan = &frame->plans[i];
        plan_feature(feature, pool, plan);
        *body_bytes +=
            1 + wire_varint_bytes(plan->body_bytes) + plan->body_bytes;
        *borrowed += borrowed_bytes(feature, plan, pool);
    }
    return 0;
}

static int check_request(const struct nb_request *request, bool pool,
                         struct nb_errctx *err)
{
    if (request->dtype > NB_PACKED || (pool && request->dtype == NB_PACKED)) {
        return nb_fail(err, NB_ERR_INVALID, "request: no %s as dtype %u",
                       pool ? "pooled values" : "rows", request->dtype);
    }
    if (request->n_features > 0 && request->features == NULL) {
        return nb_fail(err, NB_ERR_INVALID, "request: features is NULL");
    }
    if (request->n_features > FEATURES_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "request: %zu features, at most %u fit",
                       request->n_features, FEATURES_MAX);
    }
    return 0;
}

int request_frame_encode(struct request_frame *frame,
                         const struct request_call *call,
                         const struct nb_request *request,
                         struct nb_errctx *err)
{
    bool pool = call->method == FRAME_METHOD_pool;
    const char *model = request->model != NULL ? request->model : "";
    size_t model_bytes = strlen(model);
    int rv = check_request(request, pool, err);
    if (rv == 0) {
        rv = reserve_features(frame, request->n_features, err);
    }
    uint64_t body_bytes = 0;
    uint64_t borrowed = 0;
    if (rv == 0) {
        rv = plan_features(frame, request, pool, &body_bytes, &borrowed, err);
    }
    if (rv != 0) {
        return rv;
    }
    body_bytes += bytes_field_bytes(model_bytes) +
                  varint_field_bytes(request->version) +
                  varint_field_bytes(call->timeout_ms) +
                  varint_field_bytes(request->dtype);
    if (body_bytes > UINT32_MAX) {
        return nb_fail(err, NB_ERR_INVALID,
                       "request: %llu bytes, a frame holds %u",
                       (unsigned long long)body_bytes, UINT32_MAX);
    }
    rv = reserve_own(frame, FRAME_HEADER_BYTES + (body_bytes - borrowed), err);
    if (rv != 0) {
        return rv;
    }
    struct writer writer;
    begin_frame(&writer, frame, call, body_bytes);
    put_text_field(&writer, REQUEST_MODEL, model, model_bytes);
    put_varint_field(&writer, REQUEST_VERSION, request->version);
    put_varint_field(&writer, REQUEST_TIMEOUT_MS, call->timeout_ms);
    put_varint_field(&writer, REQUEST_DTYPE, request->dtype);
    for (size_t i = 0; i < request->n_features; i++) {
        put_feature(&writer, &request->features[i], &frame->plans[i], pool);
    }
    close_piece(&writer);
    return 0;
}

int request_frame_encode_params(struct request_frame *frame,
                                const struct request_call *call,
                                const struct nb_request *request,
                                struct nb_errctx *err)
{
    const char *model = request->model != NULL ? request->model : "";
    if (request->n_features != 1 || request->features == NULL ||
        request->features[0].table == NULL ||
        request->features[0].table[0] == '\0') {
        return nb_fail(err, NB_ERR_INVALID, "request: not one table");
    }
    const char *table = request->features[0].table;
    size_t model_bytes = strlen(model);
    size_t table_bytes = strlen(table);
    uint64_t body_bytes = bytes_field_bytes(model_bytes) +
                          bytes_field_bytes(table_bytes) +
                          varint_field_bytes(request->version);
    if (body_bytes > UINT32_MAX) {
        return nb_fail(err, NB_ERR_INVALID, "request: names are too long");
    }
    int rv = reserve_features(frame, 0, err);
    if (rv == 0) {
        rv = reserve_own(frame, FRAME_HEADER_BYTES + body_bytes, err);
    }
    if (rv != 0) {
        return rv;
    }
    struct writer writer;
    begin_frame(&writer, frame, call, body_bytes);
    put_text_field(&writer, STATUS_MODEL, model, model_bytes);
    put_text_field(&writer, STATUS_TABLE, table, table_bytes);
    put_varint_field(&writer, STATUS_VERSION, request->version);
    close_piece(&writer);
    return 0;
}

int request_frame_encode_empty(struct request_frame *frame,
                               const struct request_call *call,
                               struct nb_errctx *err)
{
    int rv = reserve_features(frame, 0, err);
    if (rv == 0) {
        rv = reserve_own(frame, FRAME_HEADER_BYTES, err);
    }
    if (rv != 0) {
        return rv;
    }
    struct writer writer;
    begin_frame(&writer, frame, call, 0);
    close_piece(&writer);
    return 0;
}

void request_frame_fini(struct request_frame *frame)
{
    free(frame->iov);
    free(frame->plans);
    free(frame->own);
    *frame = (struct request_frame){0};
}
