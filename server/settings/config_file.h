/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A file of `key = value` lines. Empty lines and those that begin with '#' say
 * nothing; blanks around key and value are no part of them. */
#ifndef NB_SERVER_CONFIG_FILE_H
#define NB_SERVER_CONFIG_FILE_H

#include <stddef.h>

#include "quant/nibble.h"

/* One line; `origin` is "FILE:LINE", for messages. Not 0 ends the reading. */
typedef int config_line_fn(void *arg, const char *origin, const char *key,
                           const char *value, struct nb_errctx *err);

/* Hands every line to `take`, in order. -errno, NB_ERR_UNSUPPORTED (not a
 * file), NB_ERR_TOO_LARGE, NB_ERR_INVALID, NB_ERR_NOMEM, what `take`
 * returned. */
int config_file_read(const char *path, config_line_fn *take, void *arg,
                     struct nb_errctx *err);

/* The same with what is in a file; `text` is changed. */
int config_text_read(const char *name, char *text, size_t bytes,
                     config_line_fn *take, void *arg, struct nb_errctx *err);

#endif
