/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/reload_fixture.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/lib/repo_files.h"
#include "tests/lib/scratch.h"

struct model_reload reload_fixture;

static struct catalog *catalog;
static char trace[2000];
static size_t traced;

static const struct catalog *get_catalog(void *arg)
{
    (void)arg;
    return catalog;
}

static void add_to_trace(const char *text)
{
    traced +=
        (size_t)snprintf(trace + traced, sizeof(trace) - traced, "%s", text);
    if (traced >= sizeof(trace)) {
        abort(); /* an assertion of check would allocate, and faults be given */
    }
}

static void trace_entry(const struct catalog_entry *entry)
{
    char text[128];
    snprintf(text, sizeof(text), "%" PRIu64 " %s %s",
             table_set_version(entry->tables),
             catalog_choice_name(entry->choice),
             catalog_result_name(entry->reload.result));
    add_to_trace(text);
    for (size_t i = 0; i < entry->n_kept; i++) {
        snprintf(text, sizeof(text), "%s %" PRIu64, i == 0 ? " kept" : "",
                 table_set_version(entry->kept[i]));
        add_to_trace(text);
    }
    add_to_trace("\n");
}

static int replace(void *arg, const char *model,
                   const struct catalog_entry *entry)
{
    struct catalog *next;
    (void)arg;
    int rv = catalog_replace(catalog, model, entry, &next);
    if (rv == 0) {
        trace_entry(entry);
        catalog_unref(catalog);
        catalog = next;
    }
    return rv;
}

void reload_fixture_open(void)
{
    scratch_create();
    ck_assert_int_eq(catalog_create(&catalog), 0);
    reload_fixture = (struct model_reload){
        .repo = repo_files_create(),
        .keep_loaded = 2,
        .keep_bytes = UINT64_MAX,
        .load = {.verify = TABLE_VERIFY_FULL, .n_loops = 1},
        .running = true,
        .catalog = get_catalog,
        .replace = replace,
    };
}

void reload_fixture_close(void)
{
    failed_versions_clear(&reload_fixture.failed);
    catalog_unref(catalog);
    scratch_remove();
}

const char *reload_fixture_look(void)
{
    traced = 0;
    trace[0] = '\0';
    model_reload(&reload_fixture, "m");
    return trace;
}

const struct catalog_entry *reload_fixture_entry(void)
{
    return catalog_find(catalog, "m");
}

void reload_fixture_damage(uint64_t version, const char *file, size_t at)
{
    char name[64];
    snprintf(name, sizeof(name), "%" PRIu64 "/%s", version, file);
    const char *path = repo_files_path(name);
    ck_assert_int_eq(chmod(path, 0600), 0);
    FILE *stream = fopen(path, "r+b");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(fseek(stream, (long)at, SEEK_SET), 0);
    int byte = getc(stream);
    ck_assert_int_eq(fseek(stream, (long)at, SEEK_SET), 0);
    putc(byte ^ 1, stream);
    ck_assert_int_eq(fclose(stream), 0);
}
