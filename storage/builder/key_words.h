/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Words that are keys by their hash. */
#ifndef NB_STORAGE_KEY_WORDS_H
#define NB_STORAGE_KEY_WORDS_H

#include "quant/nibble.h"
#include "storage/table/keyed_rows.h"
#include "storage/source/source.h"

/* Reads the source again to say whose words have the same key, or that a word
 * stands twice. NB_ERR_INVALID, errors of the source, NB_ERR_NOMEM. */
int key_words_clash(struct source *source, const char *input,
                    const struct key_clash *clash, struct nb_errctx *err);

#endif
