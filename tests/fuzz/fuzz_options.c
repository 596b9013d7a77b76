/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A command line, one word a line; lines with NIBBLED_ in front are the
 * environment. */
#include <stdlib.h>
#include <string.h>

#include "server/settings/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define WORDS_MAX 64

static char *words[WORDS_MAX];
static int n_words;

static const char *environment(const char *name)
{
    size_t bytes = strlen(name);
    for (int i = 1; i < n_words; i++) {
        if (strncmp(words[i], name, bytes) == 0 && words[i][bytes] == '=') {
            return words[i] + bytes + 1;
        }
    }
    return NULL;
}

/* Those that are no environment, behind the program's name. */
static int make_argv(char **argv)
{
    int argc = 1;
    argv[0] = "nibbled";
    for (int i = 1; i < n_words; i++) {
        if (strncmp(words[i], "NIBBLED_", 8) != 0) {
            argv[argc++] = words[i];
        }
    }
    return argc;
}

static void parse(void)
{
    char *argv[WORDS_MAX];
    int argc = make_argv(argv);
    struct options options;
    enum options_action action;
    struct nb_errctx err = {""};
    if (options_parse(&options, argc, argv, environment, &action, &err) != 0) {
        if (err.text[0] == '\0' || strchr(err.text, '\n') != NULL) {
            abort();
        }
        return;
    }
    if (action == OPTIONS_RUN) {
        char text[1000];
        options_describe(&options, text, sizeof(text));
        if ((options.tables.n == 0) == (options.repo[0] == '\0') ||
            options.listen.n == 0 || options.max_ids == 0 ||
            (text[0] != ' ' && text[0] != '\0')) {
            abort();
        }
    }
    options_fini(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, n);
    text[n] = '\0';
    n_words = 1;
    char *rest;
    for (char *word = strtok_r(text, "\n", &rest);
         word != NULL && n_words < WORDS_MAX;
         word = strtok_r(NULL, "\n", &rest)) {
        words[n_words++] = word;
    }
    parse();
    free(text);
    return 0;
}
