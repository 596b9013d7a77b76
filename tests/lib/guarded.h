/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Memory between two unmapped pages: whoever touches a byte too many faults. */
#ifndef NB_TESTS_LIB_GUARDED_H
#define NB_TESTS_LIB_GUARDED_H

#include <stddef.h>
#include <stdint.h>

struct guarded {
    uint8_t *start; /* right after an unmapped page */
    uint8_t *end;   /* start of the other */
};

/* At least `bytes` bytes of zeros; ends the program if there is no memory. */
struct guarded guarded_create(size_t bytes);
void guarded_destroy(struct guarded *guarded);

#endif
