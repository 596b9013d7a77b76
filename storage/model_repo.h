/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A model repository as its readers see it: models, and the version of each
 * that is to be served. Layout and promises: storage/REPOSITORY.md. */
#ifndef NB_STORAGE_MODEL_REPO_H
#define NB_STORAGE_MODEL_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/model_version.h"

struct model_names {
    char **names; /* owned, sorted */
    size_t n;
};

/* The directories of a repository whose names could be models'. The caller
 * ends *models with model_names_fini(). -errno, NB_ERR_NOMEM. */
int model_repo_models(const char *repo, struct model_names *models,
                      struct nb_errctx *err);
void model_names_fini(struct model_names *models);

struct serving {
    uint64_t version;
    bool pinned;                  /* or else the highest that is whole */
    struct model_version *opened; /* the caller's to close */
};

/* Told of each version that was passed over, and why. */
typedef void model_repo_skipped_fn(void *arg, uint64_t version,
                                   const char *why);

/*
 * Opens the version to be served: the pinned one or nothing; without a pin, the
 * highest that is whole. `skipped` may be NULL. Versions that come and go
 * meanwhile are no error.
 * NB_ERR_NOT_FOUND: there is no version, or none is whole; errors of
 * model_dir_open(), model_dir_pinned() and, of a pinned version,
 * model_version_open().
 */
int model_repo_open_serving(const char *repo, const char *model,
                            enum table_verify verify,
                            model_repo_skipped_fn *skipped, void *arg,
                            struct serving *serving, struct nb_errctx *err);

/* Pins a version that is whole, which is checked to its last byte; 0 takes the
 * pin away. Errors of model_version_open() and model_dir_pin();
 * NB_ERR_NOT_FOUND: there is no such version. */
int model_repo_pin(const char *repo, const char *model, uint64_t version,
                   struct nb_errctx *err);

#endif
