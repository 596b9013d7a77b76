/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Turns a fuzz target and its committed corpus into a test: runs
 * LLVMFuzzerTestOneInput() on every file of tests/fuzz/corpus/TARGET, or of the
 * files named as arguments. Each input is in a block of its own size, so that
 * the sanitizers see reads past its end.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int fail(const char *path, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", path, what, strerrordesc_np(errno));
    return -1;
}

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return fail(path, "cannot open");
    }
    int rv = -1;
    uint8_t *bytes = NULL;
    long n = -1;
    if (fseek(file, 0, SEEK_END) == 0) {
        n = ftell(file);
    }
    if (n < 0 || fseek(file, 0, SEEK_SET) != 0) {
        fail(path, "cannot seek");
        goto out;
    }
    bytes = malloc(n > 0 ? (size_t)n : 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)n, file) != (size_t)n) {
        fail(path, "cannot read");
        goto out;
    }
    LLVMFuzzerTestOneInput(bytes, (size_t)n);
    rv = 0;

out:
    free(bytes);
    fclose(file);
    return rv;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Replays every file of the directory, in order of names; -1 on failure. */
static int replay_directory(const char *directory)
{
    struct dirent **entries;
    int n = scandir(directory, &entries, is_input, alphasort);
    if (n < 0) {
        return fail(directory, "cannot list");
    }
    int rv = 0;
    for (int i = 0; i < n; i++) {
        char path[4096 + sizeof(entries[i]->d_name) + 1];
        snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
        if (replay(path) != 0) {
            rv = -1;
        }
        free(entries[i]);
    }
    free(entries);
    return rv == 0 ? n : -1;
}

int main(int argc, char **argv)
{
    int n;
    if (argc > 1) {
        for (n = 0; n + 1 < argc; n++) {
            if (replay(argv[n + 1]) != 0) {
                return EXIT_FAILURE;
            }
        }
    } else {
        const char *slash = strrchr(argv[0], '/');
        const char *target = slash != NULL ? slash + 1 : argv[0];
        if (strncmp(target, "fuzz_", 5) != 0) {
            fprintf(stderr, "%s: not called fuzz_TARGET\n", argv[0]);
            return EXIT_FAILURE;
        }
        char directory[4096];
        snprintf(directory, sizeof(directory), "tests/fuzz/corpus/%s",
                 target + 5);
        n = replay_directory(directory);
    }
    if (n <= 0) {
        fprintf(stderr, "%s: nothing to replay\n", argv[0]);
        return EXIT_FAILURE;
    }
    printf("%d inputs replayed\n", n);
    return EXIT_SUCCESS;
}
