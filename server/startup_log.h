/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#ifndef NB_SERVER_STARTUP_LOG_H
#define NB_SERVER_STARTUP_LOG_H

#include "server/models/catalog.h"
#include "server/settings/options.h"

/* Logs what is in effect, and every model and table that is served. */
void startup_log(const struct options *options, const struct catalog *catalog);

#endif
