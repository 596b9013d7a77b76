/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/startup_log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/log/log.h"
#include "server/settings/residency_rules.h"
#include "storage/repo/manifest.h"
#include "storage/repo/model_repo.h"
#include "storage/repo/repo_name.h"

static void log_table(const struct table_entry *entry, const char *model)
{
    const struct table_info *info = table_info(entry->table);
    struct log_text name;
    struct log_text of;
    log_info("table", "name=%s codec=%s rows=%llu dim=%u bytes=%llu model=%s",
             log_quote(entry->name, &name), nb_codec_name(info->format.codec),
             (unsigned long long)info->n_rows, info->format.dim,
             (unsigned long long)info->file_bytes, log_quote(model, &of));
}

static void log_model(const struct catalog_entry *entry)
{
    const struct table_set *tables = entry->tables;
    const char *model = table_set_model(tables);
    struct log_text name;
    if (!catalog_entry_is_served(entry)) {
        struct log_text reason;
        log_warn("model", "name=%s choice=%s tables=0 reason=%s",
                 log_quote(model, &name), catalog_choice_name(entry->choice),
                 log_quote(entry->reload.reason, &reason));
        return;
    }
    log_info("model", "name=%s version=%llu choice=%s tables=%zu",
             log_quote(model, &name),
             (unsigned long long)table_set_version(tables),
             catalog_choice_name(entry->choice), table_set_n(tables));
    for (size_t i = 0; i < table_set_n(tables); i++) {
        log_table(table_set_at(tables, i), model);
    }
}

/* Is there a version of a model directly in it? */
static bool is_model(const char *repo)
{
    struct model_names names;
    bool found = false;
    if (model_repo_models(repo, &names, NULL) != 0) {
        return false;
    }
    for (size_t i = 0; !found && i < names.n; i++) {
        char path[PATH_MAX];
        uint64_t version;
        int n = snprintf(path, sizeof(path), "%s/%s/" MANIFEST_FILE, repo,
                         names.names[i]);
        found = repo_version_parse(names.names[i], &version) && n > 0 &&
                (size_t)n < sizeof(path) && access(path, F_OK) == 0;
    }
    model_names_fini(&names);
    return found;
}

static void log_no_models(const char *repo)
{
    struct log_text path;
    struct log_text quoted;
    char why[sizeof(quoted.text)] = "no model with a version is there yet";
    char *real = is_model(repo) ? realpath(repo, NULL) : NULL;
    if (real != NULL) {
        char *slash = strrchr(real, '/');
        slash[slash == real] = '\0'; /* the root stays */
        snprintf(why, sizeof(why),
                 "it is a model: give its parent, %s, as --repo", real);
        free(real);
    }
    log_warn("no-models", "repo=%s why=%s", log_quote(repo, &path),
             log_quote(why, &quoted));
}

/* A rule that is about no table yet: a name that is wrong, maybe. */
static void log_unused_rule(const char *rule, const struct catalog *catalog)
{
    struct log_text quoted;
    for (size_t i = 0; i < catalog_n(catalog); i++) {
        const struct table_set *tables = catalog_at(catalog, i)->tables;
        for (size_t j = 0; j < table_set_n(tables); j++) {
            if (residency_rule_is_about(rule, table_set_model(tables),
                                        table_set_at(tables, j)->name)) {
                return;
            }
        }
    }
    log_info("residency-unused",
             "rule=%s reason=\"about no table that is here\"",
             log_quote(rule, &quoted));
}

void startup_log(const struct options *options, const struct catalog *catalog)
{
    char described[LOG_LINE_MAX - 256]; /* but what stands before */
    options_describe(options, described, sizeof(described));
    log_info("start", "version=%s isa=%s pid=%ld%s", NB_VERSION_STRING,
             nb_isa(), (long)getpid(), described);
    for (size_t i = 0; i < catalog_n(catalog); i++) {
        log_model(catalog_at(catalog, i));
    }
    if (catalog_n(catalog) == 0) {
        log_no_models(options->repo);
    }
    for (size_t i = 0; i < options->residency.n; i++) {
        if (strchr(options->residency.items[i], '=') != NULL) {
            log_unused_rule(options->residency.items[i], catalog);
        }
    }
}
