/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/remote_error.h"

#include <string.h>

#include "proto/wire.h"

/* Field numbers of nibble.v1.Error. */
enum {
    ERROR_CODE = 1,
    ERROR_MESSAGE = 2
};

/* One line, and nothing that a terminal would obey. */
static void copy_printable(char *to, size_t capacity, const uint8_t *from,
                           size_t n)
{
    if (n >= capacity) {
        n = capacity - 1;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (char)(from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i]);
    }
    to[n] = '\0';
}

int remote_error_read(const void *body, size_t bytes,
                      struct remote_error *error)
{
    struct wire wire = {body, (const uint8_t *)body + bytes};
    struct remote_error found = {0};
    struct wire_field field;
    int rv;
    while ((rv = wire_next(&wire, &field)) > 0) {
        if (field.number == ERROR_CODE && field.type == WIRE_VARINT) {
            found.code = (uint32_t)field.value;
        } else if (field.number == ERROR_MESSAGE && field.type == WIRE_BYTES) {
            copy_printable(found.message, sizeof(found.message), field.data,
                           field.bytes);
        }
    }
    if (rv == 0) {
        *error = found;
    }
    return rv;
}

const char *remote_error_name(uint32_t code)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    return code < sizeof(names) / sizeof(names[0]) ? names[code] : "code";
}
