/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* admin_page.html, as it stands in the program. */
#ifndef NB_SERVER_ADMIN_PAGE_H
#define NB_SERVER_ADMIN_PAGE_H

#include <stddef.h>

const char *admin_page(size_t *bytes);

#endif
