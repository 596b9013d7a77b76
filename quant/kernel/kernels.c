/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/kernel/kernels.h"

#include <stdatomic.h>

#include "quant/codec/codec.h"

static const struct kernel kernels[] = {
#define KERNEL(op, codec, isa, tile, function)                                 \
    {KERNEL_##op, CODEC_##codec, (isa),                                        \
     (tile),      #function,     (void (*)(void))(function)},
#include "quant/kernel/kernels.def"
#undef KERNEL
};

#define N_KERNELS (sizeof(kernels) / sizeof(kernels[0]))

#define KERNEL(op, codec, isa, tile, function)                                 \
    _Static_assert((tile) % 16 == 0 && (tile) <= KERNEL_TILE_MAX, #function);
#include "quant/kernel/kernels.def"
#undef KERNEL

const struct kernel *kernel_at(size_t i)
{
    return i < N_KERNELS ? &kernels[i] : NULL;
}

static const struct kernel *choose(enum kernel_op op, uint32_t codec)
{
    for (size_t i = 0; i < N_KERNELS; i++) {
        if (kernels[i].op == op && kernels[i].codec == codec &&
            (kernels[i].isa & cpu_isas()) != 0) {
            return &kernels[i];
        }
    }
    return NULL;
}

const struct kernel *kernel_find(enum kernel_op op, uint32_t codec)
{
    enum {
        N_IDS = 16
    }; /* codecs with a slot; others are looked up */
    static _Atomic(const struct kernel *) chosen[KERNEL_N_OPS][N_IDS];

    if (codec >= N_IDS) {
        return choose(op, codec);
    }
    const struct kernel *kernel =
        atomic_load_explicit(&chosen[op][codec], memory_order_relaxed);
    if (kernel == NULL) {
        kernel = choose(op, codec); /* the same on every thread */
        atomic_store_explicit(&chosen[op][codec], kernel, memory_order_relaxed);
    }
    return kernel;
}
