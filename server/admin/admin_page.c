/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/admin/admin_page.h"

__asm__(".pushsection .rodata\n"
        ".globl admin_page_begin, admin_page_end\n"
        ".hidden admin_page_begin, admin_page_end\n"
        "admin_page_begin:\n"
        ".incbin \"server/admin/admin_page.html\"\n"
        "admin_page_end:\n"
        ".popsection\n");

extern const char admin_page_begin[];
extern const char admin_page_end[];

const char *admin_page(size_t *bytes)
{
    *bytes = (size_t)(admin_page_end - admin_page_begin);
    return admin_page_begin;
}
