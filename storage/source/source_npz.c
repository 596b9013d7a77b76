/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A matrix of a NumPy .npz file: a zip file with an .npy file for each array,
 * stored or deflated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/source/matrix_source.h"
#include "storage/source/npy_reader.h"
#include "storage/source/tensor_choice.h"
#include "storage/source/zip_archive.h"
#include "storage/source/zip_stream.h"

#define SUFFIX         ".npy"
#define SUFFIX_BYTES   4u
#define NAME_BYTES_MAX 4096u

struct npz_source {
    struct matrix_source matrix;
    char *name; /* path and member, for messages */
    struct zip_stream stream;
};

static struct npz_source *npz_of(struct source *source)
{
    return (struct npz_source *)source;
}

static int npz_read_exactly(struct source *source, void *to, size_t n,
                            struct nb_errctx *err)
{
    return zip_stream_read(&npz_of(source)->stream, to, n, err);
}

/* ---- an array ------------------------------------------------------------ */

/* Path and member, for messages. */
static int set_name(struct npz_source *npz, const char *member,
                    struct nb_errctx *err)
{
    const char *path = npz->matrix.base.path;
    struct tensor_shown shown = tensor_show(member);
    size_t room = strlen(path) + sizeof(": ") + strlen(shown.text);
    free(npz->name);
    npz->name = malloc(room);
    if (npz->name == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    snprintf(npz->name, room, "%s: %s", path, shown.text);
    npz->stream.name = npz->name;
    return 0;
}

/* Reads the header of a member's array, which becomes the current one. */
static int open_member(struct npz_source *npz, const struct zip_archive *zip,
                       const struct zip_member *member, const char *name,
                       struct matrix_shape *shape, struct nb_errctx *err)
{
    struct source *source = &npz->matrix.base;
    struct npy_header header;
    uint64_t offset;
    int rv = set_name(npz, name, err);
    if (rv == 0) {
        rv = zip_locate(zip, member, &offset, err);
    }
    if (rv == 0) {
        rv = zip_stream_start(&npz->stream, source, member, offset, err);
    }
    if (rv == 0) {
        rv = npy_read_header(source, npz_read_exactly, npz->name, &header, err);
    }
    if (rv == 0) {
        rv = npy_as_matrix(&header, npz->name, shape, err);
    }
    if (rv == 0) {
        rv = npy_check_extent(&header, npz->name, value_bytes(shape->type),
                              member->bytes, err);
    }
    return rv;
}

/* ---- choosing one -------------------------------------------------------- */

/* The name of the array in a member; false if it is not an array. */
static bool array_name(const struct zip_member *member,
                       char name[NAME_BYTES_MAX + 1])
{
    size_t n = member->name_bytes;
    if (n < SUFFIX_BYTES || n - SUFFIX_BYTES > NAME_BYTES_MAX ||
        memcmp(member->name + n - SUFFIX_BYTES, SUFFIX, SUFFIX_BYTES) != 0) {
        return false;
    }
    memcpy(name, member->name, n - SUFFIX_BYTES);
    name[n - SUFFIX_BYTES] = '\0';
    return true;
}

/* A zip file's member that is an array. */
struct array {
    struct zip_member member;
    char name[NAME_BYTES_MAX + 1];
};

/* The next member that is an array. *checkpoint is set when PyTorch's pickle is
 * passed by. */
static int next_array(struct zip_archive *zip, struct array *array, bool *more,
                      bool *checkpoint, struct nb_errctx *err)
{
    static const char pickle[] = "/data.pkl";
    size_t n = sizeof(pickle) - 1;
    const struct zip_member *member = &array->member;
    for (;;) {
        int rv = zip_next(zip, &array->member, more, err);
        if (rv != 0 || !*more || array_name(member, array->name)) {
            return rv;
        }
        if (member->name_bytes >= n &&
            memcmp(member->name + member->name_bytes - n, pickle, n) == 0) {
            *checkpoint = true;
        }
    }
}

/* Looks for the array that was asked for, by names alone. */
static int find_array(struct zip_archive *zip, const char *wanted,
                      struct array *found, bool *is_found,
                      struct nb_errctx *err)
{
    struct array *array = calloc(1, sizeof(*array));
    if (array == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", zip->path);
    }
    bool more = true;
    bool checkpoint;
    int rv = 0;
    *is_found = false;
    while (rv == 0) {
        rv = next_array(zip, array, &more, &checkpoint, err);
        if (rv != 0 || !more) {
            break;
        }
        if (strcmp(array->name, wanted) != 0) {
            continue;
        }
        if (*is_found) {
            rv = nb_fail(err, NB_ERR_SOURCE, "%s: two arrays are called '%s'",
                         zip->path, tensor_show(wanted).text);
        }
        *found = *array;
        *is_found = true;
    }
    free(array);
    return rv;
}

/* What the arrays of a file are, all together. */
struct survey {
    struct tensor_choice choice;
    uint64_t n_arrays;
    int why_not;     /* error of the last one, 0 if it is a matrix */
    bool checkpoint; /* PyTorch's pickle is there */
};

/* Looks at every array, for the only one that is a matrix. */
static int look_at_all(struct npz_source *npz, struct zip_archive *zip,
                       struct survey *survey, struct array *found,
                       struct nb_errctx *err)
{
    struct array *array = calloc(1, sizeof(*array));
    if (array == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", zip->path);
    }
    bool more = true;
    int rv = 0;
    for (;;) {
        rv = next_array(zip, array, &more, &survey->checkpoint, err);
        if (rv != 0 || !more) {
            break;
        }
        struct matrix_shape shape = {0};
        rv = open_member(npz, zip, &array->member, array->name, &shape, err);
        if (rv != 0 && rv != NB_ERR_UNSUPPORTED) {
            break;
        }
        survey->n_arrays++;
        survey->why_not = rv;
        if (tensor_choice_offer(&survey->choice, array->name, rv == 0)) {
            *found = *array;
        }
    }
    free(array);
    return rv;
}

static int find_matrix(struct npz_source *npz, struct zip_archive *zip,
                       const char *wanted, struct array *found,
                       struct nb_errctx *err)
{
    struct survey survey = {.choice.wanted = wanted};
    int rv = look_at_all(npz, zip, &survey, found, err);
    if (rv != 0) {
        return rv;
    }
    if (survey.checkpoint) {
        return nb_fail(err, NB_ERR_UNSUPPORTED,
                       "%s: a PyTorch checkpoint; ckpt_to_safetensors.py "
                       "makes a file of it that is read",
                       zip->path);
    }
    if (survey.n_arrays == 1 && survey.why_not != 0 && wanted == NULL) {
        return survey.why_not; /* *err says why the only array is no matrix */
    }
    return tensor_choice_check(&survey.choice, zip->path, err);
}

static int choose(struct npz_source *npz, struct zip_archive *zip,
                  struct array *array, struct nb_errctx *err)
{
    const char *wanted = npz->matrix.base.options->tensor;
    if (wanted != NULL) {
        bool is_found = false;
        int rv = find_array(zip, wanted, array, &is_found, err);
        if (rv != 0 || is_found) {
            return rv;
        }
        zip_rewind(zip);
    }
    return find_matrix(npz, zip, wanted, array, err);
}

/* Chooses an array and reads its header. */
static int open_array(struct npz_source *npz, struct zip_archive *zip,
                      struct matrix_shape *shape, struct nb_errctx *err)
{
    struct array *array = calloc(1, sizeof(*array));
    if (array == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", zip->path);
    }
    int rv = choose(npz, zip, array, err);
    if (rv == 0) {
        rv = open_member(npz, zip, &array->member, array->name, shape, err);
    }
    free(array);
    return rv;
}

static int npz_init(struct source *source, struct nb_errctx *err)
{
    struct zip_archive zip;
    int rv = zip_open(source->fd, source->file_bytes, source->path, &zip, err);
    if (rv != 0) {
        return rv;
    }
    struct matrix_shape shape = {0};
    rv = open_array(npz_of(source), &zip, &shape, err);
    zip_close(&zip);
    return rv == 0 ? matrix_begin(source, &shape, npz_read_exactly, err) : rv;
}

static int npz_rewind(struct source *source, struct nb_errctx *err)
{
    struct npz_source *npz = npz_of(source);
    struct npy_header header;
    npz->matrix.rows_left = source->n_rows;
    int rv = zip_stream_rewind(&npz->stream, err);
    return rv == 0 ? npy_read_header(source, npz_read_exactly, npz->name,
                                     &header, err)
                   : rv;
}

static void npz_fini(struct source *source)
{
    struct npz_source *npz = npz_of(source);
    zip_stream_fini(&npz->stream);
    free(npz->name);
    matrix_fini(source);
}

const struct source_format source_npz = {
    .name = "npz",
    .has_tensors = true,
    .struct_bytes = sizeof(struct npz_source),
    .probe = zip_has_magic,
    .init = npz_init,
    .read = matrix_read,
    .rewind = npz_rewind,
    .fini = npz_fini,
};
