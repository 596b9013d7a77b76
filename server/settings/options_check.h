/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#ifndef NB_SERVER_OPTIONS_CHECK_H
#define NB_SERVER_OPTIONS_CHECK_H

#include "server/settings/options.h"

/* Do the options go together, and is what they say of the right form?
 * NB_ERR_INVALID: *err names the flag. */
int options_check(const struct options *options, struct nb_errctx *err);

#endif
