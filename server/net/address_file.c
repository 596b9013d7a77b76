/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/net/address_file.h"

#include <stdio.h>
#include <string.h>

#include "storage/io/atomic_file.h"

int address_file_write(const char *path,
                       const char (*addresses)[LISTEN_ADDRESS_TEXT], size_t n,
                       struct file_id *id, struct nb_errctx *err)
{
    struct atomic_file *file;
    int rv = atomic_file_create(path, &file, err);
    if (rv != 0) {
        return rv;
    }
    uint64_t offset = 0;
    for (size_t i = 0; rv == 0 && i < n; i++) {
        char line[LISTEN_ADDRESS_TEXT + 1];
        snprintf(line, sizeof(line), "%s\n", addresses[i]);
        rv = atomic_file_write(file, line, strlen(line), offset, err);
        offset += strlen(line);
    }
    struct file_id written = {0};
    if (rv == 0) {
        rv = atomic_file_id(file, &written);
        rv = rv == 0 ? atomic_file_commit(file, err)
                     : nb_fail(err, rv, "%s: cannot tell which file it is: %s",
                               path, nb_strerror(rv));
    }
    if (rv == 0) {
        *id = written;
    }
    atomic_file_destroy(file);
    return rv;
}
