/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The body of an error frame, made fit to print. */
#ifndef NB_CLIENT_REMOTE_ERROR_H
#define NB_CLIENT_REMOTE_ERROR_H

#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

struct remote_error {
    uint32_t code;     /* a gRPC code number */
    char message[192]; /* printable, cut to fit, always terminated */
};

/* Reads an encoded nibble.v1.Error. NB_ERR_MESSAGE. */
int remote_error_read(const void *body, size_t bytes,
                      struct remote_error *error);

/* "NOT_FOUND" and the like; "code" of one that gRPC does not have. */
const char *remote_error_name(uint32_t code);

#endif
