/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/request_scan.h"

#include <string.h>

#include "proto/nibble.pb-c.h"
#include "proto/wire.h"

/* What a field of a feature holds. */
enum kind {
    OTHER,
    TABLE,
    IDS64,
    IDS32,
    LENGTHS,
    WEIGHTS,
    N_KINDS
};

#define FEATURES      5u /* field numbers in both requests */
#define TIMEOUT_MS    3u
#define MODEL         1u
#define FEATURE_KINDS 7u

struct layout {
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *feature;
    uint8_t kinds[FEATURE_KINDS]; /* by field number of the feature */
};

static const struct layout layouts[] = {
    {&nibble__v1__lookup_request__descriptor,
     &nibble__v1__lookup_feature__descriptor,
     {[1] = TABLE, [2] = IDS64, [3] = IDS32}},
    {&nibble__v1__pool_request__descriptor,
     &nibble__v1__pool_feature__descriptor,
     {[1] = TABLE, [2] = IDS64, [3] = LENGTHS, [4] = WEIGHTS, [6] = IDS32}},
};

/* Bytes of one element of a packed field; 0: varints. */
static const uint8_t element_bytes[N_KINDS] = {
    [IDS64] = 8, [IDS32] = 4, [WEIGHTS] = 4};

struct counts {
    uint64_t n[N_KINDS];
    size_t n_features;
};

static size_t count_varints(const uint8_t *data, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n += data[i] < 0x80;
    }
    return n;
}

/* Elements of a repeated scalar, packed or not. */
static uint64_t count_elements(enum kind kind, const struct wire_field *field)
{
    if (field->type != WIRE_BYTES) {
        return 1;
    }
    if (element_bytes[kind] == 0) {
        return count_varints(field->data, field->bytes);
    }
    return field->bytes / element_bytes[kind];
}

/* ---- what protobuf-c would refuse without a name --------------------- */

static uint32_t wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    default:
        return WIRE_VARINT;
    }
}

static bool are_varints(const uint8_t *data, size_t bytes)
{
    size_t run = 0;
    for (size_t i = 0; i < bytes; i++) {
        run = data[i] < 0x80 ? 0 : run + 1;
        if (run == WIRE_VARINT_MAX) {
            return false;
        }
    }
    return run == 0;
}

/* Why the field cannot be decoded; NULL: it can. */
static const char *find_fault(const ProtobufCFieldDescriptor *known,
                              const struct wire_field *field)
{
    uint32_t type = wire_type_of(known->type);
    if (field->type == type) {
        return NULL;
    }
    if (field->type != WIRE_BYTES ||
        known->label != PROTOBUF_C_LABEL_REPEATED) {
        return "has the wrong wire type";
    }
    if (type == WIRE_VARINT) {
        return are_varints(field->data, field->bytes)
                   ? NULL
                   : "a number in it is cut short, or over 10 bytes long";
    }
    size_t element = type == WIRE_FIXED64 ? 8 : 4;
    return field->bytes % element == 0 ? NULL
                                       : "its bytes are no whole elements";
}

#define NO_FEATURE SIZE_MAX

/* Checks a field of the request, or of its feature `feature`. */
static int check_field(struct call *call,
                       const ProtobufCMessageDescriptor *message,
                       size_t feature, const struct wire_field *field)
{
    const ProtobufCFieldDescriptor *known =
        protobuf_c_message_descriptor_get_field(message, field->number);
    const char *fault = known != NULL ? find_fault(known, field) : NULL;
    if (fault == NULL) {
        return 0;
    }
    if (feature == NO_FEATURE) {
        return call_fail(call, RPC_INVALID_ARGUMENT, "%s: %s", known->name,
                         fault);
    }
    return call_fail(call, RPC_INVALID_ARGUMENT, "features[%zu].%s: %s",
                     feature, known->name, fault);
}

/* ---- features -------------------------------------------------------- */

static bool holds_nul(const struct wire_field *field)
{
    return field->bytes != 0 && memchr(field->data, '\0', field->bytes) != NULL;
}

/* Limits are held as the counting goes, so that a hostile body is not even
 * walked to its end. */
static int check_limits(struct call *call, const struct counts *counts)
{
    const struct options *options = call->service->options;
    uint64_t ids = counts->n[IDS64] + counts->n[IDS32];
    if (ids > options->max_ids || counts->n[WEIGHTS] > options->max_ids) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "features[%zu].%s: over %llu in the request",
                         counts->n_features - 1,
                         ids > options->max_ids ? "ids" : "weights",
                         (unsigned long long)options->max_ids);
    }
    if (counts->n[LENGTHS] > options->max_bags) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "features[%zu].lengths: over %llu bags in the request",
                         counts->n_features - 1,
                         (unsigned long long)options->max_bags);
    }
    return 0;
}

static enum kind kind_of(const struct layout *layout,
                         const struct wire_field *field)
{
    return field->number < FEATURE_KINDS
               ? (enum kind)layout->kinds[field->number]
               : OTHER;
}

static int scan_feature(struct call *call, const struct layout *layout,
                        const struct wire_field *feature, struct counts *counts)
{
    struct wire wire = {feature->data, feature->data + feature->bytes};
    struct wire_field field;
    int rv;
    while ((rv = wire_next(&wire, &field)) > 0) {
        if (check_field(call, layout->feature, counts->n_features - 1,
                        &field) != 0) {
            return -1;
        }
        enum kind kind = kind_of(layout, &field);
        if (kind == OTHER) {
            continue;
        }
        if (kind == TABLE) {
            if (holds_nul(&field)) {
                return call_fail(call, RPC_INVALID_ARGUMENT,
                                 "features[%zu].table: holds a NUL byte",
                                 counts->n_features - 1);
            }
            continue;
        }
        counts->n[kind] += count_elements(kind, &field);
        if (check_limits(call, counts) != 0) {
            return -1;
        }
    }
    if (rv < 0) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "features[%zu]: malformed at byte %zu of %zu",
                         counts->n_features - 1,
                         (size_t)(wire.at - feature->data), feature->bytes);
    }
    return 0;
}

static int scan_field(struct call *call, const struct layout *layout,
                      const struct wire_field *field, struct counts *counts)
{
    if (layout == NULL || field->number != FEATURES) {
        return 0;
    }
    if (counts->n_features == call->service->options->max_features) {
        return call_fail(call, RPC_RESOURCE_EXHAUSTED,
                         "features: over %zu in the request",
                         counts->n_features);
    }
    counts->n_features++;
    return scan_feature(call, layout, field, counts);
}

static bool names_model(const ProtobufCMessageDescriptor *request)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(request, MODEL);
    return field != NULL && field->type == PROTOBUF_C_TYPE_STRING;
}

/* NULL: the message has no features. */
static const struct layout *layout_of(const ProtobufCMessageDescriptor *request)
{
    const struct layout *layout = NULL;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        if (layouts[i].request == request) {
            layout = &layouts[i];
        }
    }
    return layout;
}

int request_scan(struct call *call, const ProtobufCMessageDescriptor *request,
                 const void *body, size_t bytes)
{
    const struct layout *layout = layout_of(request);
    bool has_model = names_model(request);
    struct counts counts = {0};
    struct wire wire = {body, (const uint8_t *)body + bytes};
    struct wire_field field;
    int rv;
    while ((rv = wire_next(&wire, &field)) > 0) {
        if (check_field(call, request, NO_FEATURE, &field) != 0) {
            return -1;
        }
        if (has_model && field.number == MODEL && holds_nul(&field)) {
            return call_fail(call, RPC_INVALID_ARGUMENT,
                             "model: holds a NUL byte");
        }
        if (scan_field(call, layout, &field, &counts) != 0) {
            return -1;
        }
    }
    if (rv < 0) {
        return call_fail(call, RPC_INVALID_ARGUMENT,
                         "request: malformed at byte %zu of %zu",
                         (size_t)(wire.at - (const uint8_t *)body), bytes);
    }
    return 0;
}

/* ---- arrays ----------------------------------------------------------- */

struct arrays {
    const uint8_t *body;
    struct request_array *to;
    size_t max;
    size_t n;
    size_t feature;
};

static void add_array(struct arrays *arrays, enum request_array_kind kind,
                      const uint8_t *data, size_t bytes)
{
    if (arrays->n < arrays->max) {
        arrays->to[arrays->n] =
            (struct request_array){.at = (size_t)(data - arrays->body),
                                   .bytes = bytes,
                                   .feature = arrays->feature,
                                   .kind = (uint8_t)kind};
    }
    arrays->n++;
}

static void add_feature(struct arrays *arrays, const struct layout *layout,
                        const struct wire_field *feature)
{
    static const enum request_array_kind kinds[N_KINDS] = {
        [IDS64] = REQUEST_IDS64,
        [IDS32] = REQUEST_IDS32,
        [WEIGHTS] = REQUEST_WEIGHTS,
    };
    struct wire wire = {feature->data, feature->data + feature->bytes};
    struct wire_field field;
    while (wire_next(&wire, &field) > 0) {
        enum kind kind = kind_of(layout, &field);
        if (element_bytes[kind] != 0 && field.type == WIRE_BYTES) {
            add_array(arrays, kinds[kind], field.data, field.bytes);
        }
    }
    arrays->feature++;
}

size_t request_arrays(const ProtobufCMessageDescriptor *request,
                      const uint8_t *body, size_t bytes,
                      struct request_array *arrays, size_t max)
{
    const struct layout *layout = layout_of(request);
    struct arrays found = {.body = body, .to = arrays, .max = max};
    struct wire wire = {body, body + bytes};
    struct wire_field field;
    const uint8_t *from = body;
    while (layout != NULL && wire_next(&wire, &field) > 0) {
        if (field.number == FEATURES) {
            add_feature(&found, layout, &field);
        } else if (from[0] == (TIMEOUT_MS << 3 | WIRE_VARINT)) {
            add_array(&found, REQUEST_TIMEOUT, from + 1,
                      (size_t)(wire.at - from) - 1);
        }
        from = wire.at;
    }
    return found.n;
}
