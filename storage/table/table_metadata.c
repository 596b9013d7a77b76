/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/table_metadata.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ------------------------------------------------------------- */

/* A file name is bytes, a JSON string is UTF-8: what is not becomes '?'. */
static json_t *json_file_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') { /* of a directory */
        n--;
    }
    const char *slash = memrchr(path, '/', n);
    const char *base = slash != NULL && n > 1 ? slash + 1 : path;
    n -= (size_t)(base - path);
    json_t *string = json_stringn(base, n);
    if (string != NULL) {
        return string;
    }
    char *ascii = strndup(base, n);
    if (ascii == NULL) {
        return NULL;
    }
    for (char *at = ascii; *at != '\0'; at++) {
        if ((unsigned char)*at >= 0x80) {
            *at = '?';
        }
    }
    string = json_string(ascii);
    free(ascii);
    return string;
}

static json_t *json_count(uint64_t count)
{
    return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

static json_t *json_choice(const struct table_choice *choice)
{
    return json_pack("{s:s, s:b, s:o, s:o, s:f, s:f, s:f}", /**/
                     "objective", choice->objective,        /**/
                     "weighted", choice->weighted,          /**/
                     "tried", json_count(choice->n_tried),  /**/
                     "sample_rows", json_count(choice->sample_rows),
                     "max_bytes_per_value", choice->max_bytes_per_value, "loss",
                     choice->loss, /**/
                     "loss_of_greedy", choice->loss_of_greedy);
}

int table_metadata_format(const struct table_origin *origin, char **text)
{
    /* "o" takes over a new reference, and json_pack fails on a NULL one. */
    json_t *object =
        json_pack("{s:s, s:o, s:s, s:{s:s, s:o, s:o}, s:{s:f, s:f, s:f}}", /**/
                  "search", origin->search,                                /**/
                  "nonfinite_zeroed", json_count(origin->n_nonfinite),     /**/
                  "tool", "nibble " NB_VERSION_STRING,                     /**/
                  "source",                                                /**/
                  "format", origin->source_format,                         /**/
                  "name", json_file_name(origin->source),                  /**/
                  "rows", json_count(origin->source_rows),                 /**/
                  "error",                                                 /**/
                  "nl2", origin->stats.nl2,                                /**/
                  "mse", origin->stats.mse,                                /**/
                  "max_abs", origin->stats.max_abs);
    /* Both take over the new value, and fail on a NULL one. */
    if (object == NULL ||
        (origin->choice != NULL &&
         json_object_set_new(object, "auto", json_choice(origin->choice)) !=
             0)) {
        json_decref(object);
        return NB_ERR_NOMEM;
    }
    *text = json_dumps(object, JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    json_decref(object);
    return *text != NULL ? 0 : NB_ERR_NOMEM;
}

/* ---- reading ------------------------------------------------------------- */

/* A string member, or "" if there is none or no object. The caller frees
 * *value. */
static int take_string(const json_t *object, const char *key, char **value)
{
    if (object != NULL && !json_is_object(object)) {
        return NB_ERR_FORMAT;
    }
    const json_t *member = json_object_get(object, key);
    if (member != NULL && !json_is_string(member)) {
        return NB_ERR_FORMAT;
    }
    *value = strdup(member != NULL ? json_string_value(member) : "");
    return *value != NULL ? 0 : NB_ERR_NOMEM;
}

static int take_number(const json_t *object, const char *key, double *value)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_number(member)) {
        return NB_ERR_FORMAT;
    }
    *value = json_number_value(member);
    return isfinite(*value) && *value >= 0 ? 0 : NB_ERR_FORMAT;
}

static int take_stats(const json_t *root, struct table_metadata *metadata)
{
    const json_t *error = json_object_get(root, "error");
    if (error == NULL) {
        return 0;
    }
    metadata->has_stats = true;
    int rv = take_number(error, "nl2", &metadata->stats.nl2);
    if (rv == 0) {
        rv = take_number(error, "mse", &metadata->stats.mse);
    }
    if (rv == 0) {
        rv = take_number(error, "max_abs", &metadata->stats.max_abs);
    }
    return rv;
}

static int take_members(const json_t *root, struct table_metadata *metadata,
                        const char **member)
{
    *member = "search";
    int rv = take_string(root, *member, &metadata->search);
    if (rv == 0) {
        *member = "source";
        rv = take_string(json_object_get(root, *member), "name",
                         &metadata->source);
    }
    if (rv == 0) {
        *member = "error";
        rv = take_stats(root, metadata);
    }
    return rv;
}

int table_metadata_parse(const char *text, size_t n, const char *name,
                         struct table_metadata *metadata, struct nb_errctx *err)
{
    json_error_t where;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    if (root == NULL) {
        /* Most failed allocations leave no text. */
        if (where.text[0] == '\0' ||
            json_error_code(&where) == json_error_out_of_memory) {
            return nb_fail(err, NB_ERR_NOMEM, "%s: metadata: out of memory",
                           name);
        }
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: metadata section, offset %d: %s", name,
                       where.position, where.text);
    }
    memset(metadata, 0, sizeof(*metadata));
    const char *member = "";
    int rv = json_is_object(root) ? take_members(root, metadata, &member)
                                  : NB_ERR_FORMAT;
    if (rv == NB_ERR_NOMEM) {
        nb_fail(err, rv, "%s: metadata: out of memory", name);
    } else if (rv != 0) {
        nb_fail(err, rv, "%s: metadata section: %s%s", name,
                json_is_object(root) ? "malformed member " : "not an object",
                member);
    }
    json_decref(root);
    if (rv != 0) {
        table_metadata_fini(metadata);
    }
    return rv;
}

void table_metadata_fini(struct table_metadata *metadata)
{
    free(metadata->search);
    free(metadata->source);
    metadata->search = NULL;
    metadata->source = NULL;
}
