/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/server_status.h"

int server_status_ask(struct nb_client *client,
                      Nibble__V1__StatusReply **status, struct nb_errctx *err)
{
    const void *body = NULL;
    size_t bytes = 0;
    int rv = nb_client_status(client, &body, &bytes, err);
    if (rv != 0) {
        return rv;
    }
    *status = nibble__v1__status_reply__unpack(NULL, bytes, body);
    return *status != NULL
               ? 0
               : nb_fail(err, NB_ERR_MESSAGE, "malformed status reply");
}
