/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Which instruction sets of this processor the kernels may use. */
#ifndef NB_QUANT_CPU_H
#define NB_QUANT_CPU_H

#include <stdint.h>

/* ISA(bit, NAME, name), worst first. */
#define ISA_MAP(ISA)                                                           \
    ISA(0, SCALAR, "scalar")                                                   \
    ISA(1, NEON, "neon")                                                       \
    ISA(2, AVX2, "avx2")                                                       \
    ISA(3, AVX512, "avx512")

enum isa {
#define ISA(bit, NAME, name) ISA_##NAME = 1u << (bit),
    ISA_MAP(ISA)
#undef ISA
};

/* The sets in use, or-ed: what the processor and the system support, less what
 * NB_ISA_DISABLE took away when this was first called. */
uint32_t cpu_isas(void);

/* Name of a single set; NULL if there is none. */
const char *cpu_isa_name(uint32_t isa);

#endif
