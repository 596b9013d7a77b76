/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/cpu.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "quant/nibble.h"

static const struct {
    uint32_t isa;
    const char *name;
} sets[] = {
#define ISA(bit, NAME, name) {ISA_##NAME, name},
    ISA_MAP(ISA)
#undef ISA
};

#define N_SETS (sizeof(sets) / sizeof(sets[0]))

#if defined(__x86_64__)
#include <cpuid.h>

#define BITS_SET(word, bits) (((word) & (bits)) == (bits))

/* The register state that the system saves and restores (XCR0). */
static uint32_t saved_state(void)
{
    uint32_t low;
    uint32_t high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static uint32_t supported(void)
{
    const uint32_t ymm_state = 0x6;  /* SSE, AVX */
    const uint32_t zmm_state = 0xe6; /* and masks, upper halves, zmm16-31 */
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
    uint32_t isas = ISA_SCALAR;

    if (!__get_cpuid(1, &a, &b, &c, &d) ||
        !BITS_SET(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) {
        return isas;
    }
    uint32_t state = saved_state();
    if (!BITS_SET(state, ymm_state) || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return isas;
    if (b & bit_AVX2) {
        isas |= ISA_AVX2;
    }
    /* The first processors with these four lower their clock for 512-bit
     * vectors. Those that came after have VBMI2 too and do not: it stands for
     * "wide vectors preferred". VNNI adds up products of bytes. */
    bool wide_preferred = BITS_SET(c, bit_AVX512VBMI2 | bit_AVX512VNNI);
    if (BITS_SET(state, zmm_state) && wide_preferred &&
        BITS_SET(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL)) {
        isas |= ISA_AVX512;
    }
    return isas;
}
#elif defined(__aarch64__)
static uint32_t supported(void)
{
    return ISA_SCALAR | ISA_NEON; /* part of the base architecture */
}
#else
static uint32_t supported(void)
{
    return ISA_SCALAR;
}
#endif

/* Sets named in the comma list. The first word that is none, or "scalar", which
 * cannot go, is returned in *bad (of *length bytes), which is NULL if all are
 * good. */
static uint32_t parse_sets(const char *list, const char **bad, size_t *length)
{
    uint32_t found = 0;

    *bad = NULL;
    *length = 0;
    while (*list != '\0') {
        size_t n = strcspn(list, ",");
        uint32_t isa = 0;
        for (size_t i = 0; i < N_SETS; i++) {
            if (strlen(sets[i].name) == n &&
                memcmp(sets[i].name, list, n) == 0 &&
                sets[i].isa != ISA_SCALAR) {
                isa = sets[i].isa;
            }
        }
        if (isa == 0 && n > 0 && *bad == NULL) {
            *bad = list;
            *length = n;
        }
        found |= isa;
        list += n + (list[n] == ',');
    }
    return found;
}

static const char *disabled_list(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only setenv would race */
    const char *list = getenv("NB_ISA_DISABLE");
    return list != NULL ? list : "";
}

uint32_t cpu_isas(void)
{
    static _Atomic uint32_t known; /* 0 until the first call */
    uint32_t isas = atomic_load_explicit(&known, memory_order_relaxed);

    if (isas == 0) {
        const char *bad;
        size_t length;
        isas = supported() & ~parse_sets(disabled_list(), &bad, &length);
        uint32_t first = 0;
        /* Whoever came first has said it for all threads. */
        if (!atomic_compare_exchange_strong(&known, &first, isas)) {
            isas = first;
        }
    }
    return isas;
}

const char *cpu_isa_name(uint32_t isa)
{
    for (size_t i = 0; i < N_SETS; i++) {
        if (sets[i].isa == isa) {
            return sets[i].name;
        }
    }
    return NULL;
}

const char *nb_isa(void)
{
    uint32_t isas = cpu_isas();
    size_t best = N_SETS - 1;
    while ((sets[best].isa & isas) == 0) {
        best--; /* scalar is always there */
    }
    return sets[best].name;
}

int nb_isa_check(struct nb_errctx *err)
{
    const char *bad;
    size_t length;

    parse_sets(disabled_list(), &bad, &length);
    if (bad == NULL) {
        return 0;
    }
    return nb_fail(err, NB_ERR_INVALID,
                   "NB_ISA_DISABLE: '%.*s' is not one of avx512, avx2, neon",
                   length > 64 ? 64 : (int)length, bad);
}

const char *nb_version(void)
{
    return NB_VERSION_STRING;
}
