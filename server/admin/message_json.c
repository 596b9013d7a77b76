/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/admin/message_json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* NOLINTBEGIN(misc-no-recursion): as deep as messages of nibble.proto nest */

static void put_string(const char *text, struct text_buf *json)
{
    text_buf_add(json, "\"", 1);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            text_buf_print(json, "\\%c", c);
        } else if (c < 0x20) {
            text_buf_print(json, "\\u%04x", c);
        } else {
            text_buf_add(json, text, 1);
        }
    }
    text_buf_add(json, "\"", 1);
}

static void put_float(float value, struct text_buf *json)
{
    if (isfinite(value)) {
        text_buf_print(json, "%.9g", (double)value);
    } else {
        text_buf_print(json, "null"); /* JSON has no other */
    }
}

/* The element at `at`, which may lie unaligned for what it is. */
static void put_value(ProtobufCType type, const void *at, struct text_buf *json)
{
    union {
        uint32_t u32;
        uint64_t u64;
        float f32;
        protobuf_c_boolean boolean;
        const char *text;
        const ProtobufCMessage *message;
    } value;
    switch (type) {
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        memcpy(&value.u64, at, sizeof(value.u64));
        text_buf_print(json, "%" PRIu64, value.u64);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(&value.f32, at, sizeof(value.f32));
        put_float(value.f32, json);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        memcpy(&value.boolean, at, sizeof(value.boolean));
        text_buf_print(json, value.boolean ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&value.text, at, sizeof(value.text));
        put_string(value.text, json);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        memcpy(&value.message, at, sizeof(void *));
        message_json(value.message, json);
        break;
    default:
        assert(type == PROTOBUF_C_TYPE_UINT32 ||
               type == PROTOBUF_C_TYPE_FIXED32 || type == PROTOBUF_C_TYPE_ENUM);
        memcpy(&value.u32, at, sizeof(value.u32));
        text_buf_print(json, "%" PRIu32, value.u32);
    }
}

static size_t element_bytes(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    default:
        return sizeof(uint32_t);
    }
}

static void put_list(const ProtobufCFieldDescriptor *field, const char *message,
                     struct text_buf *json)
{
    size_t n;
    const char *elements;
    memcpy(&n, message + field->quantifier_offset, sizeof(n));
    memcpy(&elements, message + field->offset, sizeof(elements));
    text_buf_add(json, "[", 1);
    for (size_t i = 0; i < n; i++) {
        text_buf_add(json, ",", i > 0);
        put_value(field->type, elements + i * element_bytes(field->type), json);
    }
    text_buf_add(json, "]", 1);
}

static bool is_absent(const ProtobufCFieldDescriptor *field,
                      const char *message)
{
    const void *there;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE ||
        field->label == PROTOBUF_C_LABEL_REPEATED) {
        return false;
    }
    memcpy(&there, message + field->offset, sizeof(there));
    return there == NULL;
}

void message_json(const ProtobufCMessage *message, struct text_buf *json)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const char *base = (const char *)message;
    bool first = true;
    text_buf_add(json, "{", 1);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (is_absent(field, base)) {
            continue;
        }
        text_buf_print(json, "%s\"%s\":", first ? "" : ",", field->name);
        first = false;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            put_list(field, base, json);
        } else {
            put_value(field->type, base + field->offset, json);
        }
    }
    text_buf_add(json, "}", 1);
}

/* NOLINTEND(misc-no-recursion) */
