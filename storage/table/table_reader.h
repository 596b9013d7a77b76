/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* An open table file: mapped read-only, checked before anything is trusted. */
#ifndef NB_STORAGE_TABLE_READER_H
#define NB_STORAGE_TABLE_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/nibble.h"
#include "storage/io/file_io.h"
#include "storage/io/io_pace.h"

struct table; /* immutable once open: may be read by any number of threads */

enum table_verify {
    TABLE_VERIFY_HEADER, /* all but the rows' checksum: reads a few pages */
    TABLE_VERIFY_FULL    /* every checksum: reads the whole file */
};

/* Error statistics of quantizing, as recorded in the file's metadata. */
struct table_stats {
    double nl2;     /* ||X - Q(X)||_F / ||X||_F; 0 if X is all zeros */
    double mse;     /* mean squared error a value */
    double max_abs; /* greatest |x - y| */
};

/* What was taken off each column before rows were encoded. */
enum table_columns {
    COLUMNS_NONE,
    COLUMNS_CENTER, /* its mean */
    COLUMNS_SCALE,  /* its mean, then its standard deviation */
    COLUMNS_AUTO    /* to build: which of these loses least on a sample */
};

/* How a table's bytes are kept. */
enum table_residency {
    RESIDENCY_MAP,      /* mapped: pages come when they are touched */
    RESIDENCY_POPULATE, /* mapped, every page read at once */
    RESIDENCY_LOCK,     /* mapped, and never to leave memory */
    RESIDENCY_HUGE      /* a copy of its own, on 2 MiB pages */
};

/* Names of enum table_residency, in its order; NULL past the end. */
const char *table_residency_at(size_t i);

/* What ids are: "none" (row numbers), "numbers" (64-bit keys), "words" (hashes
 * of texts); NULL past the end. */
const char *table_keys_at(size_t i);

struct table_info {
    struct nb_format format;
    uint64_t n_rows;
    uint64_t stride;     /* bytes from row to row */
    uint64_t file_bytes; /* of the whole file */
    uint64_t rows_offset;
    uint64_t rows_checksum;     /* xxh3-64 of the row section */
    enum table_columns columns; /* never COLUMNS_AUTO */
    uint64_t params_bytes;    /* of the parameters section; 0: there is none */
    uint64_t params_checksum; /* xxh3-64 of it; 0 likewise */
    uint64_t checksum;        /* of the header, and so of all it describes */
    const char *keys;         /* what keys are, a name of table_keys_at() */
    uint64_t keys_bytes;      /* of the key index section; 0: ids are rows */
    struct nb_unseen_policy unseen;
    uint64_t n_protected; /* rows */
    const char *search;   /* name of the range search, "" if not recorded */
    const char *source;   /* base name of the source file, "" likewise */
    const char *metadata; /* the metadata section: one JSON object */
    bool has_stats;       /* stats are recorded; zeros if not */
    struct table_stats stats;
    struct file_id file;
};

/*
 * Opens and maps `path`. The caller owns *table and ends it with table_close().
 * The file must not be changed while it is open (publish by rename): a
 * truncated mapping faults.
 * Errors: -errno of open, fstat, mmap; NB_ERR_MAGIC, NB_ERR_VERSION,
 * NB_ERR_TRUNCATED, NB_ERR_FORMAT, NB_ERR_CHECKSUM, NB_ERR_UNSUPPORTED (a
 * codec, flag or section of a later program, or no regular file),
 * NB_ERR_NOMEM; *err names file, section and offset. Full verification also
 * finds every key where the index says.
 */
int table_open(const char *path, enum table_verify verify, struct table **table,
               struct nb_errctx *err);

/*
 * What TABLE_VERIFY_FULL checks beyond TABLE_VERIFY_HEADER, of a table that is
 * open: `path` must still lead to its file. `pace` may be NULL. Errors of
 * reading and checksums as above, what `pace` returned.
 */
int table_verify_rest(const struct table *table, const char *path,
                      const struct io_pace *pace, struct nb_errctx *err);

/* Has every page read and mapped before it is needed, unless the table's
 * residency saw to that. A file
 * cut short is an error (-EFAULT), not a fault. -errno, what `pace` (may be
 * NULL) returned. */
int table_prefault(const struct table *table, const struct io_pace *pace);

/* Unmaps, in steps, and frees; NULL is allowed. */
void table_close(struct table *table);

/*
 * Changes how an open table is kept, before others use it; it begins as mapped.
 * Reads the whole table, but for RESIDENCY_MAP. -errno: what the kernel
 * refused, *err says which limit to raise; what `pace` (may be NULL) returned.
 * The table stays as it was then.
 */
int table_reside(struct table *table, enum table_residency residency,
                 const struct io_pace *pace, struct nb_errctx *err);

enum table_residency table_residency(const struct table *table);

/* Can its pages have left memory, or not have come yet? */
bool table_may_be_cold(const struct table *table);

/*
 * Finds pages, at most `max`, that rows of the ids need, or the row that unseen
 * ids get, and that are in no cache: offsets in the file, for
 * table_read_pages(). Returns how many. An id takes a call of the system, of a
 * keyed table after a look at the index; but none if the same look, or the one
 * before, found its page in memory. `look` is 1..65535; 2 after 1 and so on, as
 * long as what was seen may still hold.
 */
size_t table_find_cold(const struct table *table, const struct nb_ids *ids,
                       uint16_t look, size_t max, uint64_t *offsets);

/* Reads pages from disk, on any thread, and waits for them. */
void table_read_pages(const struct table *table, const uint64_t *offsets,
                      size_t n);

/* Of RESIDENCY_HUGE: bytes on 2 MiB pages, as the kernel counts them. It may
 * give none, and the copy is on small pages. */
uint64_t table_huge_bytes(const struct table *table);

/* Key of a row of a keyed table, row < n_rows. */
uint64_t table_key(const struct table *table, uint64_t row);

/* The key of a word. */
uint64_t table_word_key(const char *word, size_t n);

/* Both are valid until table_close(). */
const struct nb_rows *table_rows(const struct table *table);
const struct table_info *table_info(const struct table *table);

#endif
