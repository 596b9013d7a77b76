/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Which tensor of a file that holds several is read: the one named, or the only
 * matrix of floats. */
#ifndef NB_STORAGE_TENSOR_CHOICE_H
#define NB_STORAGE_TENSOR_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

struct tensor_choice {
    const char *wanted; /* NULL: the only matrix; the rest begins as zero */
    bool found;
    uint64_t n_matrices;
    size_t names_bytes;
    char names[128]; /* of the matrices, as far as they fit, for messages */
};

/* Notes a tensor. True if it is the one to be read, as far as is known. */
bool tensor_choice_offer(struct tensor_choice *choice, const char *name,
                         bool is_matrix);

/* After all were offered, whether one is chosen: NB_ERR_NOT_FOUND (none of that
 * name), NB_ERR_INVALID (several, none named) list the matrices,
 * NB_ERR_UNSUPPORTED: there are none. */
int tensor_choice_check(const struct tensor_choice *choice, const char *path,
                        struct nb_errctx *err);

/* A name from a file as messages may show it: printable and cut. */
struct tensor_shown {
    char text[64];
};
struct tensor_shown tensor_show(const char *name);

#endif
