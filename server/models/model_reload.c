/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/models/model_reload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "server/log/log.h"
#include "server/log/probes.h"
#include "storage/repo/repo_name.h"

struct look {
    struct model_reload *reload;
    const char *model;
    uint64_t began_ns;
    struct version_id id; /* of the version judged last */
    unsigned n_waiting;   /* versions that it is too early to try again */
    unsigned n_failed;    /* versions tried, in vain */
    bool pinned;          /* to one, or by a pin that is wrong */
    uint64_t version;     /* the first of these */
    struct nb_errctx why; /* it failed */
};

static const struct catalog_entry *current(const struct look *look)
{
    struct model_reload *reload = look->reload;
    return catalog_find(reload->catalog(reload->arg), look->model);
}

/* ---- the catalog's entry ------------------------------------------------- */

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The entry there is, or one of a model of which nothing is loaded; in *empty
 * a reference for the caller, or NULL. */
static int copy_entry(const struct look *look, struct catalog_entry *entry,
                      struct table_set **empty)
{
    const struct catalog_entry *old = current(look);
    *empty = NULL;
    if (old != NULL) {
        *entry = *old;
        return 0;
    }
    int rv =
        table_set_create(look->model, 0, look->reload->load.n_loops, empty);
    *entry = (struct catalog_entry){.tables = *empty, .choice = CATALOG_LATEST};
    return rv;
}

/* Paths in it are any bytes, and strings of Status are UTF-8: what is not
 * printable becomes '?'. */
static void copy_reason(const char *from, char to[RELOAD_REASON_BYTES])
{
    snprintf(to, RELOAD_REASON_BYTES, "%s", from);
    for (char *at = to; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '?';
        }
    }
}

static void set_report(const struct look *look, enum reload_result result,
                       uint64_t version, const char *reason,
                       struct catalog_reload *report)
{
    report->result = result;
    report->version = version;
    report->at_unix_ms = unix_ms();
    report->took_ms = (uv_hrtime() - look->began_ns) / 1000000;
    report->n_failures += look->n_failed;
    copy_reason(reason, report->reason);
}

static int put_entry(const struct look *look, const struct catalog_entry *entry)
{
    int rv = look->reload->replace(look->reload->arg, look->model, entry);
    struct log_text model;
    if (rv != 0) {
        log_error("reload-failed", "model=%s reason=\"%s\"",
                  log_quote(look->model, &model), nb_strerror(rv));
    }
    return rv;
}

/* ---- what failed --------------------------------------------------------- */

/* False: it cannot be remembered. */
static bool note_failure(struct look *look, uint64_t version, const char *why)
{
    struct log_text model;
    struct log_text reason;
    bool noted = failed_versions_add(&look->reload->failed, look->model,
                                     version, &look->id, uv_hrtime());
    log_error("skip-version", "model=%s version=%" PRIu64 " reason=%s",
              log_quote(look->model, &model), version, log_quote(why, &reason));
    if (look->n_failed++ == 0) {
        look->version = version;
        nb_fail(&look->why, 0, "%s", why);
    }
    return noted;
}

static bool is_news(const struct catalog_entry *entry, uint64_t version,
                    const char *reason)
{
    char copy[RELOAD_REASON_BYTES];
    copy_reason(reason, copy);
    return entry->reload.result != RELOAD_FAILED ||
           entry->reload.version != version ||
           strcmp(entry->reload.reason, copy) != 0;
}

/* " version=N", or nothing if it did not come to one. */
struct version_field {
    char text[32];
};

static struct version_field version_field(uint64_t version)
{
    struct version_field field = {""};
    if (version != 0) {
        snprintf(field.text, sizeof(field.text), " version=%" PRIu64, version);
    }
    return field;
}

/* All stays as it is, and the entry says why. */
static void fail(struct look *look, uint64_t version, const char *reason)
{
    struct catalog_entry entry;
    struct table_set *empty;
    struct log_text model;
    struct log_text quoted;
    if (copy_entry(look, &entry, &empty) != 0) {
        return; /* what failed is in the log */
    }
    if (!catalog_entry_is_served(&entry)) {
        entry.choice = look->pinned ? CATALOG_PINNED : CATALOG_LATEST;
    }
    if (look->n_failed > 0 || is_news(&entry, version, reason)) {
        if (look->n_failed == 0) {
            entry.reload.n_failures++;
        }
        if (look->reload->running || !look->reload->must_load) {
            log_error("reload-failed", "model=%s%s reason=%s",
                      log_quote(look->model, &model),
                      version_field(version).text, log_quote(reason, &quoted));
        }
        set_report(look, RELOAD_FAILED, version, reason, &entry.reload);
        (void)put_entry(look, &entry);
    }
    table_set_unref(empty);
}

/* ---- what is loaded ------------------------------------------------------ */

/* Takes the versions that `entry` keeps beyond the number and the memory that
 * there are for them. */
static void trim_kept(const struct look *look, struct catalog_entry *entry)
{
    const struct model_reload *reload = look->reload;
    const struct catalog_entry *old = current(look);
    uint64_t others = catalog_bytes(reload->catalog(reload->arg)) -
                      (old != NULL ? catalog_entry_bytes(old) : 0);
    while (entry->n_kept > 0 &&
           (entry->n_kept + 1 > reload->keep_loaded ||
            others + catalog_entry_bytes(entry) > reload->keep_bytes)) {
        entry->n_kept--;
    }
}

/* Puts `set` in front of those kept; one of its number goes. */
static void keep_first(struct catalog_entry *entry, struct table_set *set)
{
    struct catalog_entry old = *entry;
    entry->kept[0] = set;
    entry->n_kept = 1;
    for (size_t i = 0; i < old.n_kept && entry->n_kept < CATALOG_KEPT_MAX;
         i++) {
        if (table_set_version(old.kept[i]) != table_set_version(set)) {
            entry->kept[entry->n_kept++] = old.kept[i];
        }
    }
}

static void drop_kept(struct catalog_entry *entry, uint64_t version)
{
    size_t n = 0;
    for (size_t i = 0; i < entry->n_kept; i++) {
        if (table_set_version(entry->kept[i]) != version) {
            entry->kept[n++] = entry->kept[i];
        }
    }
    entry->n_kept = n;
}

static void tell_served(const struct look *look,
                        const struct catalog_entry *entry)
{
    const struct catalog_reload *report = &entry->reload;
    struct log_text model;
    PROBE2(reload_served, look->model, report->version);
    if (look->reload->running) {
        log_info("reload",
                 "model=%s version=%" PRIu64 " result=%s choice=%s "
                 "took=%" PRIu64 ".%03" PRIu64 "s",
                 log_quote(look->model, &model), report->version,
                 catalog_result_name(report->result),
                 catalog_choice_name(entry->choice), report->took_ms / 1000,
                 report->took_ms % 1000);
    }
}

/* Has `set` served; it is loaded, and the caller's to keep until then. */
static void serve(struct look *look, struct table_set *set, bool pinned,
                  enum reload_result result)
{
    struct catalog_entry entry;
    struct table_set *empty;
    uint64_t version = table_set_version(set);
    if (copy_entry(look, &entry, &empty) != 0) {
        return;
    }
    struct table_set *old = entry.tables;
    bool served = catalog_entry_is_served(&entry);
    if (result == RELOAD_LOADED && served &&
        table_set_version(old) != version) {
        /* First, every loop has it: whoever is told of the version by one may
         * ask another for it. */
        keep_first(&entry, set);
        if (put_entry(look, &entry) != 0) {
            return; /* `empty` is of models that serve nothing */
        }
    }
    entry.tables = set;
    entry.choice = pinned ? CATALOG_PINNED : CATALOG_LATEST;
    if (served && old != set) {
        keep_first(&entry, old);
    }
    drop_kept(&entry, version);
    trim_kept(look, &entry);
    entry.reload.n_loads += result == RELOAD_LOADED;
    set_report(look, result, version, look->why.text, &entry.reload);
    if (put_entry(look, &entry) == 0) {
        tell_served(look, &entry);
    }
    table_set_unref(empty);
}

/* The version to be served is loaded. What failed once may be gone since. */
static void switch_to(struct look *look, const struct serving *serving)
{
    const struct catalog_entry *entry = current(look);
    enum catalog_choice choice =
        serving->pinned ? CATALOG_PINNED : CATALOG_LATEST;
    bool mended = look->n_failed == 0 && look->n_waiting == 0 &&
                  entry->reload.result == RELOAD_FAILED;
    if (serving->version != table_set_version(entry->tables) ||
        choice != entry->choice || mended) {
        struct table_set *set =
            table_set_ref(catalog_entry_version(entry, serving->version));
        serve(look, set, serving->pinned, RELOAD_SWITCHED);
        table_set_unref(set);
    } else if (look->n_failed > 0) {
        fail(look, look->version, look->why.text);
    }
}

/* ---- loading ------------------------------------------------------------- */

/* The model to give up a version of: this one, or else the first that keeps
 * any. */
static const struct catalog_entry *find_kept(const struct look *look)
{
    const struct catalog *catalog = look->reload->catalog(look->reload->arg);
    const struct catalog_entry *own = current(look);
    if (own != NULL && own->n_kept > 0) {
        return own;
    }
    for (size_t i = 0; i < catalog_n(catalog); i++) {
        if (catalog_at(catalog, i)->n_kept > 0) {
            return catalog_at(catalog, i);
        }
    }
    return NULL;
}

/* Gives up versions that are not served until there is memory for so much
 * more. False: there is not. */
static bool make_room(const struct look *look, uint64_t bytes)
{
    struct model_reload *reload = look->reload;
    for (;;) {
        uint64_t loaded = catalog_bytes(reload->catalog(reload->arg));
        if (loaded <= reload->keep_bytes &&
            bytes <= reload->keep_bytes - loaded) {
            return true;
        }
        const struct catalog_entry *victim = find_kept(look);
        if (victim == NULL) {
            return false;
        }
        struct catalog_entry entry = *victim;
        struct log_text model;
        char name[REPO_NAME_MAX + 1];
        struct table_set *last = entry.kept[--entry.n_kept];
        snprintf(name, sizeof(name), "%s", table_set_model(entry.tables));
        log_info("unload", "model=%s version=%" PRIu64 " why=keep-memory",
                 log_quote(name, &model), table_set_version(last));
        if (reload->replace(reload->arg, name, &entry) != 0) {
            return false;
        }
    }
}

/* Only a version that is whole is worth giving up others for. */
static int verify_and_load(const struct look *look, struct serving *serving,
                           struct table_set **set, struct nb_errctx *err)
{
    struct version_load how = look->reload->load;
    int rv = version_verify(&how, serving, err);
    if (rv != 0) {
        return rv;
    }
    bool fits = make_room(look, model_version_bytes(serving->opened));
    how.prefault = look->reload->running && fits;
    return version_load(&how, look->model, serving, set, err);
}

/* True: another version is to be looked for. */
static bool load(struct look *look, struct serving *serving)
{
    struct table_set *set;
    struct nb_errctx err = {""};
    PROBE2(reload_begin, look->model, serving->version);
    int rv = verify_and_load(look, serving, &set, &err);
    PROBE3(reload_loaded, look->model, serving->version, rv);
    if (rv == 0) {
        serve(look, set, serving->pinned, RELOAD_LOADED);
        table_set_unref(set);
        return false;
    }
    if (rv == -ECANCELED) {
        return false;
    }
    if (version_error_is_shortage(rv)) {
        fail(look, serving->version, err.text);
        return false;
    }
    if (note_failure(look, serving->version, err.text) && !serving->pinned) {
        return true;
    }
    nb_fail(&look->why, rv, "%sversion %" PRIu64 ": %s",
            serving->pinned ? "pinned to " : "", serving->version, err.text);
    fail(look, serving->version, look->why.text);
    return false;
}

/* ---- finding ------------------------------------------------------------- */

static enum version_verdict judge(void *arg, uint64_t version, const char *path)
{
    struct look *look = arg;
    const struct catalog_entry *entry = current(look);
    const struct table_set *loaded =
        entry != NULL ? catalog_entry_version(entry, version) : NULL;
    bool known = model_version_identify(path, &look->id) == 0;
    if (!known) {
        look->id = (struct version_id){0}; /* opening it says why */
    }
    if (loaded != NULL &&
        (!known || version_id_equal(table_set_id(loaded), &look->id))) {
        return VERSION_HAVE;
    }
    if (!failed_versions_wait(&look->reload->failed, look->model, version,
                              &look->id, uv_hrtime())) {
        return VERSION_OPEN;
    }
    look->n_waiting++;
    return loaded != NULL ? VERSION_HAVE : VERSION_SKIP;
}

static void on_skipped(void *arg, uint64_t version, const char *why)
{
    (void)note_failure(arg, version, why); /* or else tried again */
}

/* True: to be called again. */
static bool look_once(struct look *look)
{
    const struct serving_search search = {
        .verify = TABLE_VERIFY_HEADER,
        .judge = judge,
        .skipped = on_skipped,
        .arg = look,
    };
    struct serving serving;
    struct nb_errctx err = {""};
    look->n_waiting = 0;
    int rv = model_repo_open_serving(look->reload->repo, look->model, &search,
                                     &serving, &err);
    look->pinned = serving.pinned;
    if (rv == 0) {
        bool again = false;
        if (serving.opened == NULL) {
            switch_to(look, &serving);
        } else {
            again = load(look, &serving);
        }
        serving_fini(&serving);
        return again;
    }
    if (serving.empty && current(look) == NULL) {
        return false; /* its first version is still being published */
    }
    if (serving.pinned && serving.version != 0 && look->n_waiting == 0 &&
        !version_error_is_shortage(rv)) {
        (void)note_failure(look, serving.version, err.text);
    }
    if (look->n_failed > 0) {
        fail(look, look->version,
             look->n_failed == 1 && !serving.pinned ? look->why.text
                                                    : err.text);
    } else if (look->n_waiting == 0) {
        fail(look, serving.version, err.text);
    }
    return false;
}

void model_reload(struct model_reload *reload, const char *model)
{
    struct look look = {
        .reload = reload, .model = model, .began_ns = uv_hrtime()};
    while (look_once(&look)) {
        /* The one that failed is known now, and passed over. */
    }
}
