/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Words as people write them, and the ids that tables of words know them by. */
#ifndef NB_CLI_WORD_LIST_H
#define NB_CLI_WORD_LIST_H

#include "client/cli/number_list.h"

struct word_list {
    struct bag_list bags; /* ids, one a word; of a plain list one bag */
    const char **words;   /* likewise */
    char *text;           /* that these stand in */
};

/*
 * Reads words parted by ','; if `bags`, they come in bags parted by ';', which
 * may be empty. A backslash takes the character after it as it is. The caller
 * ends *list with word_list_fini() on success. NB_ERR_INVALID: an empty word,
 * or nothing after a backslash; NB_ERR_NOMEM.
 */
int word_list_parse(const char *text, bool bags, struct word_list *list,
                    struct nb_errctx *err);

void word_list_fini(struct word_list *list);

#endif
