/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* nibbled: serves quantized embedding tables. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"
#include "server/options.h"
#include "server/server.h"
#include "server/table_set.h"

#define EXIT_USAGE 2

/* The tables of the command line form one model. */
#define MODEL_NAME    "default"
#define MODEL_VERSION 1

static const char *environment(const char *name)
{
    /* Read once, before there are threads. */
    return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}

static int fail(int status, const struct nb_errctx *err)
{
    fprintf(stderr, "nibbled: %s\n", err->text);
    return status;
}

static int add_table(struct table_set *set, const char *text,
                     struct nb_errctx *err)
{
    size_t name_bytes;
    const char *file;
    int rv = options_split_table(text, &name_bytes, &file, err);
    if (rv != 0) {
        return rv;
    }
    char *name = strndup(text, name_bytes);
    if (name == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "out of memory");
    }
    rv = table_set_add(set, name, file, err);
    free(name);
    return rv;
}

static int open_tables(const struct options *options, struct table_set **set,
                       struct nb_errctx *err)
{
    struct table_set *opened;
    int rv = table_set_create(MODEL_NAME, MODEL_VERSION, server_loops(options),
                              &opened);
    if (rv != 0) {
        return nb_fail(err, rv, "out of memory");
    }
    for (size_t i = 0; rv == 0 && i < options->tables.n; i++) {
        rv = add_table(opened, options->tables.items[i], err);
    }
    if (rv != 0) {
        table_set_unref(opened);
        return rv;
    }
    *set = opened;
    return 0;
}

static int run(const struct options *options)
{
    struct nb_errctx err = {"unknown error"};
    struct table_set *set = NULL;
    if (nb_isa_check(&err) != 0) {
        return fail(EXIT_USAGE, &err);
    }
    if (open_tables(options, &set, &err) != 0) {
        return fail(EXIT_FAILURE, &err);
    }
    int rv = server_run(options, set, &err);
    table_set_unref(set);
    if (rv != 0) {
        return fail(EXIT_FAILURE, &err);
    }
    log_info("exit", "status=0");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options options;
    enum options_action action;
    struct nb_errctx err;
    /* A peer that is gone is an error of the write, not a signal. */
    signal(SIGPIPE, SIG_IGN); /* NOLINT(cert-err33-c): cannot fail */
    if (options_parse(&options, argc, argv, environment, &action, &err) != 0) {
        return fail(EXIT_USAGE, &err);
    }
    if (action == OPTIONS_HELP) {
        options_print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (action == OPTIONS_VERSION) {
        printf("nibbled %s\n", nb_version());
        return EXIT_SUCCESS;
    }
    int status = run(&options);
    options_fini(&options);
    return status;
}
