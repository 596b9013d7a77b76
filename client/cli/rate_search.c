/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/rate_search.h"

#include <math.h>

#define NEAR_RATIO 1.02 /* of the two rates at the end */

void rate_search_begin(struct rate_search *search, double first)
{
    *search = (struct rate_search){.rate = first, .most = INFINITY};
}

bool rate_search_tell(struct rate_search *search, enum rate_verdict verdict)
{
    if (verdict == RATE_HELD) {
        search->held = search->rate;
    } else {
        search->most = search->rate;
        search->of_client = verdict == RATE_UNTRIED;
    }
    search->rate = search->held == 0 ? search->most / 2
                   : isinf(search->most) != 0
                       ? search->held * 2
                       : sqrt(search->held * search->most);
    return search->most > search->held * NEAR_RATIO;
}
