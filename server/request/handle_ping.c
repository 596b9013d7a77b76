/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/request/rpc.h"

int handle_ping(struct call *call, const void *message)
{
    (void)message; /* has no fields */
    void *body;
    return call_reserve(call, 0, &body);
}
