/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/table/keyed_rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "quant/bytes.h"
#include "quant/checked.h"
#include "quant/key_probe.h"
#include "storage/io/atomic_file.h"
#include "storage/table/key_part.h"
#include "storage/parallel.h"

#define BLOCK_BYTES  ((size_t)1 << 20)  /* read at once */
#define BUFFER_BYTES ((size_t)64 << 10) /* of a piece, before it is written */
#define PIECE_BYTES  ((uint64_t)16 << 20)
#define PIECES_MAX   512u

struct keyed_rows {
    struct atomic_file *file; /* never named: the rows, then their pieces */
    size_t stride;
    size_t key_at;
    uint64_t n_rows;
    uint64_t digest; /* of the keys, in any order */
};

int keyed_rows_create(const char *path, size_t stride, size_t key_at,
                      struct keyed_rows **rows, struct nb_errctx *err)
{
    struct keyed_rows *created = calloc(1, sizeof(*created));
    if (created == NULL) {
        return nb_fail(err, NB_ERR_NOMEM, "%s: out of memory", path);
    }
    created->stride = stride;
    created->key_at = key_at;
    int rv = atomic_file_create(path, &created->file, err);
    if (rv != 0) {
        free(created);
        return rv;
    }
    *rows = created;
    return 0;
}

void keyed_rows_destroy(struct keyed_rows *rows)
{
    if (rows != NULL) {
        atomic_file_destroy(rows->file);
        free(rows);
    }
}

static uint64_t key_of(const struct keyed_rows *rows, const uint8_t *row)
{
    return get_u64(row + rows->key_at);
}

static int no_memory(const struct keyed_rows *rows, struct nb_errctx *err)
{
    nb_fail(err, NB_ERR_NOMEM, "%s: out of memory for the key index",
            atomic_file_path(rows->file));
    return NB_ERR_NOMEM;
}

int keyed_rows_append(struct keyed_rows *rows, const void *bytes, size_t n,
                      struct nb_errctx *err)
{
    uint64_t offset = rows->n_rows * rows->stride;
    uint64_t end;
    /* Pieces stand behind the rows. */
    if (!checked_add(rows->n_rows, n, &end) ||
        !checked_mul(end, 2 * rows->stride, &end) || end > INT64_MAX) {
        return nb_fail(err, NB_ERR_TOO_LARGE, "%s: too many rows",
                       atomic_file_path(rows->file));
    }
    int rv =
        atomic_file_write(rows->file, bytes, n * rows->stride, offset, err);
    if (rv != 0) {
        return rv;
    }
    const uint8_t *row = bytes;
    for (size_t i = 0; i < n; i++, row += rows->stride) {
        rows->digest += key_hash(key_of(rows, row), 0x6e62u);
    }
    rows->n_rows += n;
    return 0;
}

int keyed_rows_key(const struct keyed_rows *rows, uint64_t row, uint64_t *key,
                   struct nb_errctx *err)
{
    uint8_t bytes[NB_KEY_BYTES];
    int rv = atomic_file_read(rows->file, bytes, sizeof(bytes),
                              row * rows->stride + rows->key_at, err);
    if (rv == 0) {
        *key = get_u64(bytes);
    }
    return rv;
}

/* ---- one reading of the rows ----------------------------------------- */

/* Looks at a row; what is not 0 ends the reading. */
typedef int row_fn(void *arg, const uint8_t *row, uint64_t i,
                   struct nb_errctx *err);

static int for_each_row(const struct keyed_rows *rows, row_fn *each, void *arg,
                        struct nb_errctx *err)
{
    size_t max_rows =
        rows->stride < BLOCK_BYTES ? BLOCK_BYTES / rows->stride : 1;
    uint8_t *block = malloc(max_rows * rows->stride);
    if (block == NULL) {
        return no_memory(rows, err);
    }
    int rv = 0;
    for (uint64_t first = 0; first < rows->n_rows && rv == 0;) {
        uint64_t left = rows->n_rows - first;
        size_t n = left < max_rows ? (size_t)left : max_rows;
        rv = atomic_file_read(rows->file, block, n * rows->stride,
                              first * rows->stride, err);
        for (size_t i = 0; i < n && rv == 0; i++) {
            rv = each(arg, block + i * rows->stride, first + i, err);
        }
        first += n;
    }
    free(block);
    return rv;
}

/* ---- keys that stand twice ------------------------------------------- */

#define FOUND 1

struct clash_search {
    const struct keyed_rows *rows;
    struct key_clash *clash;
    unsigned n_found;
};

static int note_clash(void *arg, const uint8_t *row, uint64_t i,
                      struct nb_errctx *err)
{
    struct clash_search *search = arg;
    (void)err;
    if (key_of(search->rows, row) == search->clash->key) {
        search->clash->rows[search->n_found++] = i;
    }
    return search->n_found == 2 ? FOUND : 0;
}

/* The first two rows that have the key. */
static int fail_clash(const struct keyed_rows *rows, uint64_t key,
                      struct key_clash *clash, struct nb_errctx *err)
{
    struct clash_search search = {.rows = rows, .clash = clash};
    clash->key = key;
    int rv = for_each_row(rows, note_clash, &search, err);
    if (rv != FOUND) {
        return rv;
    }
    return nb_fail(
        err, NB_ERR_INVALID,
        "%s: key %" PRIu64 " stands twice, in rows %" PRIu64 " and %" PRIu64,
        atomic_file_path(rows->file), key, clash->rows[0], clash->rows[1]);
}

/* ---- parts ----------------------------------------------------------- */

struct sorting {
    struct keyed_rows *rows;
    unsigned threads;
    keyed_rows_fn *sorted;
    void *arg;
    struct key_index index;
    struct key_clash *clash;
    uint64_t parts_a_piece;
    uint64_t n_pieces;
    uint64_t crowded; /* a part of too many keys, or UINT64_MAX */
    uint64_t *keys;   /* of that */
    size_t n_keys;
};

static uint64_t part_of(const struct sorting *sorting, const uint8_t *row,
                        uint64_t *hash)
{
    const struct nb_keys *keys = &sorting->index.view;
    *hash = key_hash(key_of(sorting->rows, row), keys->seed);
    return key_part_of(*hash, keys->n_parts);
}

static int count_row(void *arg, const uint8_t *row, uint64_t i,
                     struct nb_errctx *err)
{
    struct sorting *sorting = arg;
    uint64_t hash;
    uint64_t part = part_of(sorting, row, &hash);
    (void)i;
    (void)err;
    if (sorting->index.parts[part].n_rows == KEY_PART_MAX) {
        sorting->crowded = part;
        return FOUND;
    }
    sorting->index.parts[part].n_rows++;
    return 0;
}

static int take_key(void *arg, const uint8_t *row, uint64_t i,
                    struct nb_errctx *err)
{
    struct sorting *sorting = arg;
    uint64_t hash;
    (void)i;
    (void)err;
    if (part_of(sorting, row, &hash) == sorting->crowded) {
        sorting->keys[sorting->n_keys++] = key_of(sorting->rows, row);
    }
    return sorting->n_keys == KEY_PART_MAX + 1 ? FOUND : 0;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int fail_unindexed(const struct sorting *sorting, struct nb_errctx *err)
{
    return nb_fail(err, NB_ERR_UNSUPPORTED,
                   "%s: there is no key index for these keys: too many hash "
                   "alike",
                   atomic_file_path(sorting->rows->file));
}

/* Keys spread: a part of too many has one of them twice, or they were chosen.
 */
static int fail_crowded(struct sorting *sorting, struct nb_errctx *err)
{
    sorting->keys = malloc((KEY_PART_MAX + 1) * sizeof(*sorting->keys));
    if (sorting->keys == NULL) {
        return no_memory(sorting->rows, err);
    }
    int rv = for_each_row(sorting->rows, take_key, sorting, err);
    if (rv == FOUND) {
        uint64_t *keys = sorting->keys;
        size_t i = 1;
        qsort(keys, sorting->n_keys, sizeof(*keys), compare_keys);
        while (i < sorting->n_keys && keys[i] != keys[i - 1]) {
            i++;
        }
        rv = i < sorting->n_keys
                 ? fail_clash(sorting->rows, keys[i], sorting->clash, err)
                 : fail_unindexed(sorting, err);
    }
    free(sorting->keys);
    return rv;
}

static int count_parts(struct sorting *sorting, struct nb_errctx *err)
{
    int rv = for_each_row(sorting->rows, count_row, sorting, err);
    if (rv != 0) {
        return rv == FOUND ? fail_crowded(sorting, err) : rv;
    }
    struct nb_key_part *parts = sorting->index.parts;
    for (uint64_t i = 1; i < sorting->index.view.n_parts; i++) {
        parts[i].first_row = parts[i - 1].first_row + parts[i - 1].n_rows;
    }
    return 0;
}

/* ---- pieces ---------------------------------------------------------- */

/* A run of parts whose rows are in memory at once. */
struct piece {
    uint64_t first_part;
    uint64_t n_parts;
    uint64_t first_row;
    size_t n_rows;
};

static struct piece piece_at(const struct sorting *sorting, uint64_t i)
{
    const struct nb_keys *keys = &sorting->index.view;
    struct piece piece = {.first_part = i * sorting->parts_a_piece};
    uint64_t left = keys->n_parts - piece.first_part;
    piece.n_parts =
        left < sorting->parts_a_piece ? left : sorting->parts_a_piece;
    const struct nb_key_part *last =
        &keys->parts[piece.first_part + piece.n_parts - 1];
    piece.first_row = keys->parts[piece.first_part].first_row;
    piece.n_rows = (size_t)(last->first_row + last->n_rows - piece.first_row);
    return piece;
}

static void choose_pieces(struct sorting *sorting)
{
    const struct keyed_rows *rows = sorting->rows;
    uint64_t n_parts = sorting->index.view.n_parts;
    uint64_t wanted = rows->n_rows * rows->stride / PIECE_BYTES + 1;
    wanted = wanted < PIECES_MAX ? wanted : PIECES_MAX;
    sorting->parts_a_piece = (n_parts - 1) / wanted + 1;
    sorting->n_pieces = (n_parts - 1) / sorting->parts_a_piece + 1;
}

/* Rows on their way to a piece. */
struct outlet {
    uint8_t *rows;
    size_t n_rows;
    uint64_t next_row; /* where these go, as a row of the sorted table */
};

struct scatter {
    struct sorting *sorting;
    struct outlet *outlets; /* one a piece */
    uint8_t *memory;        /* of their rows */
    size_t max_rows;        /* of an outlet */
};

/* A piece's rows stand behind all rows; a single piece is these themselves. */
static uint64_t piece_offset(const struct sorting *sorting, uint64_t row)
{
    const struct keyed_rows *rows = sorting->rows;
    return (sorting->n_pieces == 1 ? row : rows->n_rows + row) * rows->stride;
}

static int flush(const struct scatter *scatter, struct outlet *outlet,
                 struct nb_errctx *err)
{
    const struct sorting *sorting = scatter->sorting;
    int rv = atomic_file_write(sorting->rows->file, outlet->rows,
                               outlet->n_rows * sorting->rows->stride,
                               piece_offset(sorting, outlet->next_row), err);
    outlet->next_row += outlet->n_rows;
    outlet->n_rows = 0;
    return rv;
}

static int scatter_row(void *arg, const uint8_t *row, uint64_t i,
                       struct nb_errctx *err)
{
    struct scatter *scatter = arg;
    const struct sorting *sorting = scatter->sorting;
    size_t stride = sorting->rows->stride;
    uint64_t hash;
    struct outlet *outlet =
        &scatter
             ->outlets[part_of(sorting, row, &hash) / sorting->parts_a_piece];
    (void)i;
    memcpy(outlet->rows + outlet->n_rows * stride, row, stride);
    outlet->n_rows++;
    return outlet->n_rows == scatter->max_rows ? flush(scatter, outlet, err)
                                               : 0;
}

static int scatter_rows(struct sorting *sorting, struct nb_errctx *err)
{
    size_t stride = sorting->rows->stride;
    size_t n = (size_t)sorting->n_pieces;
    size_t max_rows = stride < BUFFER_BYTES ? BUFFER_BYTES / stride : 1;
    struct scatter scatter = {
        .sorting = sorting,
        .outlets = calloc(n, sizeof(*scatter.outlets)),
        .memory = calloc(n, max_rows * stride),
        .max_rows = max_rows,
    };
    int rv = scatter.outlets == NULL || scatter.memory == NULL
                 ? no_memory(sorting->rows, err)
                 : 0;
    for (size_t i = 0; i < n && rv == 0; i++) {
        scatter.outlets[i].rows = scatter.memory + i * max_rows * stride;
        scatter.outlets[i].next_row = piece_at(sorting, i).first_row;
    }
    if (rv == 0) {
        rv = for_each_row(sorting->rows, scatter_row, &scatter, err);
    }
    for (size_t i = 0; i < n && rv == 0; i++) {
        rv = flush(&scatter, &scatter.outlets[i], err);
    }
    free(scatter.memory);
    free(scatter.outlets);
    return rv;
}

/* ---- a piece in memory ----------------------------------------------- */

/* Arrays are as long as the piece is in rows, but for `outcomes`. */
struct piece_work {
    struct sorting *sorting;
    struct piece piece;
    uint8_t *rows;    /* in the order of the source */
    uint8_t *placed;  /* in that of the index */
    uint64_t *hashes; /* by part, then in the order of the source */
    uint32_t *from;   /* row of each hash */
    struct outcome {
        int rv;
        uint64_t twin; /* hash that stands twice, as an index of `hashes` */
    } * outcomes;      /* of each part */
};

static int piece_alloc(struct piece_work *work)
{
    size_t stride = work->sorting->rows->stride;
    size_t n = work->piece.n_rows + 1;
    work->rows = malloc(n * stride);
    work->placed = malloc(n * stride);
    work->hashes = malloc(n * sizeof(*work->hashes));
    work->from = malloc(n * sizeof(*work->from));
    work->outcomes =
        calloc((size_t)work->piece.n_parts + 1, sizeof(*work->outcomes));
    return work->rows == NULL || work->placed == NULL || work->hashes == NULL ||
                   work->from == NULL || work->outcomes == NULL
               ? NB_ERR_NOMEM
               : 0;
}

static void piece_fini(struct piece_work *work)
{
    free(work->outcomes);
    free(work->from);
    free(work->hashes);
    free(work->placed);
    free(work->rows);
}

static const struct nb_key_part *part_at(const struct piece_work *work,
                                         size_t i)
{
    return &work->sorting->index.parts[work->piece.first_part + i];
}

/* Sorts the hashes by part; `twin` of each outcome is the cursor. */
static void gather_hashes(struct piece_work *work)
{
    const struct sorting *sorting = work->sorting;
    for (size_t i = 0; i < work->piece.n_parts; i++) {
        work->outcomes[i].twin =
            part_at(work, i)->first_row - work->piece.first_row;
    }
    for (size_t i = 0; i < work->piece.n_rows; i++) {
        uint64_t hash;
        uint64_t part =
            part_of(sorting, work->rows + i * sorting->rows->stride, &hash);
        size_t at =
            (size_t)work->outcomes[part - work->piece.first_part].twin++;
        work->hashes[at] = hash;
        work->from[at] = (uint32_t)i;
    }
}

/* Builds a part of the piece and places its rows; one of several threads. */
static void build_part(void *arg, size_t i)
{
    struct piece_work *work = arg;
    struct sorting *sorting = work->sorting;
    uint64_t p = work->piece.first_part + i;
    struct nb_key_part *part = &sorting->index.parts[p];
    uint8_t *pilots = key_index_pilots(&sorting->index, p);
    size_t first = (size_t)(part->first_row - work->piece.first_row);
    const uint64_t *hashes = work->hashes + first;
    uint32_t n_buckets = sorting->index.view.n_buckets;
    size_t stride = sorting->rows->stride;
    struct outcome *outcome = &work->outcomes[i];
    struct key_part_room *room = key_part_room_create();
    struct key_twins twins;
    if (room == NULL) {
        outcome->rv = NB_ERR_NOMEM;
        return;
    }
    outcome->rv = key_part_build(room, hashes, part->n_rows, n_buckets,
                                 &part->seed, pilots, &twins);
    key_part_room_destroy(room);
    if (outcome->rv != 0) {
        outcome->twin =
            outcome->rv == NB_ERR_INVALID ? first + twins.b : UINT64_MAX;
        return;
    }
    for (uint32_t j = 0; j < part->n_rows; j++) {
        uint8_t pilot = pilots[key_bucket_of(hashes[j], n_buckets)];
        size_t to =
            first + key_slot_of(hashes[j], part->seed, pilot, part->n_rows);
        memcpy(work->placed + to * stride,
               work->rows + work->from[first + j] * stride, stride);
    }
}

/* The first part that failed speaks for all. */
static int check_outcomes(const struct piece_work *work, struct nb_errctx *err)
{
    const struct sorting *sorting = work->sorting;
    size_t i = 0;
    while (i < work->piece.n_parts && work->outcomes[i].rv == 0) {
        i++;
    }
    if (i == work->piece.n_parts) {
        return 0;
    }
    const struct outcome *outcome = &work->outcomes[i];
    if (outcome->rv == NB_ERR_INVALID) {
        size_t row = work->from[outcome->twin];
        uint64_t key =
            key_of(sorting->rows, work->rows + row * sorting->rows->stride);
        return fail_clash(sorting->rows, key, sorting->clash, err);
    }
    return outcome->rv == NB_ERR_NOMEM ? no_memory(sorting->rows, err)
                                       : fail_unindexed(sorting, err);
}

static int sort_piece(struct sorting *sorting, uint64_t i,
                      struct nb_errctx *err)
{
    const struct keyed_rows *rows = sorting->rows;
    struct piece_work work = {.sorting = sorting,
                              .piece = piece_at(sorting, i)};
    int rv = piece_alloc(&work) != 0 ? no_memory(rows, err) : 0;
    if (rv == 0) {
        rv = atomic_file_read(rows->file, work.rows,
                              work.piece.n_rows * rows->stride,
                              piece_offset(sorting, work.piece.first_row), err);
    }
    if (rv == 0) {
        gather_hashes(&work);
        parallel_run(sorting->threads, (size_t)work.piece.n_parts, build_part,
                     &work);
        rv = check_outcomes(&work, err);
    }
    if (rv == 0 && work.piece.n_rows > 0) {
        rv = sorting->sorted(sorting->arg, work.placed, work.piece.n_rows, err);
    }
    piece_fini(&work);
    return rv;
}

int keyed_rows_sort(struct keyed_rows *rows, unsigned threads,
                    keyed_rows_fn *sorted, void *arg, struct key_index *index,
                    struct key_clash *clash, struct nb_errctx *err)
{
    struct sorting sorting = {.rows = rows,
                              .threads = threads,
                              .sorted = sorted,
                              .arg = arg,
                              .clash = clash};
    if (rows->n_rows == 0) {
        return nb_fail(err, NB_ERR_INVALID, "%s: a table needs rows",
                       atomic_file_path(rows->file));
    }
    if (key_index_alloc(key_part_count(rows->n_rows),
                        key_part_buckets(rows->n_rows), &sorting.index) != 0) {
        return no_memory(rows, err);
    }
    /* Nobody can choose keys for a seed that follows from them. */
    sorting.index.view.seed = rows->digest;
    int rv = count_parts(&sorting, err);
    if (rv == 0) {
        choose_pieces(&sorting);
        rv = sorting.n_pieces > 1 ? scatter_rows(&sorting, err) : 0;
    }
    for (uint64_t i = 0; i < sorting.n_pieces && rv == 0; i++) {
        rv = sort_piece(&sorting, i, err);
    }
    if (rv != 0) {
        key_index_fini(&sorting.index);
        return rv;
    }
    *index = sorting.index;
    return 0;
}
