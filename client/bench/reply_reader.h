/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Whether a frame answers its request, and answers it rightly. */
#ifndef NB_BENCH_REPLY_READER_H
#define NB_BENCH_REPLY_READER_H

#include <stdint.h>

#include "client/bench/load_result.h"
#include "client/bench/reply_check.h"
#include "client/bench/request_set.h"
#include "client/lib/reply_blocks.h"
#include "proto/frame.h"

/* All borrowed. Nothing is allocated once the first reply has been read. */
struct reply_reader {
    const struct workload *workload;
    const struct request_set *set;
    struct reply_check *check; /* NULL: values are not looked at */
    struct reply_blocks blocks;
    struct check_scratch scratch;
};

void reply_reader_init(struct reply_reader *reader,
                       const struct workload *workload,
                       const struct request_set *set,
                       struct reply_check *check);
void reply_reader_fini(struct reply_reader *reader);

#define REPLY_IS_RIGHT (-1)

/* The answer to a request of the set. REPLY_IS_RIGHT, and *result has counted
 * what it says; or an enum load_error, and *why says more. */
int reply_reader_read(struct reply_reader *reader, size_t request,
                      const struct frame_header *header, const uint8_t *body,
                      struct load_result *result, struct nb_errctx *why);

#endif
