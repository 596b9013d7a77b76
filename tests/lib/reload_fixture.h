/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Reloading without thread or loop: a repository as in repo_files.h, and a
 * catalog that model_reload() replaces. Failures abort the test. */
#ifndef NB_TESTS_LIB_RELOAD_FIXTURE_H
#define NB_TESTS_LIB_RELOAD_FIXTURE_H

#include "server/models/model_reload.h"

extern struct model_reload reload_fixture;

/* To be used as setup and teardown of a checked fixture. */
void reload_fixture_open(void);
void reload_fixture_close(void);

/* Looks at model "m": each entry that was put in its place, one a line, as
 * "VERSION CHOICE RESULT kept VERSION...". Valid until the next call. */
const char *reload_fixture_look(void);

/* The entry of "m"; NULL: there is none. */
const struct catalog_entry *reload_fixture_entry(void);

/* Flips a bit of a file of version `version`. */
void reload_fixture_damage(uint64_t version, const char *file, size_t at);

#endif
