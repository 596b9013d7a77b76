/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/json_line.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/command.h"

json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_count(uint64_t count)
{
    return count <= INT64_MAX ? json_integer((json_int_t)count)
                              : json_sprintf("%llu", (unsigned long long)count);
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL) {
        return value;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return NULL;
    }
    for (char *c = copy; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80) {
            *c = '?';
        }
    }
    value = json_string(copy);
    free(copy);
    return value;
}

static void drop(json_t **container)
{
    json_decref(*container);
    *container = NULL;
}

void json_put(json_t **object, const char *key, json_t *value)
{
    if (json_object_set_new(*object, key, value) != 0) {
        drop(object);
    }
}

void json_append(json_t **array, json_t *value)
{
    if (json_array_append_new(*array, value) != 0) {
        drop(array);
    }
}

int json_line_print(const char *command, json_t *object)
{
    /* 9 digits tell any fp32 from its neighbours. */
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
    bool printed = object != NULL && json_dumpf(object, stdout, flags) == 0;
    json_decref(object);
    if (!printed) {
        const struct nb_errctx err = {"cannot write the JSON object"};
        return command_fail(command, NB_ERR_NOMEM, &err);
    }
    printf("\n");
    return COMMAND_DONE;
}
