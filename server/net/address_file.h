/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Tells other programs where the server listens. */
#ifndef NB_SERVER_ADDRESS_FILE_H
#define NB_SERVER_ADDRESS_FILE_H

#include <stddef.h>

#include "quant/nibble.h"
#include "server/settings/listen_address.h"
#include "storage/io/file_io.h"

/* Writes one address a line to `path`, through a temporary file beside it and
 * rename(2): whoever sees the file sees all of it. *id is the file's. Errors of
 * atomic_file. */
int address_file_write(const char *path,
                       const char (*addresses)[LISTEN_ADDRESS_TEXT], size_t n,
                       struct file_id *id, struct nb_errctx *err);

#endif
