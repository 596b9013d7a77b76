/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#define ENCODE_NAME nb_q4_trellis_encode_avx512
#include "quant/kernel/q4_trellis_encode_template.h"
