/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/tensor_choice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ELLIPSIS "..."

struct tensor_shown tensor_show(const char *name)
{
    struct tensor_shown shown;
    size_t n = 0;
    size_t room = sizeof(shown.text) - sizeof(ELLIPSIS);
    for (; name[n] != '\0' && n < room; n++) {
        shown.text[n] = '?';
        if (name[n] >= ' ' && name[n] <= '~') {
            shown.text[n] = name[n];
        }
    }
    memcpy(shown.text + n, name[n] == '\0' ? "" : ELLIPSIS,
           name[n] == '\0' ? 1 : sizeof(ELLIPSIS));
    return shown;
}

/* Adds the name to the list, or marks the list as cut. */
static void list_name(struct tensor_choice *choice, const char *name)
{
    struct tensor_shown shown = tensor_show(name);
    size_t room = sizeof(choice->names) - choice->names_bytes;
    /* Room is kept for the mark, until it is made. */
    if (strlen(shown.text) + 2 + sizeof(", " ELLIPSIS) <= room) {
        choice->names_bytes +=
            (size_t)snprintf(choice->names + choice->names_bytes, room, "%s%s",
                             choice->n_matrices > 0 ? ", " : "", shown.text);
    } else if (room > 1) {
        snprintf(choice->names + choice->names_bytes, room, ", " ELLIPSIS);
        choice->names_bytes = sizeof(choice->names) - 1;
    }
}

bool tensor_choice_offer(struct tensor_choice *choice, const char *name,
                         bool is_matrix)
{
    bool chosen = choice->wanted != NULL ? strcmp(choice->wanted, name) == 0
                                         : is_matrix && !choice->found;
    if (is_matrix) {
        list_name(choice, name);
        choice->n_matrices++;
    }
    choice->found = choice->found || chosen;
    return chosen;
}

int tensor_choice_check(const struct tensor_choice *choice, const char *path,
                        struct nb_errctx *err)
{
    if (choice->wanted != NULL) {
        return choice->found
                   ? 0
                   : nb_fail(err, NB_ERR_NOT_FOUND,
                             "%s: no tensor '%s'; matrices of floats: %s", path,
                             tensor_show(choice->wanted).text,
                             choice->n_matrices > 0 ? choice->names : "none");
    }
    if (choice->n_matrices == 0) {
        return nb_fail(err, NB_ERR_UNSUPPORTED, "%s: has no matrix of floats",
                       path);
    }
    if (choice->n_matrices > 1) {
        return nb_fail(err, NB_ERR_INVALID,
                       "%s: has %" PRIu64 " matrices, one must be named: %s",
                       path, choice->n_matrices, choice->names);
    }
    return 0;
}
