/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Codes of nibble.v1.Error; PROTOCOL.md, "Errors". */
#ifndef NB_PROTO_RPC_CODE_H
#define NB_PROTO_RPC_CODE_H

#include <stdint.h>

enum rpc_code {
#define CODE(number, name) RPC_##name = (number),
#include "proto/codes.def"
#undef CODE
};

/* "NOT_FOUND"; "code" for a number that is not in the list. */
const char *rpc_code_name(uint32_t code);

#endif
