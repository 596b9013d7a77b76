/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The file descriptors of the process. */
#ifndef NB_SERVER_DESCRIPTORS_H
#define NB_SERVER_DESCRIPTORS_H

#include <stdint.h>

/* Opens /dev/null where standard input, output or error is closed, so that no
 * file or socket gets their number and is written to as if it were a log. To
 * be called before anything is opened. -errno. */
int descriptors_open_standard(void);

/* Raises how many may be open to what the system allows. */
void descriptors_raise_limit(void);

/* How many can still be opened; UINT64_MAX: any number. */
uint64_t descriptors_left(void);

#endif
