/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* nibbled: serves quantized embedding tables. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/net/descriptors.h"
#include "server/models/follower.h"
#include "server/models/load_files.h"
#include "server/log/log.h"
#include "server/settings/options.h"
#include "server/models/reaper.h"
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

/* A name that is misspelt would be ignored. Its value may be nobody's to see.
 */
static void warn_of_variables(void)
{
    for (char **entry = environ; *entry != NULL; entry++) {
        size_t bytes = options_unknown_variable(*entry);
        if (bytes > 0) {
            char name[128];
            struct log_text quoted;
            snprintf(name, sizeof(name), "%.*s",
                     (int)(bytes < sizeof(name) ? bytes : sizeof(name) - 1),
                     *entry);
            log_warn("unknown-variable",
                     "name=%s why=\"no option is so called\"",
                     log_quote(name, &quoted));
        }
    }
}

static int serve_files(const struct options *options, struct nb_errctx *err)
{
    struct catalog *catalog;
    int rv = load_files(options, server_loops(options), &catalog, err);
    if (rv == 0) {
        rv = server_run(options, catalog, NULL, err);
    }
    return rv;
}

static int serve_repo(const struct options *options, struct nb_errctx *err)
{
    struct reaper *reaper;
    struct follower *follower;
    int rv = reaper_create(&reaper);
    if (rv != 0) {
        return nb_fail(err, rv, "cannot start: %s", nb_strerror(rv));
    }
    rv =
        follower_create(options, server_loops(options), reaper, &follower, err);
    if (rv == 0) {
        rv = server_run(options, follower_catalog(follower), follower, err);
        follower_destroy(follower);
    }
    reaper_destroy(reaper);
    return rv;
}

static int run(const struct options *options)
{
    struct nb_errctx err = {"unknown error"};
    if (nb_isa_check(&err) != 0) {
        return fail(EXIT_USAGE, &err);
    }
    int rv = options->repo[0] != '\0' ? serve_repo(options, &err)
                                      : serve_files(options, &err);
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
    if (action == OPTIONS_MAN) {
        options_print_man(stdout);
        return printed();
    }
    if (action == OPTIONS_CHECK) {
        warn_of_variables();
        options_print_config(&options, stdout);
        options_fini(&options);
        return printed();
    }
    if (action == OPTIONS_VERSION) {
        printf("nibbled %s\n", nb_version());
        return printed();
    }
    if (strcmp(options.log_format, "json") == 0) {
        log_as_json();
    }
    warn_of_variables();
    options.loops = server_loops(&options); /* as many as the log says */
    descriptors_raise_limit();
    free_to_system();
    int status = run(&options);
    options_fini(&options);
    return status;
}
