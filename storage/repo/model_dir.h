/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The directory of a model in a repository: its versions, its pin, and the
 * hidden directories of what is being published or deleted. How they are used
 * together, and why that survives a crash: storage/REPOSITORY.md.
 */
#ifndef NB_STORAGE_MODEL_DIR_H
#define NB_STORAGE_MODEL_DIR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/nibble.h"

#define MODEL_DIR_SERVING "SERVING" /* holds the pinned version */

struct model_dir {
    char *path; /* REPO/MODEL */
    int fd;
};

struct version_list {
    uint64_t *versions; /* ascending */
    size_t n;
};

/* Opens REPO/MODEL, which must not be a symbolic link. On success the caller
 * ends *dir with model_dir_close(). -errno, NB_ERR_INVALID (the name),
 * NB_ERR_NOMEM. */
int model_dir_open(const char *repo, const char *model, struct model_dir *dir,
                   struct nb_errctx *err);
/* The same, and makes the model's directory if it is not there. */
int model_dir_create(const char *repo, const char *model, struct model_dir *dir,
                     struct nb_errctx *err);
void model_dir_close(struct model_dir *dir);

/* Waits for the lock that writers hold for short steps: a number is taken, a
 * pin is set, something is hidden. Ends with model_dir_unlock(), or with the
 * process. -errno. */
int model_dir_lock(const struct model_dir *dir, struct nb_errctx *err);
void model_dir_unlock(const struct model_dir *dir);

/* The directories named by a version. The caller ends *list with
 * version_list_fini(). -errno, NB_ERR_NOMEM. */
int model_dir_versions(const struct model_dir *dir, struct version_list *list,
                       struct nb_errctx *err);
void version_list_fini(struct version_list *list);
bool version_list_has(const struct version_list *list, uint64_t version);

/* Is there for certain no directory of that version? Without listing them: it
 * is asked of one version after the other. */
bool model_dir_lacks(const struct model_dir *dir, uint64_t version);

/* Does anything, a version or not, have that version's name? -errno. */
int model_dir_has_name(const struct model_dir *dir, uint64_t version, bool *has,
                       struct nb_errctx *err);

/* The pinned version; 0: none is. -errno, NB_ERR_FORMAT (SERVING holds no
 * version), NB_ERR_UNSUPPORTED (it is no regular file). */
int model_dir_pinned(const struct model_dir *dir, uint64_t *version,
                     struct nb_errctx *err);
/* Under the lock. 0 takes the pin away. -errno, NB_ERR_NOMEM. */
int model_dir_pin(const struct model_dir *dir, uint64_t version,
                  struct nb_errctx *err);

/* REPO/MODEL/NAME, REPO/MODEL/VERSION; the caller frees *path. NB_ERR_NOMEM. */
int model_dir_join(const struct model_dir *dir, const char *name, char **path,
                   struct nb_errctx *err);
int model_dir_version_path(const struct model_dir *dir, uint64_t version,
                           char **path, struct nb_errctx *err);

/* ---- hidden directories ---------------------------------------------- */

/* One that a version is built in. Nobody sweeps it while it is held. */
struct model_stage {
    char name[NAME_MAX + 1]; /* "" once it is a version, or removed */
    int fd;                  /* holds its lock */
};

/* Under the lock. The caller ends *stage with model_stage_close(). -errno. */
int model_stage_open(const struct model_dir *dir, struct model_stage *stage,
                     struct nb_errctx *err);

/* Under the lock: the directory becomes that version, unless there is one:
 * -EEXIST. Other -errno; if only syncing failed, it is the version. */
int model_stage_commit(const struct model_dir *dir, struct model_stage *stage,
                       uint64_t version, struct nb_errctx *err);

/* Removes the directory if it is no version. */
void model_stage_close(const struct model_dir *dir, struct model_stage *stage);

/* Under the lock: hides a version from everybody; model_dir_sweep() deletes
 * it. -errno. */
int model_dir_hide_version(const struct model_dir *dir, uint64_t version,
                           struct nb_errctx *err);

/* Under the lock: hides what killed writers left behind. -errno. */
int model_dir_hide_leftovers(const struct model_dir *dir,
                             struct nb_errctx *err);

/* Deletes what is hidden for that; several may at a time. -errno. */
int model_dir_sweep(const struct model_dir *dir, struct nb_errctx *err);

#endif
