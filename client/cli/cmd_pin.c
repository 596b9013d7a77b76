/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/command.h"
#include "client/cli/option_table.h"
#include "storage/repo/model_repo.h"

struct pin_args {
    const char *repo;
    const char *model;
    uint64_t version; /* 0: not given */
    bool latest;
};

static const struct option_row rows[] = {
    {.name = "repo",
     .type = OPTION_TEXT,
     .offset = offsetof(struct pin_args, repo),
     .value = "DIR",
     .required = true,
     .help = "the model repository"},
    {.name = "model",
     .type = OPTION_TEXT,
     .offset = offsetof(struct pin_args, model),
     .value = "NAME",
     .required = true,
     .help = "a model in it"},
    {.name = "version",
     .type = OPTION_NUMBER,
     .offset = offsetof(struct pin_args, version),
     .value = "N",
     .min = 1,
     .max = UINT64_MAX,
     .help = "serve this version, whatever is published"},
    {.name = "latest",
     .type = OPTION_FLAG,
     .offset = offsetof(struct pin_args, latest),
     .help = "take the pin away: serve the highest version that is whole"},
};

static const struct option_table table = {
    .command = "pin",
    .about =
        "Chooses which version of a model is served: --version rolls back, or "
        "forward; --latest follows what is published. The choice is a file of "
        "the repository and survives restarts. A version that is not there, or "
        "not whole to its last byte, is refused. A pinned version is never "
        "deleted by 'nibble publish --keep'.",
    .example = "  nibble pin --repo models --model ranking --version 41\n"
               "  nibble pin --repo models --model ranking --latest",
    .groups = {OPTION_GROUP(rows, 0)},
};

int cmd_pin(int argc, char **argv)
{
    struct pin_args args = {0};
    int status;
    if (!options_parse(&table, argc, argv, &args, &status)) {
        return status;
    }
    if ((args.version != 0) == args.latest) {
        return command_misused("pin",
                               "give one of --version and --latest, not %s",
                               args.latest ? "both" : "none");
    }
    struct nb_errctx err = {""};
    int rv = model_repo_pin(args.repo, args.model, args.version, &err);
    if (rv != 0) {
        return command_fail("pin", rv, &err);
    }
    if (args.latest) {
        printf("%s/%s: not pinned, the highest whole version is served\n",
               args.repo, args.model);
    } else {
        printf("%s/%s: pinned to version %" PRIu64 "\n", args.repo, args.model,
               args.version);
    }
    return COMMAND_DONE;
}
