/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Weights are not negative, so that the bits of a double order them. The least
 * weight that is taken is found 16 bits at a time from the top: each pass over
 * the file counts those that begin as what is known of it.
 */
#include "storage/table/row_protection.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage/source/row_weights.h"
#include "storage/table/table_format.h"

#define DIGIT_BITS 16u
#define N_DIGITS   (1u << DIGIT_BITS)
#define N_PASSES   (64u / DIGIT_BITS)
#define AT_ONCE    1024u /* weights */

struct selection {
    const char *path;
    uint64_t *counts;    /* N_DIGITS */
    uint64_t n_rows;     /* 0 before the first pass */
    uint64_t wanted;     /* rows to take */
    uint64_t threshold;  /* the least weight taken: its highest digits */
    uint64_t n_above;    /* weights that are greater */
    uint64_t n_of_least; /* to take of those that are equal */
    struct nb_errctx *err;
};

static uint64_t bits_of(double weight)
{
    uint64_t bits;
    memcpy(&bits, &weight, sizeof(bits));
    return bits;
}

/* Passes must agree: another program may write the file meanwhile. */
static int fail_changed(const struct selection *selection)
{
    return nb_fail(selection->err, NB_ERR_SOURCE,
                   "%s: changed while it was read", selection->path);
}

/* What to do with each weight of a pass. */
typedef void visit_fn(void *arg, uint64_t row, uint64_t bits);

static int visit_all(const struct selection *selection, visit_fn *visit,
                     void *arg, uint64_t *n_rows)
{
    struct row_weights *weights;
    double values[AT_ONCE];
    size_t n = AT_ONCE;
    int rv = row_weights_open(selection->path, &weights, selection->err);
    if (rv != 0) {
        return rv;
    }
    *n_rows = 0;
    while (rv == 0 && n == AT_ONCE) {
        rv = row_weights_next(weights, AT_ONCE, values, &n, selection->err);
        for (size_t i = 0; i < n && rv == 0; i++) {
            visit(arg, *n_rows + i, bits_of(values[i] + 0.0));
        }
        *n_rows += n;
    }
    if (rv == 0) {
        rv = row_weights_end(weights, selection->err);
    }
    row_weights_close(weights);
    return rv;
}

/* ---- the least weight that is taken -------------------------------------- */

struct digit_pass {
    struct selection *selection;
    unsigned shift; /* of the digit that is counted */
};

static void count_digit(void *arg, uint64_t row, uint64_t bits)
{
    const struct digit_pass *pass = arg;
    const struct selection *selection = pass->selection;
    unsigned above = pass->shift + DIGIT_BITS;
    (void)row;
    if (above == 64 || bits >> above == selection->threshold >> above) {
        selection->counts[bits >> pass->shift & (N_DIGITS - 1)]++;
    }
}

/* From the greatest down, until those wanted are there. The pass before has
 * found as many; if this one has not, false. */
static bool take_digit(struct selection *selection, unsigned shift)
{
    uint64_t digit = N_DIGITS;
    do {
        if (digit == 0) {
            return false;
        }
        selection->n_above += selection->counts[--digit];
    } while (selection->n_above < selection->wanted);
    selection->n_above -= selection->counts[digit];
    selection->threshold |= digit << shift;
    return true;
}

static uint64_t wanted_of(double fraction, uint64_t n_rows)
{
    double n = round(fraction * (double)n_rows);
    if (n < 1) {
        return 1;
    }
    return n < (double)n_rows ? (uint64_t)n : n_rows;
}

static int find_threshold(struct selection *selection, double fraction)
{
    for (unsigned i = 1; i <= N_PASSES; i++) {
        struct digit_pass pass = {selection, 64 - i * DIGIT_BITS};
        uint64_t n_rows;
        memset(selection->counts, 0, N_DIGITS * sizeof(*selection->counts));
        int rv = visit_all(selection, count_digit, &pass, &n_rows);
        if (rv != 0) {
            return rv;
        }
        if (i > 1 && n_rows != selection->n_rows) {
            return fail_changed(selection);
        }
        selection->n_rows = n_rows;
        selection->wanted = wanted_of(fraction, n_rows);
        if (!take_digit(selection, pass.shift)) {
            return fail_changed(selection);
        }
    }
    selection->n_of_least = selection->wanted - selection->n_above;
    return 0;
}

/* ---- the rows ------------------------------------------------------------ */

struct marking {
    struct selection *selection;
    struct row_protection *protection;
};

static void mark(void *arg, uint64_t row, uint64_t bits)
{
    const struct marking *marking = arg;
    struct selection *selection = marking->selection;
    struct row_protection *protection = marking->protection;
    if (row >= protection->n_rows) {
        return; /* of a file that grows */
    }
    struct nb_protected_block *block =
        &protection->blocks[row / NB_PROTECTED_ROWS];
    uint64_t bit = row % NB_PROTECTED_ROWS;
    if (bit == 0) {
        block->before = protection->n;
    }
    bool least = bits == selection->threshold && selection->n_of_least > 0;
    if (least || bits > selection->threshold) {
        selection->n_of_least -= least;
        block->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
        protection->n++;
    }
}

static int mark_rows(struct selection *selection,
                     struct row_protection *protection)
{
    struct marking marking = {selection, protection};
    uint64_t n_rows;
    assert(selection->n_rows > 0); /* row_weights_end() */
    protection->n_rows = selection->n_rows;
    protection->blocks = calloc(table_protected_blocks(selection->n_rows),
                                sizeof(*protection->blocks));
    if (protection->blocks == NULL) {
        return nb_fail(selection->err, NB_ERR_NOMEM, "%s: out of memory",
                       selection->path);
    }
    int rv = visit_all(selection, mark, &marking, &n_rows);
    if (rv == 0 &&
        (n_rows != selection->n_rows || protection->n != selection->wanted)) {
        rv = fail_changed(selection);
    }
    return rv;
}

int row_protection_select(const char *path, double fraction,
                          struct row_protection *protection,
                          struct nb_errctx *err)
{
    struct selection selection = {.path = path, .err = err};
    struct row_protection made = {0};
    selection.counts = calloc(N_DIGITS, sizeof(*selection.counts));
    if (selection.counts == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    int rv = find_threshold(&selection, fraction);
    if (rv == 0) {
        rv = mark_rows(&selection, &made);
    }
    free(selection.counts);
    if (rv != 0) {
        row_protection_fini(&made);
        return rv;
    }
    *protection = made;
    return 0;
}

void row_protection_fini(struct row_protection *protection)
{
    free(protection->blocks);
    *protection = (struct row_protection){0};
}
