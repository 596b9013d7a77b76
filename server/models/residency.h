/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* How much of a mapping is in memory. */
#ifndef NB_SERVER_RESIDENCY_H
#define NB_SERVER_RESIDENCY_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the pages of [base, base + bytes) that need not be read from disk to
 * be used. Takes some ms a GiB; 0 if the system does not tell. */
uint64_t resident_bytes(const void *base, uint64_t bytes);

#endif
