/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Parses the input as a manifest; what is taken is sane, and is the same after
 * being written and read again. */
#include <stdlib.h>
#include <string.h>

#include "storage/repo/manifest.h"
#include "storage/repo/repo_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->n; i++) {
        const struct manifest_table *table = &manifest->tables[i];
        if (!repo_name_is_valid(table->name, REPO_NAME_MAX) ||
            !repo_name_is_valid(table->file, REPO_FILE_MAX) ||
            table->bytes == 0 || table->rows == 0 || table->dim == 0 ||
            table->dim > NB_DIM_MAX ||
            (i > 0 && strcmp(table[-1].name, table->name) >= 0)) {
            abort();
        }
    }
}

static void write_and_read(const struct manifest *manifest)
{
    char *text;
    char *again;
    struct manifest copy;
    /* Blanks can make it longer than what it was read from. */
    if (manifest_format(manifest, &text, NULL) != 0) {
        return;
    }
    if (manifest_parse(text, strlen(text), "copy", &copy, NULL) != 0 ||
        manifest_format(&copy, &again, NULL) != 0 || strcmp(text, again) != 0) {
        abort();
    }
    manifest_fini(&copy);
    free(text);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct manifest manifest;
    struct nb_errctx err = {""};
    if (manifest_parse((const char *)data, n, "input", &manifest, &err) == 0) {
        check(&manifest);
        write_and_read(&manifest);
        manifest_fini(&manifest);
    } else if (err.text[0] == '\0' || strpbrk(err.text, "\n\x1b") != NULL) {
        abort();
    }
    return 0;
}
