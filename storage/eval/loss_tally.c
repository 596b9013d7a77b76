/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/eval/loss_tally.h"

#include <math.h>
#include <string.h>

#define COSINE_FRACTION 0.01

/* Keeps the worst rows, the worst first; of equals the one seen first. */
static void note_worst(struct loss_tally *tally, uint64_t row, double rel_err)
{
    unsigned at = tally->n_worst;
    if (isnan(rel_err)) { /* of a damaged scale: nothing is worse */
        rel_err = INFINITY;
    }
    if (at == LOSS_WORST_ROWS) {
        if (rel_err <= tally->worst[at - 1].rel_err) {
            return;
        }
        at--;
    } else {
        tally->n_worst++;
    }
    for (; at > 0 && tally->worst[at - 1].rel_err < rel_err; at--) {
        tally->worst[at] = tally->worst[at - 1];
    }
    tally->worst[at] = (struct worst_row){.row = row, .rel_err = rel_err};
}

void loss_tally_add(struct loss_tally *tally, uint64_t row, double weight,
                    const struct nb_row_error *error)
{
    struct nb_row_error weighted = *error;
    weighted.sq_err *= weight;
    weighted.sq_x *= weight;
    error_sums_add_row(&tally->block, &weighted);
    tally->weight += weight;
    tally->n_rows++;
    if (error->sq_x > 0) {
        note_worst(tally, row, sqrt(error->sq_err / error->sq_x));
        if (error->sq_y > 0) {
            double cosine = error->dot / sqrt(error->sq_x) / sqrt(error->sq_y);
            tally->cosine_sum += weight * cosine;
            cosine_bins_add(&tally->cosines, cosine, weight);
        }
    }
}

void loss_tally_end_block(struct loss_tally *tally)
{
    error_sums_add(&tally->sums, &tally->block);
    tally->block = (struct error_sums){0};
}

struct losses loss_tally_losses(const struct loss_tally *tally, uint32_t dim)
{
    double cosines = tally->cosines.total;
    struct losses losses = {
        .n_rows = tally->n_rows,
        .stats = error_sums_stats(&tally->sums, tally->n_rows, dim),
        .cosine_mean = cosines > 0 ? tally->cosine_sum / cosines : 0,
        .cosine_p1 = cosine_bins_quantile(&tally->cosines, COSINE_FRACTION),
        .n_worst = tally->n_worst,
    };
    if (tally->weight > 0) { /* the mean of values that count so often */
        losses.stats.mse *= (double)tally->n_rows / tally->weight;
    }
    memcpy(losses.worst, tally->worst, sizeof(losses.worst));
    return losses;
}
