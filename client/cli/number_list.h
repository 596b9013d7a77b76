/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Numbers as people write them: read strictly, or refused. */
#ifndef NB_CLI_NUMBER_LIST_H
#define NB_CLI_NUMBER_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

/* Decimal digits and nothing else, below 2^64. */
bool number_parse(const char *text, size_t n, uint64_t *value);

/* Zero-filled is empty. */
struct id_list {
    uint64_t *ids;
    size_t n;
};

/* Reads ids parted by a comma, or by blanks and line ends. The caller ends
 * *list with id_list_fini() on success. NB_ERR_INVALID (names the item),
 * NB_ERR_NOMEM. */
int id_list_parse(const char *text, size_t n, struct id_list *list,
                  struct nb_errctx *err);

/* The same from a file, "-" being the standard input. -errno; *err names the
 * file. */
int id_list_read(const char *path, struct id_list *list, struct nb_errctx *err);

void id_list_fini(struct id_list *list);

/* Zero-filled is empty. */
struct bag_list {
    struct id_list ids;
    uint32_t *lengths;
    size_t n_bags;
};

/* Reads bags parted by ';', each a list of ids that may be empty: "1,2;;3" is
 * three bags. Errors as id_list_parse(). */
int bag_list_parse(const char *text, struct bag_list *list,
                   struct nb_errctx *err);

void bag_list_fini(struct bag_list *list);

/* Reads weights written as the bags are: as many bags, as many numbers in each.
 * The caller frees *weights. Errors as id_list_parse(). */
int weights_parse(const char *text, const struct bag_list *bags,
                  float **weights, struct nb_errctx *err);

#endif
