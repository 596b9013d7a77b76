/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A header that is accepted is written back as the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct frame_header header;
    struct nb_errctx err;
    uint8_t back[FRAME_HEADER_BYTES];
    if (n < FRAME_HEADER_BYTES) {
        return 0;
    }
    int rv = frame_header_get(data, 1u << 20, &header, &err);
    if (rv == NB_ERR_FRAME) {
        return 0;
    }
    frame_header_put(back, &header);
    if (memcmp(back, data, sizeof(back)) != 0 ||
        (rv == NB_ERR_TOO_LARGE) != (header.body_bytes > 1u << 20)) {
        abort();
    }
    return 0;
}
