/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* What the server is and does in Prometheus' text format; server/OPERATIONS.md
 * lists it. */
#ifndef NB_SERVER_METRICS_H
#define NB_SERVER_METRICS_H

#include <stdbool.h>

#include "server/request/service.h"
#include "server/admin/text_buf.h"

/* Any thread. `ready` as /readyz tells it. */
void metrics_write(const struct service_common *common,
                   const struct catalog *catalog, bool ready,
                   struct text_buf *text);

#endif
