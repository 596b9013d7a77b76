/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/manifest.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "storage/repo/repo_name.h"

#define CHECKSUM_DIGITS 16
#define CODEC_NAME_MAX  32

/* ---- reading ------------------------------------------------------------- */

/* A table of the list being parsed. */
struct entry {
    const char *path; /* of the manifest */
    size_t index;
    const json_t *object;
    struct nb_errctx *err;
};

static int refuse(const struct entry *entry, const char *field,
                  const char *problem)
{
    return nb_fail(entry->err, NB_ERR_FORMAT, "%s: tables[%zu].%s: %s",
                   entry->path, entry->index, field, problem);
}

static int take_text(const struct entry *entry, const char *field, size_t max,
                     const char *form, char **value)
{
    const char *text = json_string_value(json_object_get(entry->object, field));
    if (text == NULL) {
        return refuse(entry, field, "missing, or not a string");
    }
    if (!repo_name_is_valid(text, max)) {
        return refuse(entry, field, form);
    }
    *value = strdup(text);
    if (*value == NULL) {
        return nb_fail(entry->err, NB_ERR_NOMEM, "%s: out of memory",
                       entry->path);
    }
    return 0;
}

static int take_count(const struct entry *entry, const char *field,
                      uint64_t max, uint64_t *value)
{
    const json_t *member = json_object_get(entry->object, field);
    if (!json_is_integer(member)) {
        return refuse(entry, field, "missing, or not an integer");
    }
    json_int_t number = json_integer_value(member);
    if (number < 1 || (uint64_t)number > max) {
        return refuse(entry, field, "out of range");
    }
    *value = (uint64_t)number;
    return 0;
}

static int take_checksum(const struct entry *entry, uint64_t *value)
{
    static const char digits[] = "0123456789abcdef";
    const char *text =
        json_string_value(json_object_get(entry->object, "checksum"));
    if (text == NULL || strlen(text) != CHECKSUM_DIGITS ||
        strspn(text, digits) != CHECKSUM_DIGITS) {
        return refuse(entry, "checksum", "not 16 lower-case hex digits");
    }
    *value = strtoull(text, NULL, 16);
    return 0;
}

static int take_table(const struct entry *entry, struct manifest_table *table)
{
    uint64_t dim = 0;
    if (!json_is_object(entry->object)) {
        return nb_fail(entry->err, NB_ERR_FORMAT,
                       "%s: tables[%zu]: not an object", entry->path,
                       entry->index);
    }
    int rv =
        take_text(entry, "name", REPO_NAME_MAX,
                  "not a name of letters, digits, '_', '.', '-'", &table->name);
    if (rv == 0) {
        rv =
            take_text(entry, "file", REPO_FILE_MAX,
                      "not the name of a file in this directory", &table->file);
    }
    if (rv == 0) {
        rv = take_text(entry, "codec", CODEC_NAME_MAX, "not a codec's name",
                       &table->codec);
    }
    if (rv == 0) {
        rv = take_count(entry, "bytes", INT64_MAX, &table->bytes);
    }
    if (rv == 0) {
        rv = take_count(entry, "rows", INT64_MAX, &table->rows);
    }
    if (rv == 0) {
        rv = take_count(entry, "dim", NB_DIM_MAX, &dim);
        table->dim = (uint32_t)dim;
    }
    return rv == 0 ? take_checksum(entry, &table->checksum) : rv;
}

/* Sorted names are found by halving, and duplicates stand side by side. */
static int check_order(const struct entry *entry,
                       const struct manifest_table *table)
{
    if (entry->index == 0 || table->name == NULL || table[-1].name == NULL) {
        return 0; /* names that were taken are not NULL */
    }
    int order = strcmp(table[-1].name, table->name);
    if (order == 0) {
        return refuse(entry, "name", "the same as that of the table before");
    }
    return order < 0 ? 0 : refuse(entry, "name", "not in order of the names");
}

static int take_tables(const json_t *list, const char *path,
                       struct manifest *manifest, struct nb_errctx *err)
{
    size_t n = json_array_size(list);
    if (n == 0) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: tables: missing, empty or not an array", path);
    }
    if (n > MANIFEST_TABLES_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: tables: %zu, over %u", path,
                       n, MANIFEST_TABLES_MAX);
    }
    manifest->tables = calloc(n, sizeof(*manifest->tables));
    if (manifest->tables == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    manifest->n = n;
    int rv = 0;
    for (size_t i = 0; i < n && rv == 0; i++) {
        const struct entry entry = {path, i, json_array_get(list, i), err};
        rv = take_table(&entry, &manifest->tables[i]);
        if (rv == 0) {
            rv = check_order(&entry, &manifest->tables[i]);
        }
    }
    return rv;
}

static int check_format(const json_t *root, const char *path,
                        struct nb_errctx *err)
{
    const json_t *format = json_object_get(root, "format");
    if (!json_is_integer(format) || json_integer_value(format) < 1) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: format: missing, or not a positive integer", path);
    }
    if (json_integer_value(format) > MANIFEST_FORMAT) {
        return nb_fail(err, NB_ERR_VERSION,
                       "%s: format: %lld, this program reads up to %d", path,
                       (long long)json_integer_value(format), MANIFEST_FORMAT);
    }
    return 0;
}

static int load(const char *text, size_t n, const char *path, json_t **root,
                struct nb_errctx *err)
{
    json_error_t where;
    if (n > MANIFEST_BYTES_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: over %u bytes", path,
                       MANIFEST_BYTES_MAX);
    }
    *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    if (*root != NULL) {
        return 0;
    }
    /* Most failed allocations leave no text. */
    if (where.text[0] == '\0' ||
        json_error_code(&where) == json_error_out_of_memory) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    nb_fail(err, NB_ERR_FORMAT, "%s: offset %d: %s", path, where.position,
            where.text);
    /* jansson quotes the text around an error: that may hold anything. */
    for (char *c = err != NULL ? err->text : ""; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    return NB_ERR_FORMAT;
}

int manifest_parse(const char *text, size_t n, const char *path,
                   struct manifest *manifest, struct nb_errctx *err)
{
    json_t *root = NULL;
    struct manifest parsed = {0};
    int rv = load(text, n, path, &root, err);
    if (rv != 0) {
        return rv;
    }
    rv = check_format(root, path, err);
    if (rv == 0) {
        rv = take_tables(json_object_get(root, "tables"), path, &parsed, err);
    }
    json_decref(root);
    if (rv != 0) {
        manifest_fini(&parsed);
        return rv;
    }
    *manifest = parsed;
    return 0;
}

/* ---- writing ------------------------------------------------------------- */

static json_t *table_object(const struct manifest_table *table)
{
    char checksum[CHECKSUM_DIGITS + 1];
    snprintf(checksum, sizeof(checksum), "%016" PRIx64, table->checksum);
    return json_pack("{s:s, s:I, s:s, s:s, s:I, s:s, s:I}", /**/
                     "name", table->name,                   /**/
                     "dim", (json_int_t)table->dim,         /**/
                     "checksum", checksum,                  /**/
                     "codec", table->codec,                 /**/
                     "bytes", (json_int_t)table->bytes,     /**/
                     "file", table->file,                   /**/
                     "rows", (json_int_t)table->rows);
}

static json_t *make_root(const struct manifest *manifest)
{
    json_t *list = json_array();
    for (size_t i = 0; i < manifest->n && list != NULL; i++) {
        if (json_array_append_new(list, table_object(&manifest->tables[i])) !=
            0) {
            json_decref(list);
            list = NULL;
        }
    }
    /* "o" takes the list over, and json_pack fails if it is NULL. */
    return json_pack("{s:i, s:o}", "format", MANIFEST_FORMAT, "tables", list);
}

/* Into memory of our own: where json_dumps() grows its, it overlooks some
 * failures, and the text lacks a piece. */
static char *dump(const json_t *root, size_t *n)
{
    const size_t flags = JSON_SORT_KEYS | JSON_INDENT(2);
    char *text = NULL;
    *n = root != NULL ? json_dumpb(root, NULL, 0, flags) : 0;
    if (*n > 0) {
        text = malloc(*n + 1);
    }
    if (text != NULL && json_dumpb(root, text, *n, flags) != *n) {
        free(text);
        text = NULL;
    }
    return text;
}

int manifest_format(const struct manifest *manifest, char **text,
                    struct nb_errctx *err)
{
    size_t n;
    if (manifest->n > MANIFEST_TABLES_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%zu tables, over %u",
                       manifest->n, MANIFEST_TABLES_MAX);
    }
    json_t *root = make_root(manifest);
    char *dumped = dump(root, &n);
    json_decref(root);
    if (dumped == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "manifest: out of memory");
    }
    dumped[n] = '\0';
    if (n >= MANIFEST_BYTES_MAX) {
        free(dumped);
        return nb_fail(err, NB_ERR_TOO_LARGE,
                       "the manifest is %zu bytes, over %u", n,
                       MANIFEST_BYTES_MAX);
    }
    *text = dumped;
    return 0;
}

void manifest_fini(struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->n; i++) {
        free(manifest->tables[i].name);
        free(manifest->tables[i].file);
        free(manifest->tables[i].codec);
    }
    free(manifest->tables);
    *manifest = (struct manifest){0};
}
