/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The highest rate that something holds at, by trying rates. */
#ifndef NB_CLI_RATE_SEARCH_H
#define NB_CLI_RATE_SEARCH_H

#include <stdbool.h>

enum rate_verdict {
    RATE_HELD,
    RATE_MISSED,  /* by the server */
    RATE_UNTRIED, /* the client could not ask so much: nothing is known */
};

struct rate_search {
    double rate;    /* to try next */
    double held;    /* the highest that was; 0: none */
    double most;    /* the lowest that was not; INFINITY: all were */
    bool of_client; /* that was RATE_UNTRIED: the server may hold more */
};

/* From a rate above 0. */
void rate_search_begin(struct rate_search *search, double first);

/* What came of search->rate. Doubles or halves until the rate lies between
 * two, then halves the way between them. False: they are near enough. */
bool rate_search_tell(struct rate_search *search, enum rate_verdict verdict);

#endif
