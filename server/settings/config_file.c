/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/config_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/io/file_io.h"

#define FILE_BYTES_MAX ((uint64_t)8 << 20)

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r", text[n - 1]) != NULL) {
        n--;
    }
    text[n] = '\0';
    return text;
}

static int check_text(const char *origin, const char *line, size_t bytes,
                      struct nb_errctx *err)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < ' ' && c != '\t' && c != '\r') || c == 0x7f) {
            return nb_fail(err, NB_ERR_INVALID,
                           "%s: byte %zu, 0x%02x, is not text", origin, i + 1,
                           c);
        }
    }
    return 0;
}

/* `line` ends with a NUL after `bytes` bytes. */
static int take_line(const char *origin, char *line, size_t bytes,
                     config_line_fn *take, void *arg, struct nb_errctx *err)
{
    int rv = check_text(origin, line, bytes, err);
    if (rv != 0) {
        return rv;
    }
    char *key = trim(line);
    if (key[0] == '\0' || key[0] == '#') {
        return 0;
    }
    char *value = strchr(key, '=');
    if (value == NULL) {
        return nb_fail(err, NB_ERR_INVALID, "%s: '%.80s' is not KEY = VALUE",
                       origin, key);
    }
    *value++ = '\0';
    return take(arg, origin, trim(key), trim(value), err);
}

int config_text_read(const char *name, char *text, size_t bytes,
                     config_line_fn *take, void *arg, struct nb_errctx *err)
{
    char *end = text + bytes;
    int rv = 0;
    for (unsigned line = 1; rv == 0 && text < end; line++) {
        char origin[160];
        snprintf(origin, sizeof(origin), "%.120s:%u", name, line);
        char *stop = memchr(text, '\n', (size_t)(end - text));
        if (stop == NULL) {
            return nb_fail(err, NB_ERR_INVALID,
                           "%s: the last line has no end: is the file whole?",
                           origin);
        }
        *stop = '\0';
        rv = take_line(origin, text, (size_t)(stop - text), take, arg, err);
        text = stop + 1;
    }
    return rv;
}

int config_file_read(const char *path, config_line_fn *take, void *arg,
                     struct nb_errctx *err)
{
    int fd;
    uint64_t bytes;
    int rv = file_open(path, &fd, &bytes, err);
    if (rv != 0) {
        return rv;
    }
    char *text = NULL;
    if (bytes > FILE_BYTES_MAX) {
        rv = nb_fail(err, NB_ERR_TOO_LARGE, "%.200s: %llu bytes, over %llu",
                     path, (unsigned long long)bytes,
                     (unsigned long long)FILE_BYTES_MAX);
        goto out;
    }
    text = malloc(bytes + 1);
    if (text == NULL) {
        rv = nb_fail(err, NB_ERR_NOMEM, "%.200s: out of memory", path);
        goto out;
    }
    size_t got = 0;
    rv = file_read(fd, text, bytes, &got);
    if (rv != 0) {
        nb_fail(err, rv, "%.200s: %s", path, nb_strerror(rv));
        goto out;
    }
    rv = config_text_read(path, text, got, take, arg, err);
out:
    free(text);
    close(fd);
    return rv;
}
