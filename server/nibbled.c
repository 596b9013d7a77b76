/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* nibbled: serves quantized embedding tables. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/descriptors.h"
#include "server/load_models.h"
#include "server/log.h"
#include "server/options.h"
#include "server/server.h"

#define EXIT_USAGE 2

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

static int run(const struct options *options)
{
    struct nb_errctx err = {"unknown error"};
    struct catalog *catalog = NULL;
    if (nb_isa_check(&err) != 0) {
        return fail(EXIT_USAGE, &err);
    }
    if (load_models(options, server_loops(options), &catalog, &err) != 0) {
        return fail(EXIT_FAILURE, &err);
    }
    int rv = server_run(options, catalog, &err);
    catalog_unref(catalog);
    if (rv != 0) {
        return fail(EXIT_FAILURE, &err);
    }
    log_info("exit", "status=0");
    return EXIT_SUCCESS;
}

/* What standard output was given must have got there. */
static int printed(void)
{
    struct nb_errctx err;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return EXIT_SUCCESS;
    }
    nb_fail(&err, -errno, "standard output: %s", nb_strerror(-errno));
    return fail(EXIT_FAILURE, &err);
}

/* A peer that is gone, a pipe that is closed, a log file over the limit of
 * file sizes: errors of the write, not signals. */
static void ignore_signals(void)
{
    signal(SIGPIPE, SIG_IGN); /* NOLINT(cert-err33-c): cannot fail */
    signal(SIGXFSZ, SIG_IGN); /* NOLINT(cert-err33-c): cannot fail */
}

/* What of large buffers is not kept goes back to the system, whatever their
 * sizes have been: otherwise --max-memory would not bound what is resident. */
static void free_to_system(void)
{
    mallopt(M_MMAP_THRESHOLD, /* NOLINT(concurrency-mt-unsafe): no threads */
            64 << 10);
}

int main(int argc, char **argv)
{
    struct options options;
    enum options_action action;
    struct nb_errctx err;
    ignore_signals();
    if (descriptors_open_standard() != 0) {
        return EXIT_FAILURE; /* with nowhere to say so */
    }
    if (options_parse(&options, argc, argv, environment, &action, &err) != 0) {
        return fail(EXIT_USAGE, &err);
    }
    if (action == OPTIONS_HELP) {
        options_print_help(stdout);
        return printed();
    }
    if (action == OPTIONS_VERSION) {
        printf("nibbled %s\n", nb_version());
        return printed();
    }
    options.loops = server_loops(&options); /* as many as the log says */
    descriptors_raise_limit();
    free_to_system();
    int status = run(&options);
    options_fini(&options);
    return status;
}
