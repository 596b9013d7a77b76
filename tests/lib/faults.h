/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * Fault injection: makes the Nth call of chosen functions fail. Works in tests
 * named test_*_faults.c, which the Makefile links with --wrap, and for what the
 * test and the project's archives call; shared libraries call the originals.
 * Any thread's calls count.
 */
#ifndef NB_TESTS_LIB_FAULTS_H
#define NB_TESTS_LIB_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

enum fault {
    FAULT_ALLOC = 1 << 0,  /* malloc, calloc, realloc, strdup, strndup,
                              XXH3_createState */
    FAULT_OPEN = 1 << 1,   /* open, openat */
    FAULT_MAP = 1 << 2,    /* mmap */
    FAULT_READ = 1 << 3,   /* read, pread */
    FAULT_WRITE = 1 << 4,  /* pwrite, copy_file_range */
    FAULT_SYNC = 1 << 5,   /* fsync */
    FAULT_RENAME = 1 << 6, /* renameat, renameat2, linkat */
    FAULT_SEEK = 1 << 7,   /* lseek */
    FAULT_THREAD = 1 << 8, /* pthread_create */
    FAULT_STAT = 1 << 9,   /* fstat */
    FAULT_MKDIR = 1 << 10, /* mkdirat */
    FAULT_LOCK = 1 << 11,  /* flock */
    FAULT_SEND = 1 << 12,  /* sendmsg */
    FAULT_LIST = 1 << 13,  /* fstatat */
};

/* From now on call number n (from 0) of the functions in `set` fails with
 * `error`, and if `for_good` all after it. */
void faults_arm(unsigned set, size_t n, int error, bool for_good);

/* No more faults; returns whether one was given since faults_arm(). */
bool faults_disarm(void);

/* Calls `hook`, or nothing if it is NULL, before each mmap. */
void faults_hook_map(void (*hook)(void));

/* The same before each open and openat. */
void faults_hook_open(void (*hook)(void));

/* Calls of fsync that do not fail do nothing: no test outlives a power cut, and
 * a disk takes its time. */
void faults_skip_syncs(bool skip);

/* Every read and write moves at most max bytes; 0: no limit. */
void faults_cap_transfers(size_t max);

#endif
