/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Little-endian integers and floats at any alignment. */
#ifndef NB_QUANT_BYTES_H
#define NB_QUANT_BYTES_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rows are used in place, so the host must be little-endian"
#endif

#define BYTES_ACCESSORS(name, type)                                            \
    static inline type get_##name(const void *from)                            \
    {                                                                          \
        type value;                                                            \
        memcpy(&value, from, sizeof(value));                                   \
        return value;                                                          \
    }                                                                          \
    static inline void put_##name(void *to, type value)                        \
    {                                                                          \
        memcpy(to, &value, sizeof(value));                                     \
    }

BYTES_ACCESSORS(u16, uint16_t)
BYTES_ACCESSORS(u32, uint32_t)
BYTES_ACCESSORS(u64, uint64_t)
BYTES_ACCESSORS(f32, float)
BYTES_ACCESSORS(f64, double)

#undef BYTES_ACCESSORS

#endif
