/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * libnibble: row-wise quantized embedding rows, memory to memory.
 *
 * Nothing here opens a file, starts a thread, logs or allocates from the heap.
 * Every function is thread-safe: the library keeps no state but the kernels it
 * chose, once, for this processor. Matrices are row-major. All pointers are
 * borrowed for the call only. Unless a function says otherwise, buffers may
 * have any alignment and must not overlap.
 *
 * Fallible functions return 0 or a negative code of NB_ERR_MAP. Out-parameters
 * come last and are written only on success.
 */
#ifndef NB_QUANT_NIBBLE_H
#define NB_QUANT_NIBBLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NB_API __attribute__((visibility("default")))
#else
#define NB_API
#endif

/* ---- errors ---------------------------------------------------------- */

/*
 * ERR(number, name, text). One list for every folder and every user of the
 * library. A number never changes meaning. The codes lie below those of
 * -errno, so that both share one int.
 */
#define NB_ERR_MAP(ERR)                                                        \
    ERR(-20001, NOMEM, "out of memory")                                        \
    ERR(-20002, INVALID, "invalid argument")                                   \
    ERR(-20003, NOT_FOUND, "not found")                                        \
    ERR(-20004, UNSEEN, "id not in the table")                                 \
    ERR(-20005, UNSUPPORTED, "not supported")                                  \
    ERR(-20006, NONFINITE, "value is not finite")                              \
    ERR(-20007, OVERFLOW, "value does not fit the row's scale type")           \
    ERR(-20008, TOO_LARGE, "over a limit")                                     \
    ERR(-20020, MAGIC, "not a nibble table file")                              \
    ERR(-20021, VERSION, "made by a newer version")                            \
    ERR(-20022, TRUNCATED, "shorter than it says")                             \
    ERR(-20023, FORMAT, "malformed table file")                                \
    ERR(-20024, CHECKSUM, "checksum mismatch")                                 \
    ERR(-20025, SOURCE, "malformed source")                                    \
    ERR(-20040, FRAME, "malformed frame")                                      \
    ERR(-20041, MESSAGE, "malformed message")                                  \
    ERR(-20042, REMOTE, "the server answered with an error")                   \
    ERR(-20043, TIMEOUT, "deadline exceeded")                                  \
    ERR(-20044, CLOSED, "connection closed by the peer")                       \
    ERR(-20045, EXHAUSTED, "too many requests are unanswered")                 \
    ERR(-20046, CANCELLED, "cancelled")

enum nb_err {
#define ERR(number, name, text) NB_ERR_##name = (number),
    NB_ERR_MAP(ERR)
#undef ERR
};

/* Text of a code of NB_ERR_MAP or of a -errno; never NULL, static storage. */
NB_API const char *nb_strerror(int code);

/* What failed and where, for a person: one line, no newline, always
 * terminated. May be passed as NULL wherever a function takes one. */
struct nb_errctx {
    char text[256];
};

/* Formats into *err (cut to fit; err may be NULL) and returns `code`, so that a
 * failing function ends in `return nb_fail(err, NB_ERR_X, "...")`. */
NB_API int nb_fail(struct nb_errctx *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- row formats ----------------------------------------------------- */

#define NB_DIM_MAX 65536u /* values a row */

enum nb_dtype {
    NB_FP32 = 0,
    NB_FP16 = 1,
    NB_BF16 = 2,
    NB_PACKED = 3
};
enum nb_pooling {
    NB_SUM = 0,
    NB_MEAN = 1,
    NB_MAX = 2
};

/* Type of the numbers stored with a row: scale and bias, or codebook. */
enum nb_scales {
    NB_SCALES_FP16 = 0,
    NB_SCALES_FP32 = 1
};

/* How every row of a table is stored. A plain parameter struct. */
struct nb_format {
    uint32_t codec;  /* id of codec/codecs.def, as stored in files */
    uint32_t dim;    /* values a row, 1..NB_DIM_MAX */
    uint32_t scales; /* enum nb_scales; not every codec has both */
};

/* Id of the codec called `name`; NB_ERR_NOT_FOUND. */
NB_API int nb_codec_by_name(const char *name, uint32_t *id);
/* Name of a codec; NULL if there is none of that id. */
NB_API const char *nb_codec_name(uint32_t id);
/* Name of the i-th codec, for listing; NULL past the end. */
NB_API const char *nb_codec_at(size_t i);

/* What choices a codec leaves. A plain result struct. */
struct nb_codec_traits {
    uint32_t scales;  /* enum nb_scales, to use unless told otherwise */
    int other_scales; /* whether the other type can be used too */
    int searched;     /* whether a range search has a meaning */
    int trained;      /* whether tables have codebooks: nb_train() */
};

/* NB_ERR_NOT_FOUND if there is no codec of that id. */
NB_API int nb_codec_traits(uint32_t id, struct nb_codec_traits *traits);

/* Bytes of one encoded row, without padding. NB_ERR_INVALID if a field of the
 * format is out of range, NB_ERR_UNSUPPORTED if the codec is not known. */
NB_API int nb_row_bytes(const struct nb_format *format, size_t *bytes);

/* Bytes of a value; 0 for NB_PACKED and for what is not a dtype. */
NB_API size_t nb_dtype_bytes(uint32_t dtype);

/* ---- parameters of a table ------------------------------------------- */

#define NB_CODEBOOKS_MAX 65536u /* of a table */
#define NB_LEVELS_MAX    32u    /* of a codebook */

/*
 * What all rows of a table share, trained when it was quantized. A plain
 * parameter struct; NULL where a table has none of it.
 * A value is stored as z = (x - mean) / scale of its column, and decoded as
 * scale * z + mean.
 */
struct nb_params {
    const float *column_mean;  /* dim values */
    const float *column_scale; /* dim values; NULL: ones. Not without a mean */
    const float *codebooks;    /* n_codebooks x n_levels, row-major */
    uint32_t n_codebooks;
    uint32_t n_levels;
};

/* Checks parameters from elsewhere against the format, every value of them:
 * there is what the codec needs and nothing else, means are finite, scales
 * finite and greater than 0. params may be NULL: none. NB_ERR_INVALID, and *err
 * says which; or as nb_row_bytes(). */
NB_API int nb_params_check(const struct nb_format *format,
                           const struct nb_params *params,
                           struct nb_errctx *err);

/* ---- quantizing ------------------------------------------------------ */

/* A range search of search/searches.def by name; NB_ERR_NOT_FOUND. Ids are for
 * this process only: files record the name. */
NB_API int nb_search_by_name(const char *name, uint32_t *id);
NB_API const char *nb_search_name(uint32_t id);
/* Name of the i-th search, for listing; NULL past the end. */
NB_API const char *nb_search_at(size_t i);

/*
 * Checks that n_rows x dim values can be encoded: each finite
 * (NB_ERR_NONFINITE) and, as it is stored, within the range of the scale type
 * (NB_ERR_OVERFLOW: |z| > 65504 with fp16, > FLT_MAX/4 with fp32). On error
 * *at is the index of the first offending value, row * dim + column. A bad
 * format or bad column parameters (NULL: none) fail as in nb_encode(), and *at
 * is not written. Codebooks are not looked at.
 */
NB_API int nb_check_values(const struct nb_format *format,
                           const struct nb_params *params, const float *x,
                           size_t n_rows, size_t *at);

/*
 * Encodes n_rows x dim values that pass nb_check_values (others give
 * unspecified codes, nothing worse) into rows `stride` bytes apart; bytes
 * between rows are not written. Deterministic: the same on every instruction
 * set, whatever the split of a table into calls. `search` is ignored where the
 * codec has no use for one.
 * NB_ERR_INVALID: stride < row bytes, unknown search, parameters (NULL: none)
 * that are not those of the codec; or as nb_row_bytes().
 */
NB_API int nb_encode(const struct nb_format *format,
                     const struct nb_params *params, uint32_t search,
                     const float *x, size_t n_rows, void *rows, size_t stride);

/* What to train codebooks on. A plain parameter struct. */
struct nb_training {
    struct nb_format format;
    const float *z; /* n_rows x dim values as they are stored, that pass
                     * nb_check_values() */
    size_t n_rows;
    uint32_t n_codebooks; /* 0: as many as the codec usually has */
};

/* How many codebooks of how many levels nb_train() makes, in *shape, and bytes
 * of memory it works in. NB_ERR_INVALID: no rows, a codec without codebooks or
 * that cannot have so many; or as nb_row_bytes(). */
NB_API int nb_train_sizes(const struct nb_training *training,
                          struct nb_params *shape, size_t *work_bytes);

/* Trains codebooks on a sample of a table's rows. `work` is aligned as malloc()
 * does. Deterministic, the same on every instruction set. Errors as above. */
NB_API int nb_train(const struct nb_training *training, void *work,
                    float *codebooks);

/* Error of one row, in double. Sums are of eight lanes, column i in lane i % 8,
 * folded in halves: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)). */
struct nb_row_error {
    double sq_err;  /* sum of (x - y)^2 */
    double sq_x;    /* sum of x^2 */
    double sq_y;    /* sum of y^2 */
    double dot;     /* sum of x*y */
    double max_abs; /* max |x - y| */
};

/* Compares a row with its decoded form; x and y of dim values. */
NB_API void nb_row_error(const float *x, const float *y, size_t dim,
                         struct nb_row_error *error);

/* ---- keyed tables ---------------------------------------------------- */

#define NB_KEY_BYTES 8u /* of the key behind an encoded row, little-endian */
#define NB_KEY_SEEDS (1u << 24)

/* A part of the keys, and of the rows. */
struct nb_key_part {
    uint64_t first_row;
    uint32_t n_rows;
    uint32_t seed; /* below NB_KEY_SEEDS */
};

/*
 * Where the row of a 64-bit key is: a minimal perfect hash, storage/FORMAT.md
 * "Key index". Of a key that is not in the table it names some row, or none;
 * the key that stands behind the row decides. A plain parameter struct.
 */
struct nb_keys {
    uint64_t seed;
    uint64_t n_parts;   /* 1 or more */
    uint32_t n_buckets; /* of a part, 1 or more */
    const struct nb_key_part *parts;
    const uint8_t *pilots; /* n_parts x n_buckets */
};

/* Checks an index from elsewhere: parts follow each other and are n_rows rows
 * together, so that whatever the pilots are no other row is touched. Who gives
 * rows with keys to a function has called this. NB_ERR_INVALID, and *err says
 * which part. */
NB_API int nb_keys_check(const struct nb_keys *keys, uint64_t n_rows,
                         struct nb_errctx *err);

/* ---- protected rows -------------------------------------------------- */

/* Which of so many rows are protected: bit i % 64 of bits[i / 64] stands for
 * the i-th. One cache line; the same bytes in a file. */
#define NB_PROTECTED_ROWS 448u
struct nb_protected_block {
    uint64_t before; /* protected rows of the blocks before */
    uint64_t bits[7];
};

/*
 * Rows that are kept more precisely, by a second row each: what the first lost
 * (Liu et al. 2020, "Post-training Quantization with Multiple Points"). The
 * value of a protected row is the sum of a bag of both. A plain parameter
 * struct.
 */
struct nb_protected {
    const struct nb_protected_block *blocks; /* for each NB_PROTECTED_ROWS rows
                                              * and what is left of them */
    const void *residuals; /* rows of the same format and codebooks, those of
                            * the protected rows in order; columns are not
                            * transformed twice */
    uint64_t n;
    size_t stride; /* of the residuals, >= row bytes */
};

/* Checks blocks from elsewhere: that there are as many residual rows as
 * protected ones. Who gives rows with protected ones to a function has called
 * this. NB_ERR_INVALID, and *err says which block. */
NB_API int nb_protected_check(const struct nb_protected *protect,
                              uint64_t n_rows, struct nb_errctx *err);

/* ---- decoding and pooling -------------------------------------------- */

/* Encoded rows in memory. A plain parameter struct. */
struct nb_rows {
    struct nb_format format;
    const void *base; /* row 0 */
    uint64_t n_rows;
    size_t stride;                  /* bytes from row to row, >= row bytes */
    const struct nb_params *params; /* NULL: none */
    const struct nb_keys *keys; /* NULL: none, an id is a row number. Otherwise
                                 * each row has its key behind its row bytes,
                                 * and stride >= row bytes + NB_KEY_BYTES */
    const struct nb_protected *protect; /* NULL: none */
};

/* Ids of a request: exactly one pointer is set (neither if n == 0). Aligned to
 * their type. An id is a row number, one >= n_rows is unseen; or, of rows that
 * have keys, a key. */
struct nb_ids {
    const uint64_t *u64;
    const uint32_t *u32;
    size_t n;
};

/* What an unseen id does. */
enum nb_unseen {
    NB_UNSEEN_ZERO = 0,    /* contributes nothing; a row of zeros in a lookup */
    NB_UNSEEN_DEFAULT = 1, /* stands for the row `default_row` */
    NB_UNSEEN_ERROR = 2    /* fails the call with NB_ERR_UNSEEN */
};

struct nb_unseen_policy {
    uint32_t action;      /* enum nb_unseen */
    uint64_t default_row; /* < n_rows; used by NB_UNSEEN_DEFAULT only */
};

struct nb_lookup {
    struct nb_ids ids;
    uint32_t dtype; /* enum nb_dtype; NB_PACKED copies the encoded row, not of
                     * tables with protected rows (NB_ERR_UNSUPPORTED) */
    struct nb_unseen_policy unseen;
};

struct nb_pool {
    struct nb_ids ids;
    const uint32_t *lengths; /* ids in each bag; they sum to ids.n */
    size_t n_bags;
    const float *weights; /* one an id, or NULL; not with NB_MAX */
    uint32_t pooling;     /* enum nb_pooling */
    uint32_t dtype;       /* enum nb_dtype but NB_PACKED */
    struct nb_unseen_policy unseen;
};

/*
 * Decodes one row an id, in order, into `out`: ids.n x dim values of dtype, or
 * ids.n x row bytes if NB_PACKED. *unseen counts the ids not in the table.
 * NB_ERR_INVALID, NB_ERR_UNSUPPORTED (codec), NB_ERR_UNSEEN; on error the
 * contents of `out` are unspecified.
 */
NB_API int nb_lookup(const struct nb_rows *rows, const struct nb_lookup *lookup,
                     void *out, uint64_t *unseen);

/*
 * Pools each bag into one row of `out`: n_bags x dim values of dtype.
 *   sum   w_0 x_0 + w_1 x_1 + ...      (w = 1 without weights)
 *   mean  the sum divided by the bag's length, unseen ids included
 *   max   the greatest of the seen rows, value by value
 * An empty bag, and a bag of unseen ids under NB_UNSEEN_ZERO, gives zeros.
 * The order of operations is that of storage/FORMAT.md, "Arithmetic": results
 * are the same bits on every instruction set (a NaN may be any NaN).
 * Errors as nb_lookup, and NB_ERR_INVALID if the lengths do not sum to ids.n or
 * weights come with NB_MAX.
 */
NB_API int nb_pool(const struct nb_rows *rows, const struct nb_pool *pool,
                   void *out, uint64_t *unseen);

/* Decodes n_rows consecutive rows from row `first` on: n_rows x dim values of
 * dtype (NB_PACKED: without padding). NB_ERR_INVALID if they are not all there.
 */
NB_API int nb_decode(const struct nb_rows *rows, uint64_t first, size_t n_rows,
                     uint32_t dtype, void *out);

/* ---- the processor --------------------------------------------------- */

/* Instruction set of the kernels in use: "avx512", "avx2", "neon", "scalar".
 * NB_ISA_DISABLE (a comma list of these names) in the environment of the first
 * call takes sets away. */
NB_API const char *nb_isa(void);

/* NB_ERR_INVALID if NB_ISA_DISABLE names an unknown set (which is otherwise
 * ignored): programs call it at start. */
NB_API int nb_isa_check(struct nb_errctx *err);

/* "MAJOR.MINOR.PATCH" of the library. */
NB_API const char *nb_version(void);

#ifdef __cplusplus
}
#endif
#endif
