/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/rpc_code.h"

const char *rpc_code_name(uint32_t code)
{
    switch (code) {
#define CODE(number, name)                                                     \
    case (number):                                                             \
        return #name;
#include "proto/codes.def"
#undef CODE
    default:
        return "code";
    }
}
