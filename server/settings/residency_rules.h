/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* --residency: how tables are kept, each item "HOW", "TABLE=HOW" or
 * "MODEL/TABLE=HOW". */
#ifndef NB_SERVER_RESIDENCY_RULES_H
#define NB_SERVER_RESIDENCY_RULES_H

#include <stdbool.h>

#include "server/settings/options.h"
#include "storage/table/table_reader.h"

/* NB_ERR_INVALID: no such item, or two of the same. */
int residency_rules_check(const struct option_list *rules,
                          struct nb_errctx *err);

/* Of rules that passed: the one that names model and table, or else the table,
 * or else no table, or else RESIDENCY_MAP. */
enum table_residency residency_rules_find(const struct option_list *rules,
                                          const char *model, const char *table);

/* Does an item that passed say anything of this table? One that names no table
 * does, of all. */
bool residency_rule_is_about(const char *item, const char *model,
                             const char *table);

/* Keeps an open table as the rules say; tells the log if huge pages were asked
 * for and the system did not give all. Errors of table_reside(). */
int residency_rules_apply(const struct option_list *rules, const char *model,
                          const char *name, struct table *table,
                          const struct io_pace *pace, struct nb_errctx *err);

#endif
