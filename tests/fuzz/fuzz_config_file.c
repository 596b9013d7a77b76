/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A configuration file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/settings/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int take(void *arg, const char *origin, const char *key,
                const char *value, struct nb_errctx *err)
{
    unsigned *lines = arg;
    (*lines)++;
    if (strchr(key, '=') != NULL || strncmp(origin, "file:", 5) != 0 ||
        strchr(value, '\n') != NULL) {
        abort();
    }
    return strcmp(key, "stop") == 0
               ? nb_fail(err, NB_ERR_INVALID, "%s: stop", origin)
               : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct nb_errctx err = {""};
    unsigned lines = 0;
    char *text = malloc(n + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, n);
    int rv = config_text_read("file", text, n, take, &lines, &err);
    if ((rv == 0) != (err.text[0] == '\0') || lines > n) {
        abort();
    }
    free(text);
    return 0;
}
