/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Which processor a thread runs on. */
#ifndef NB_SERVER_PROCESSOR_H
#define NB_SERVER_PROCESSOR_H

/* Binds the calling thread to one of the processors that it may run on: the
 * n-th, counted around. Returns its number, or -errno. */
int processor_pin(unsigned n);

#endif
