/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The sum and max kernels of a codec, from functions that do a bag: these are
 * generated for every number of units of a tile, so that the accumulators are
 * registers.
 * Parameters: those of ops_template.h, and
 *   ops_sum_bag, ops_max_bag(job, tile, bag, result, const unsigned units)
 *   OPS_KERNEL(op), OPS_SCALAR(op)
 *   OPS_MAX_UNITS  4 or 8
 */

#define OPS_FOR_4(DO, op)                                                      \
    DO(op, 1)                                                                  \
    DO(op, 2)                                                                  \
    DO(op, 3)                                                                  \
    DO(op, 4)
#if OPS_MAX_UNITS == 8
#define OPS_FOR_UNITS(DO, op)                                                  \
    OPS_FOR_4(DO, op)                                                          \
    DO(op, 5)                                                                  \
    DO(op, 6)                                                                  \
    DO(op, 7)                                                                  \
    DO(op, 8)
#else
#define OPS_FOR_UNITS(DO, op) OPS_FOR_4(DO, op)
#endif

typedef void ops_bag_fn(const struct kernel_job *job, const struct tile *tile,
                        const struct kernel_bag *bag,
                        const struct kernel_result *result);

#define OPS_FUNCTION(op, units)                                                \
    static void ops_##op##_bag_##units(                                        \
        const struct kernel_job *job, const struct tile *tile,                 \
        const struct kernel_bag *bag, const struct kernel_result *result)      \
    {                                                                          \
        ops_##op##_bag(job, tile, bag, result, units);                         \
    }
OPS_FOR_UNITS(OPS_FUNCTION, sum)
OPS_FOR_UNITS(OPS_FUNCTION, max)

/* By units less one. */
#define OPS_ENTRY(op, units) ops_##op##_bag_##units,
static ops_bag_fn *const ops_sum_bags[] = {OPS_FOR_UNITS(OPS_ENTRY, sum)};
static ops_bag_fn *const ops_max_bags[] = {OPS_FOR_UNITS(OPS_ENTRY, max)};

static void ops_for_bags(const struct kernel_job *job, const struct tile *tile,
                         ops_bag_fn *do_bag)
{
    struct kernel_bag bag = {job->rows, job->weights, 0, job->resume};
    struct kernel_result result = {job->out, 0};

    for (size_t b = 0; b < job->n_bags; b++) {
        bag.n = job->counts[b];
        result.divisor = job->lengths != NULL ? (float)job->lengths[b] : 0;
        do_bag(job, tile, &bag, &result);
        bag.rows += bag.n;
        if (bag.weights != NULL) {
            bag.weights += bag.n;
        }
        result.out += job->out_stride;
    }
}

void OPS_KERNEL(sum)(const struct kernel_job *job)
{
    struct tile tile;

    if (tile_init(&tile, job, job->col, job->width)) {
        ops_for_bags(job, &tile, ops_sum_bags[tile.units - 1]);
    } else {
        OPS_SCALAR(sum)(job);
    }
}

void OPS_KERNEL(max)(const struct kernel_job *job)
{
    struct tile tile;

    if (tile_init(&tile, job, job->col, job->width)) {
        ops_for_bags(job, &tile, ops_max_bags[tile.units - 1]);
    } else {
        OPS_SCALAR(max)(job);
    }
}
