/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#define ENCODE_NAME nb_q4_shared_encode_avx2
#include "quant/kernel/q4_shared_encode_template.h"
