/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/options_check.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "server/settings/listen_address.h"
#include "server/settings/residency_rules.h"
#include "storage/repo/repo_name.h"

#define TABLE_NAME_MAX 128

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

int options_split_table(const char *text, size_t *name_bytes, const char **file,
                        struct nb_errctx *err)
{
    size_t n = 0;
    while (is_name_char(text[n])) {
        n++;
    }
    if (n == 0 || n > TABLE_NAME_MAX || text[n] != '=' || text[n + 1] == '\0') {
        return nb_fail(err, NB_ERR_INVALID,
                       "--table: '%.80s' is not NAME=FILE, with a NAME of 1 to "
                       "%d letters, digits, '_', '.', '-'",
                       text, TABLE_NAME_MAX);
    }
    *name_bytes = n;
    *file = text + n + 1;
    return 0;
}

static int check_tables(const struct option_list *tables, struct nb_errctx *err)
{
    for (size_t i = 0; i < tables->n; i++) {
        size_t bytes = 0;
        const char *file;
        int rv = options_split_table(tables->items[i], &bytes, &file, err);
        if (rv != 0) {
            return rv;
        }
        for (size_t j = 0; j < i; j++) {
            if (strncmp(tables->items[j], tables->items[i], bytes + 1) == 0) {
                return nb_fail(err, NB_ERR_INVALID,
                               "--table: '%.*s' is given twice", (int)bytes,
                               tables->items[i]);
            }
        }
    }
    return 0;
}

static int check_models(const struct option_list *models, struct nb_errctx *err)
{
    for (size_t i = 0; i < models->n; i++) {
        const char *name = models->items[i];
        if (!repo_name_is_valid(name, REPO_NAME_MAX)) {
            return nb_fail(err, NB_ERR_INVALID,
                           "--model: '%.80s' is not a name of 1 to %d letters, "
                           "digits, '_', '.', '-'",
                           name, REPO_NAME_MAX);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(models->items[j], name) == 0) {
                return nb_fail(err, NB_ERR_INVALID,
                               "--model: '%s' is given twice", name);
            }
        }
    }
    return 0;
}

enum table_verify options_verify(const struct options *options)
{
    return strcmp(options->verify, "header") == 0 ? TABLE_VERIFY_HEADER
                                                  : TABLE_VERIFY_FULL;
}

static int check_what_to_serve(const struct options *options,
                               struct nb_errctx *err)
{
    bool repo = options->repo[0] != '\0';
    if (!repo && options->tables.n == 0) {
        return nb_fail(err, NB_ERR_INVALID,
                       "--repo DIR or --table NAME=FILE is missing; see "
                       "nibbled --help");
    }
    if (repo && options->tables.n > 0) {
        return nb_fail(err, NB_ERR_INVALID,
                       "--repo and --table do not go together");
    }
    if (!repo && options->models.n > 0) {
        return nb_fail(err, NB_ERR_INVALID, "--model: there is no --repo");
    }
    if (strcmp(options->verify, "full") != 0 &&
        strcmp(options->verify, "header") != 0) {
        return nb_fail(err, NB_ERR_INVALID,
                       "--verify: '%s' is neither full nor header",
                       options->verify);
    }
    return check_models(&options->models, err);
}

/* There are no tables but those of --table. */
static int check_residency(const struct options *options, struct nb_errctx *err)
{
    const struct option_list *rules = &options->residency;
    int rv = residency_rules_check(rules, err);
    for (size_t i = 0; rv == 0 && options->repo[0] == '\0' && i < rules->n;
         i++) {
        bool known = false;
        for (size_t j = 0; !known && j < options->tables.n; j++) {
            char name[TABLE_NAME_MAX + 1];
            const char *table = options->tables.items[j];
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(table, "="),
                     table);
            known = residency_rule_is_about(rules->items[i], FILES_MODEL, name);
        }
        if (!known) {
            rv = nb_fail(err, NB_ERR_INVALID,
                         "--residency: '%.80s' is about no --table",
                         rules->items[i]);
        }
    }
    return rv;
}

static int check_admin(const char *text, struct nb_errctx *err)
{
    struct listen_address address;
    struct nb_errctx why = {""};
    if (text[0] == '\0') {
        return 0;
    }
    int rv = listen_address_parse(text, &address, &why);
    if (strchr(text, ':') == NULL ||
        (rv == 0 && (address.is_unix || address.inherited))) {
        return nb_fail(err, NB_ERR_INVALID,
                       "--admin: '%.80s' is not HOST:PORT or [IPV6]:PORT",
                       text);
    }
    return rv != 0 ? nb_fail(err, rv, "--admin: %.200s", why.text) : 0;
}

int options_check(const struct options *options, struct nb_errctx *err)
{
    if (options->write_low_bytes > options->write_high_bytes) {
        return nb_fail(err, NB_ERR_INVALID,
                       "--write-low: %llu bytes is over --write-high, %llu",
                       (unsigned long long)options->write_low_bytes,
                       (unsigned long long)options->write_high_bytes);
    }
    int rv = check_what_to_serve(options, err);
    if (rv == 0 && strcmp(options->log_format, "logfmt") != 0 &&
        strcmp(options->log_format, "json") != 0) {
        return nb_fail(err, NB_ERR_INVALID,
                       "--log-format: '%s' is neither logfmt nor json",
                       options->log_format);
    }
    if (rv == 0) {
        rv = check_admin(options->admin, err);
    }
    if (rv == 0) {
        rv = check_tables(&options->tables, err);
    }
    if (rv == 0) {
        rv = check_residency(options, err);
    }
    for (size_t i = 0; rv == 0 && i < options->listen.n; i++) {
        struct listen_address address;
        rv = listen_address_parse(options->listen.items[i], &address, err);
    }
    return rv;
}
