/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Text that grows as it is written. Without memory for more it stays as it is,
 * and says so at the end. */
#ifndef NB_SERVER_TEXT_BUF_H
#define NB_SERVER_TEXT_BUF_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory is an empty one. */
struct text_buf {
    char *text; /* owned; NULL while empty */
    size_t bytes;
    size_t capacity;
    bool failed; /* something did not find room */
};

void text_buf_add(struct text_buf *buf, const char *text, size_t bytes);
void text_buf_print(struct text_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_buf_fini(struct text_buf *buf);

#endif
