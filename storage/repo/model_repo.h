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
#include "storage/repo/model_version.h"

struct model_names {
    char **names; /* owned, sorted */
    size_t n;
};

/* The directories of a repository whose names could be models'. The caller
 * ends *models with model_names_fini(). -errno, NB_ERR_NOMEM. */
int model_repo_models(const char *repo, struct model_names *models,
                      struct nb_errctx *err);
void model_names_fini(struct model_names *models);

/* What is known of a version before it is opened. */
enum version_verdict {
    VERSION_OPEN, /* nothing: try it */
    VERSION_SKIP, /* that it would be in vain */
    VERSION_HAVE  /* that it is good, and needs no opening */
};

/* How model_repo_open_serving() goes about it; zeroed but `verify`, it tries
 * every version and tells nobody. */
struct serving_search {
    enum table_verify verify;
    /* `path` is the version's directory. */
    enum version_verdict (*judge)(void *arg, uint64_t version,
                                  const char *path);
    /* Told of each version that did not open, and why. */
    void (*skipped)(void *arg, uint64_t version, const char *why);
    void *arg;
};

struct serving {
    uint64_t version; /* found, or the one that failed it; 0: neither */
    bool pinned;      /* or else the highest that is whole; without a version:
                         by a pin that is wrong */
    bool empty;       /* on an error: there is no version at all */
    struct model_version *opened; /* the caller's to close; NULL: judge() said
                                     that it has it */
    char *path;                   /* its directory; the caller's to free */
};

/*
 * Opens the version to be served: the pinned one or nothing; without a pin, the
 * highest that is whole. Versions that come and go meanwhile are no error. On
 * success the caller ends *serving with serving_fini().
 * NB_ERR_NOT_FOUND: there is no version, or none is whole; NB_ERR_INVALID: of a
 * pinned one judged to be in vain; errors of model_dir_open(),
 * model_dir_pinned() and, of a pinned version, model_version_open().
 */
int model_repo_open_serving(const char *repo, const char *model,
                            const struct serving_search *search,
                            struct serving *serving, struct nb_errctx *err);
void serving_fini(struct serving *serving);

/* Is this error of opening a version one of memory or descriptors? Nothing is
 * wrong with the version then: an older one would be no better. */
bool version_error_is_shortage(int rv);

/* Pins a version that is whole, which is checked to its last byte; 0 takes the
 * pin away. Errors of model_version_open() and model_dir_pin();
 * NB_ERR_NOT_FOUND: there is no such version. */
int model_repo_pin(const char *repo, const char *model, uint64_t version,
                   struct nb_errctx *err);

#endif
