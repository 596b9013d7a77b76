/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The outer object is walked as text, and only one tensor's description at a
 * time is parsed as JSON: a header may have 100 MB, and its tree twenty times
 * that.
 */
#include "storage/source/safetensors_header.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "quant/checked.h"
#include "storage/source/tensor_choice.h"

#define NAME_BYTES_MAX   4096u  /* of text */
#define TENSOR_BYTES_MAX 65536u /* of text, name apart */
#define TENSORS_FIRST    64u

/* What a tensor takes of the data, and its name. */
struct span {
    uint64_t begin;
    uint64_t end;
    uint64_t name_hash;
};

struct walk {
    const char *start;
    const char *at;
    const char *end;
    uint64_t data_bytes;
    struct span *spans;
    size_t n_spans;
    size_t capacity;
    const char *path;
    struct nb_errctx *err;
};

static int malformed(const struct walk *walk, const char *what)
{
    return nb_fail(walk->err, NB_ERR_SOURCE,
                   "%s: safetensors header, byte %td: %s", walk->path,
                   walk->at - walk->start, what);
}

static int out_of_memory(const struct walk *walk)
{
    return nb_fail(walk->err, NB_ERR_NOMEM, "%s: out of memory for %zu tensors",
                   walk->path, walk->n_spans + 1);
}

/* ---- the outer object ---------------------------------------------------- */

static void skip_space(struct walk *walk)
{
    while (walk->at < walk->end && (*walk->at == ' ' || *walk->at == '\n' ||
                                    *walk->at == '\t' || *walk->at == '\r')) {
        walk->at++;
    }
}

/* Takes `c`, and white space around it, if it comes next. */
static bool take(struct walk *walk, char c)
{
    skip_space(walk);
    if (walk->at == walk->end || *walk->at != c) {
        return false;
    }
    walk->at++;
    skip_space(walk);
    return true;
}

/* Skips a string, of which the quote is next; false if it does not end. */
static bool skip_string(struct walk *walk)
{
    for (walk->at++; walk->at < walk->end; walk->at++) {
        if (*walk->at == '"') {
            walk->at++;
            return true;
        }
        walk->at += *walk->at == '\\';
    }
    walk->at = walk->end;
    return false;
}

/* Skips an object, of which the brace is next. What is inside is only looked at
 * for where the object ends. */
static bool skip_object(struct walk *walk)
{
    size_t depth = 0;
    while (walk->at < walk->end) {
        char c = *walk->at;
        if (c == '"') {
            if (!skip_string(walk)) {
                return false;
            }
            continue;
        }
        walk->at++;
        depth += c == '{';
        depth -= c == '}';
        if (depth == 0) {
            return true;
        }
    }
    return false;
}

/* ---- a tensor ------------------------------------------------------------ */

/* Parses [from, at) of the header. */
static int parse_json(const struct walk *walk, const char *from, json_t **json)
{
    json_error_t error;
    *json = json_loadb(from, (size_t)(walk->at - from),
                       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (*json != NULL) {
        return 0;
    }
    if (json_error_code(&error) == json_error_out_of_memory) {
        return out_of_memory(walk);
    }
    return nb_fail(walk->err, NB_ERR_SOURCE,
                   "%s: safetensors header, byte %td: %s", walk->path,
                   from - walk->start + error.position, error.text);
}

static bool get_count(const json_t *json, uint64_t *count)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0) {
        return false;
    }
    *count = (uint64_t)json_integer_value(json);
    return true;
}

/* The bits of a value; 0 for a dtype not known, of which no size is known. */
static uint64_t dtype_bits(const char *dtype)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = {{"F64", 64},   {"F32", 32}, {"F16", 16},    {"BF16", 16},
                 {"I64", 64},   {"I32", 32}, {"I16", 16},    {"I8", 8},
                 {"U64", 64},   {"U32", 32}, {"U16", 16},    {"U8", 8},
                 {"BOOL", 8},   {"C64", 64}, {"F8_E4M3", 8}, {"F8_E5M2", 8},
                 {"F8_E8M0", 8}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(dtype, types[i].name) == 0) {
            return types[i].bits;
        }
    }
    return 0;
}

static bool get_dtype(const json_t *object, struct safetensor *tensor)
{
    const json_t *dtype = json_object_get(object, "dtype");
    size_t n = json_string_length(dtype);
    if (!json_is_string(dtype) || n == 0 || n > SAFETENSORS_DTYPE_MAX) {
        return false;
    }
    memcpy(tensor->dtype, json_string_value(dtype), n + 1);
    return true;
}

/* Shape and, where the dtype tells, the bytes it takes; UINT64_MAX where not.
 */
static bool get_shape(const json_t *object, struct safetensor *tensor,
                      uint64_t *bytes)
{
    const json_t *shape = json_object_get(object, "shape");
    uint64_t bits = dtype_bits(tensor->dtype);
    uint64_t total = bits;
    if (!json_is_array(shape)) {
        return false;
    }
    tensor->n_axes = json_array_size(shape);
    for (size_t i = 0; i < tensor->n_axes; i++) {
        uint64_t axis;
        if (!get_count(json_array_get(shape, i), &axis) ||
            !checked_mul(total, axis, &total)) {
            return false;
        }
        if (i < 2) {
            tensor->axes[i] = axis;
        }
    }
    *bytes = bits != 0 ? total / 8 : UINT64_MAX;
    return true;
}

static bool get_offsets(const json_t *object, struct safetensor *tensor)
{
    const json_t *offsets = json_object_get(object, "data_offsets");
    return json_is_array(offsets) && json_array_size(offsets) == 2 &&
           get_count(json_array_get(offsets, 0), &tensor->begin) &&
           get_count(json_array_get(offsets, 1), &tensor->end) &&
           tensor->begin <= tensor->end;
}

static int wrong_tensor(const struct walk *walk,
                        const struct safetensor *tensor, const char *what)
{
    return nb_fail(walk->err, NB_ERR_SOURCE, "%s: tensor '%s': %s", walk->path,
                   tensor_show(tensor->name).text, what);
}

static int interpret(const struct walk *walk, const json_t *object,
                     struct safetensor *tensor)
{
    uint64_t bytes;
    if (!get_dtype(object, tensor)) {
        return wrong_tensor(walk, tensor, "no dtype, a short string");
    }
    if (!get_shape(object, tensor, &bytes)) {
        return wrong_tensor(walk, tensor, "no shape, a list of lengths");
    }
    if (!get_offsets(object, tensor)) {
        return wrong_tensor(walk, tensor,
                            "no data_offsets, a begin and an end not before");
    }
    if (tensor->end > walk->data_bytes) {
        return nb_fail(walk->err, NB_ERR_SOURCE,
                       "%s: tensor '%s' ends at byte %" PRIu64
                       " of the data, of which the file has %" PRIu64,
                       walk->path, tensor_show(tensor->name).text, tensor->end,
                       walk->data_bytes);
    }
    if (bytes != UINT64_MAX && tensor->end - tensor->begin != bytes) {
        return nb_fail(walk->err, NB_ERR_SOURCE,
                       "%s: tensor '%s' has %" PRIu64
                       " bytes, its shape and dtype make %" PRIu64,
                       walk->path, tensor_show(tensor->name).text,
                       tensor->end - tensor->begin, bytes);
    }
    return 0;
}

static int add_span(struct walk *walk, const struct safetensor *tensor)
{
    if (walk->n_spans == walk->capacity) {
        size_t capacity =
            walk->capacity == 0 ? TENSORS_FIRST : 2 * walk->capacity;
        struct span *grown =
            realloc(walk->spans, capacity * sizeof(*walk->spans));
        if (grown == NULL) {
            return out_of_memory(walk);
        }
        walk->spans = grown;
        walk->capacity = capacity;
    }
    walk->spans[walk->n_spans++] = (struct span){
        .begin = tensor->begin,
        .end = tensor->end,
        .name_hash = XXH3_64bits(tensor->name, strlen(tensor->name)),
    };
    return 0;
}

/* The description of a tensor, of which the brace is next. */
static int take_tensor(struct walk *walk, const char *name, safetensor_fn *each,
                       void *arg)
{
    struct safetensor tensor = {.name = name};
    const char *from = walk->at;
    if (!skip_object(walk)) {
        return malformed(walk, "ends inside a tensor");
    }
    if (walk->at - from > (ptrdiff_t)TENSOR_BYTES_MAX) {
        return wrong_tensor(walk, &tensor, "is described in over 65536 bytes");
    }
    json_t *object = NULL;
    int rv = parse_json(walk, from, &object);
    if (rv == 0) {
        rv = interpret(walk, object, &tensor);
    }
    if (rv == 0) {
        rv = add_span(walk, &tensor);
    }
    if (rv == 0) {
        each(arg, &tensor);
    }
    json_decref(object);
    return rv;
}

/* "name": {...} */
static int take_member(struct walk *walk, safetensor_fn *each, void *arg)
{
    const char *from = walk->at;
    if (walk->at == walk->end || *walk->at != '"' || !skip_string(walk)) {
        return malformed(walk, "expected the name of a tensor");
    }
    if (walk->at - from > (ptrdiff_t)NAME_BYTES_MAX) {
        return malformed(walk, "a tensor's name of over 4096 bytes");
    }
    json_t *name = NULL;
    int rv = parse_json(walk, from, &name);
    if (rv != 0) {
        return rv;
    }
    if (!take(walk, ':') || walk->at == walk->end || *walk->at != '{') {
        rv = malformed(walk, "expected ':' and '{' after a name");
    } else if (strcmp(json_string_value(name), "__metadata__") != 0) {
        rv = take_tensor(walk, json_string_value(name), each, arg);
    } else if (!skip_object(walk)) {
        rv = malformed(walk, "ends inside the metadata");
    }
    json_decref(name);
    return rv;
}

static int take_members(struct walk *walk, safetensor_fn *each, void *arg)
{
    if (!take(walk, '{')) {
        return malformed(walk, "expected '{'");
    }
    if (!take(walk, '}')) {
        do {
            int rv = take_member(walk, each, arg);
            if (rv != 0) {
                return rv;
            }
        } while (take(walk, ','));
        if (!take(walk, '}')) {
            return malformed(walk, "expected ',' or '}'");
        }
    }
    return walk->at == walk->end
               ? 0
               : malformed(walk, "expected its end after '}'");
}

/* ---- all tensors --------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct span *x = a;
    const struct span *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b)
{
    const struct span *x = a;
    const struct span *y = b;
    return (x->name_hash > y->name_hash) - (x->name_hash < y->name_hash);
}

static int check_spans(const struct walk *walk)
{
    uint64_t covered = 0;
    if (walk->n_spans > 0) {
        qsort(walk->spans, walk->n_spans, sizeof(*walk->spans), by_place);
    }
    for (size_t i = 0; i < walk->n_spans; i++) {
        const struct span *span = &walk->spans[i];
        if (span->begin != covered) {
            return nb_fail(walk->err, NB_ERR_SOURCE,
                           "%s: tensors %s at byte %" PRIu64 " of the data",
                           walk->path,
                           span->begin < covered ? "overlap" : "leave a hole",
                           span->begin < covered ? span->begin : covered);
        }
        covered = span->end;
    }
    if (covered != walk->data_bytes) {
        return nb_fail(walk->err, NB_ERR_SOURCE,
                       "%s: tensors end at byte %" PRIu64
                       " of the data, the file has %" PRIu64,
                       walk->path, covered, walk->data_bytes);
    }
    return 0;
}

static int check_names(const struct walk *walk)
{
    if (walk->n_spans > 0) {
        qsort(walk->spans, walk->n_spans, sizeof(*walk->spans), by_name);
    }
    for (size_t i = 1; i < walk->n_spans; i++) {
        if (walk->spans[i].name_hash == walk->spans[i - 1].name_hash) {
            return nb_fail(walk->err, NB_ERR_SOURCE,
                           "%s: two tensors have the same name (data bytes "
                           "%" PRIu64 " and %" PRIu64 ")",
                           walk->path, walk->spans[i - 1].begin,
                           walk->spans[i].begin);
        }
    }
    return 0;
}

int safetensors_parse(const char *text, size_t n, uint64_t data_bytes,
                      const char *path, safetensor_fn *each, void *arg,
                      struct nb_errctx *err)
{
    struct walk walk = {.start = text,
                        .at = text,
                        .end = text + n,
                        .data_bytes = data_bytes,
                        .path = path,
                        .err = err};
    int rv = take_members(&walk, each, arg);
    if (rv == 0) {
        rv = check_spans(&walk);
    }
    if (rv == 0) {
        rv = check_names(&walk);
    }
    free(walk.spans);
    return rv;
}
