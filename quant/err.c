/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "quant/nibble.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *nb_strerror(int code)
{
    switch (code) {
    case 0:
        return "success";
#define ERR(number, name, text)                                                \
    case NB_ERR_##name:                                                        \
        return text;
        NB_ERR_MAP(ERR)
#undef ERR
    default:
        break;
    }
    /* strerrordesc_np is thread-safe, unlike strerror. */
    const char *text =
        code < 0 && code >= -INT_MAX ? strerrordesc_np(-code) : NULL;
    return text != NULL ? text : "unknown error";
}

int nb_fail(struct nb_errctx *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return code;
}
