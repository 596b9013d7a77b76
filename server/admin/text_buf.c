/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/admin/text_buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/checked.h"

#define CAPACITY_MIN ((uint64_t)4096)

static bool make_room(struct text_buf *buf, size_t bytes)
{
    uint64_t wanted;
    uint64_t capacity = buf->capacity != 0 ? buf->capacity : CAPACITY_MIN;
    if (buf->failed || !checked_add(buf->bytes, bytes, &wanted)) {
        return false;
    }
    while (capacity < wanted) {
        if (!checked_mul(capacity, 2, &capacity)) {
            return false;
        }
    }
    if (capacity == buf->capacity) {
        return true;
    }
    char *text = realloc(buf->text, capacity);
    if (text == NULL) {
        return false;
    }
    buf->text = text;
    buf->capacity = capacity;
    return true;
}

void text_buf_add(struct text_buf *buf, const char *text, size_t bytes)
{
    if (!make_room(buf, bytes)) {
        buf->failed = true;
        return;
    }
    if (bytes != 0) {
        memcpy(buf->text + buf->bytes, text, bytes);
        buf->bytes += bytes;
    }
}

void text_buf_print(struct text_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* With the NUL that vsnprintf() ends with. */
    if (n < 0 || !make_room(buf, (size_t)n + 1)) {
        buf->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(buf->text + buf->bytes, (size_t)n + 1, format, args);
    va_end(args);
    buf->bytes += (size_t)n;
}

void text_buf_fini(struct text_buf *buf)
{
    free(buf->text);
    *buf = (struct text_buf){0};
}
