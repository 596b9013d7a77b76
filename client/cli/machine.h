/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The machine that figures were measured on. */
#ifndef NB_CLI_MACHINE_H
#define NB_CLI_MACHINE_H

#include <jansson.h>

struct machine {
    char processor[96]; /* its model, "unknown" if the system does not tell */
    char system[96];    /* "Linux 6.1.0 x86_64" */
    long n_processors;  /* that this process may use */
};

void machine_read(struct machine *machine);

/* NULL if there is no memory. */
json_t *machine_json(const struct machine *machine);

#endif
