/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/residency_rules.h"

#include <inttypes.h>
#include <string.h>

#include "server/log/log.h"
#include "storage/repo/repo_name.h"

/* One item: what it is about, "" for all tables, and how these are kept. */
struct rule {
    size_t about_bytes;
    enum table_residency how;
};

static bool find_how(const char *name, enum table_residency *how)
{
    for (size_t i = 0; table_residency_at(i) != NULL; i++) {
        if (strcmp(table_residency_at(i), name) == 0) {
            *how = (enum table_residency)i;
            return true;
        }
    }
    return false;
}

static bool parse(const char *item, struct rule *rule)
{
    const char *equals = strchr(item, '=');
    rule->about_bytes = equals != NULL ? (size_t)(equals - item) : 0;
    return find_how(equals != NULL ? equals + 1 : item, &rule->how);
}

static bool names_one(const char *name, size_t n)
{
    char text[REPO_NAME_MAX + 1];
    if (n > REPO_NAME_MAX) {
        return false;
    }
    memcpy(text, name, n);
    text[n] = '\0';
    return repo_name_is_valid(text, REPO_NAME_MAX);
}

/* "TABLE" or "MODEL/TABLE". */
static bool names_table(const char *about, size_t n)
{
    const char *slash = memchr(about, '/', n);
    if (slash == NULL) {
        return names_one(about, n);
    }
    size_t model = (size_t)(slash - about);
    return names_one(about, model) && names_one(slash + 1, n - model - 1);
}

static bool same_about(const char *a, const char *b)
{
    struct rule of_a = {0};
    struct rule of_b = {0};
    (void)parse(a, &of_a);
    (void)parse(b, &of_b);
    return of_a.about_bytes == of_b.about_bytes &&
           memcmp(a, b, of_a.about_bytes) == 0;
}

int residency_rules_check(const struct option_list *rules,
                          struct nb_errctx *err)
{
    for (size_t i = 0; i < rules->n; i++) {
        const char *item = rules->items[i];
        struct rule rule = {0};
        if (!parse(item, &rule) || (strchr(item, '=') != NULL &&
                                    !names_table(item, rule.about_bytes))) {
            return nb_fail(err, NB_ERR_INVALID,
                           "--residency: '%.80s' is not HOW, TABLE=HOW or "
                           "MODEL/TABLE=HOW with map, populate, lock or huge",
                           item);
        }
        for (size_t j = 0; j < i; j++) {
            if (same_about(rules->items[j], item)) {
                return nb_fail(err, NB_ERR_INVALID,
                               "--residency: '%.80s' and '%.80s' are about the "
                               "same",
                               rules->items[j], item);
            }
        }
    }
    return 0;
}

/* How well an item says what a table is: 0 if it is about another. */
static int rank(const char *item, size_t n, const char *model,
                const char *table)
{
    const char *slash = memchr(item, '/', n);
    const char *name = slash != NULL ? slash + 1 : item;
    size_t name_bytes = n - (size_t)(name - item);
    if (n == 0) {
        return 1;
    }
    if (strlen(table) != name_bytes || memcmp(table, name, name_bytes) != 0) {
        return 0;
    }
    if (slash == NULL) {
        return 2;
    }
    size_t model_bytes = (size_t)(slash - item);
    return strlen(model) == model_bytes && memcmp(model, item, model_bytes) == 0
               ? 3
               : 0;
}

enum table_residency residency_rules_find(const struct option_list *rules,
                                          const char *model, const char *table)
{
    enum table_residency found = RESIDENCY_MAP;
    int best = 0;
    for (size_t i = 0; i < rules->n; i++) {
        struct rule rule = {0};
        (void)parse(rules->items[i], &rule);
        int this = rank(rules->items[i], rule.about_bytes, model, table);
        if (this > best) {
            best = this;
            found = rule.how;
        }
    }
    return found;
}

bool residency_rule_is_about(const char *item, const char *model,
                             const char *table)
{
    struct rule rule = {0};
    (void)parse(item, &rule);
    return rank(item, rule.about_bytes, model, table) > 0;
}

int residency_rules_apply(const struct option_list *rules, const char *model,
                          const char *name, struct table *table,
                          const struct io_pace *pace, struct nb_errctx *err)
{
    enum table_residency how = residency_rules_find(rules, model, name);
    uint64_t bytes = table_info(table)->file_bytes;
    int rv = table_reside(table, how, pace, err);
    if (rv == 0 && how == RESIDENCY_HUGE && table_huge_bytes(table) < bytes) {
        struct log_text model_text;
        struct log_text name_text;
        log_info("small-pages",
                 "model=%s table=%s bytes=%" PRIu64 " huge_bytes=%" PRIu64
                 " reason=\"the system gave fewer huge pages than asked for\"",
                 log_quote(model, &model_text), log_quote(name, &name_text),
                 bytes, table_huge_bytes(table));
    }
    return rv;
}
