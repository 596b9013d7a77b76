/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/repo/model_version.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/io/file_io.h"

/* Files of a version stand in its directory: a link could lead anywhere, and
 * what it leads to can be changed in place. */
static int check_plain(const char *path, struct nb_errctx *err)
{
    struct stat stat;
    if (lstat(path, &stat) != 0) {
        int rv = -errno;
        return nb_fail(err, rv, "%s: %s", path, nb_strerror(rv));
    }
    if (S_ISLNK(stat.st_mode)) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: a symbolic link, not a file", path);
    }
    if (!S_ISREG(stat.st_mode)) {
        return nb_fail(err, NB_ERR_UNSUPPORTED, "%s: not a regular file", path);
    }
    return 0;
}

static int join(const char *directory, const char *file, char **path,
                struct nb_errctx *err)
{
    if (asprintf(path, "%s/%s", directory, file) < 0) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", directory);
    }
    return 0;
}

/* ---- the manifest -------------------------------------------------------- */

static int read_whole(int fd, uint64_t bytes, const char *path,
                      struct manifest *manifest, struct nb_errctx *err)
{
    if (bytes > MANIFEST_BYTES_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: %" PRIu64 " bytes, over %u",
                       path, bytes, MANIFEST_BYTES_MAX);
    }
    char *text = malloc((size_t)bytes + 1);
    if (text == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    int rv = file_read_at(fd, text, (size_t)bytes, 0);
    if (rv != 0) {
        nb_fail(err, rv, "%s: cannot read: %s", path, nb_strerror(rv));
    } else {
        rv = manifest_parse(text, (size_t)bytes, path, manifest, err);
    }
    free(text);
    return rv;
}

static int identify(int fd, struct version_id *id)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        return -errno;
    }
    *id = (struct version_id){
        .manifest = {.device = stat.st_dev, .inode = stat.st_ino},
        .changed_ns = (uint64_t)stat.st_ctim.tv_sec * 1000000000u +
                      (uint64_t)stat.st_ctim.tv_nsec,
    };
    return 0;
}

int model_version_identify(const char *path, struct version_id *id)
{
    char *manifest;
    int rv = join(path, MANIFEST_FILE, &manifest, NULL);
    if (rv != 0) {
        return rv;
    }
    int fd = open(manifest, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    rv = fd < 0 ? -errno : identify(fd, id);
    if (fd >= 0) {
        close(fd);
    }
    free(manifest);
    return rv;
}

bool version_id_equal(const struct version_id *a, const struct version_id *b)
{
    return a->manifest.device == b->manifest.device &&
           a->manifest.inode == b->manifest.inode &&
           a->changed_ns == b->changed_ns;
}

static int read_manifest(const char *directory, struct model_version *version,
                         struct nb_errctx *err)
{
    char *path;
    int fd = -1;
    uint64_t bytes = 0;
    int rv = join(directory, MANIFEST_FILE, &path, err);
    if (rv != 0) {
        return rv;
    }
    rv = check_plain(path, err);
    if (rv == 0) {
        rv = file_open(path, &fd, &bytes, err);
    }
    if (rv == 0) {
        rv = identify(fd, &version->id);
        if (rv == 0) {
            rv = read_whole(fd, bytes, path, &version->manifest, err);
        } else {
            nb_fail(err, rv, "%s: fstat: %s", path, nb_strerror(rv));
        }
        close(fd);
    }
    free(path);
    return rv;
}

/* ---- tables -------------------------------------------------------------- */

static int lies(const char *path, const char *field, uint64_t is, uint64_t says,
                struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_FORMAT,
                   "%s: %s: %" PRIu64 ", the manifest says %" PRIu64, path,
                   field, is, says);
}

int model_version_check_table(const struct manifest_table *entry,
                              const struct table_info *info, const char *path,
                              struct nb_errctx *err)
{
    const char *codec = nb_codec_name(info->format.codec);
    if (info->file_bytes != entry->bytes) {
        return lies(path, "bytes", info->file_bytes, entry->bytes, err);
    }
    if (info->n_rows != entry->rows) {
        return lies(path, "rows", info->n_rows, entry->rows, err);
    }
    if (info->format.dim != entry->dim) {
        return lies(path, "dim", info->format.dim, entry->dim, err);
    }
    if (codec == NULL || strcmp(codec, entry->codec) != 0) {
        return nb_fail(err, NB_ERR_FORMAT,
                       "%s: codec: %s, the manifest says %s", path,
                       codec != NULL ? codec : "unknown", entry->codec);
    }
    if (info->checksum != entry->checksum) {
        return nb_fail(err, NB_ERR_CHECKSUM,
                       "%s: checksum: %016" PRIx64
                       ", the manifest says %016" PRIx64,
                       path, info->checksum, entry->checksum);
    }
    return 0;
}

static int open_table(const char *directory, enum table_verify verify,
                      const struct manifest_table *entry, struct table **table,
                      struct nb_errctx *err)
{
    char *path;
    int rv = join(directory, entry->file, &path, err);
    if (rv != 0) {
        return rv;
    }
    rv = check_plain(path, err);
    if (rv == 0) {
        rv = table_open(path, verify, table, err);
    }
    if (rv == 0) {
        rv = model_version_check_table(entry, table_info(*table), path, err);
    }
    free(path);
    return rv;
}

int model_version_open(const char *path, enum table_verify verify,
                       struct model_version **version, struct nb_errctx *err)
{
    struct model_version *opened = calloc(1, sizeof(*opened));
    if (opened == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    int rv = read_manifest(path, opened, err);
    if (rv != 0) {
        goto err_close;
    }
    size_t n = opened->manifest.n;
    opened->tables = calloc(n > 0 ? n : 1, sizeof(struct table *));
    if (opened->tables == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
        goto err_close;
    }
    for (size_t i = 0; i < n; i++) {
        rv = open_table(path, verify, &opened->manifest.tables[i],
                        &opened->tables[i], err);
        if (rv != 0) {
            goto err_close;
        }
    }
    *version = opened;
    return 0;

err_close:
    model_version_close(opened);
    return rv;
}

int model_version_verify_rest(const struct model_version *version,
                              const char *path, const struct io_pace *pace,
                              struct nb_errctx *err)
{
    int rv = 0;
    for (size_t i = 0; i < version->manifest.n && rv == 0; i++) {
        char *file;
        rv = join(path, version->manifest.tables[i].file, &file, err);
        if (rv == 0) {
            rv = table_verify_rest(version->tables[i], file, pace, err);
            free(file);
        }
    }
    return rv;
}

int model_version_prefault(const struct model_version *version,
                           const char *path, const struct io_pace *pace,
                           struct nb_errctx *err)
{
    for (size_t i = 0; i < version->manifest.n; i++) {
        int rv = table_prefault(version->tables[i], pace);
        if (rv != 0) {
            return nb_fail(err, rv, "%s/%s: cannot be read to memory: %s", path,
                           version->manifest.tables[i].file, nb_strerror(rv));
        }
    }
    return 0;
}

uint64_t model_version_bytes(const struct model_version *version)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < version->manifest.n; i++) {
        bytes += version->manifest.tables[i].bytes;
    }
    return bytes;
}

void model_version_close(struct model_version *version)
{
    if (version == NULL) {
        return;
    }
    for (size_t i = 0; version->tables != NULL && i < version->manifest.n;
         i++) {
        table_close(version->tables[i]);
    }
    free((void *)version->tables);
    manifest_fini(&version->manifest);
    free(version);
}
