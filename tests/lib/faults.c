/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The linker turns calls of f into __wrap_f, and __real_f into f. */
#include "tests/lib/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#include <xxhash.h>

static struct {
    atomic_uint set;
    atomic_size_t calls;
    atomic_bool given;
    atomic_size_t cap;
    atomic_bool skip_syncs;
    size_t n; /* the rest is written while no fault is armed */
    int error;
    bool for_good;
    void (*map_hook)(void);
    void (*open_hook)(void);
} faults;

void faults_arm(unsigned set, size_t n, int error, bool for_good)
{
    faults.n = n;
    faults.error = error;
    faults.for_good = for_good;
    atomic_store(&faults.calls, 0);
    atomic_store(&faults.given, false);
    atomic_store(&faults.set, set);
}

bool faults_disarm(void)
{
    atomic_store(&faults.set, 0);
    return atomic_load(&faults.given);
}

void faults_hook_map(void (*hook)(void))
{
    faults.map_hook = hook;
}

void faults_hook_open(void (*hook)(void))
{
    faults.open_hook = hook;
}

void faults_skip_syncs(bool skip)
{
    atomic_store(&faults.skip_syncs, skip);
}

void faults_cap_transfers(size_t max)
{
    atomic_store(&faults.cap, max);
}

/* Whether this call is to fail; sets errno. */
static bool fails(enum fault fault)
{
    if (fault == FAULT_MAP && faults.map_hook != NULL) {
        faults.map_hook();
    }
    if (fault == FAULT_OPEN && faults.open_hook != NULL) {
        faults.open_hook();
    }
    if ((atomic_load(&faults.set) & (unsigned)fault) == 0) {
        return false;
    }
    size_t call = atomic_fetch_add(&faults.calls, 1);
    if (call == faults.n || (call > faults.n && faults.for_good)) {
        atomic_store(&faults.given, true);
        errno = faults.error;
        return true;
    }
    return false;
}

static size_t capped(size_t n)
{
    size_t cap = atomic_load(&faults.cap);
    return cap != 0 && n > cap ? cap : n;
}

/* Names that begin with __ are the linker's choice. */
/* NOLINTBEGIN(cert-dcl37-c) */
#define WRAP(fault, type, failed, name, parameters, arguments)                 \
    type __real_##name parameters;                                             \
    type __wrap_##name parameters;                                             \
    type __wrap_##name parameters                                              \
    {                                                                          \
        return fails(fault) ? (failed) : __real_##name arguments;              \
    }

WRAP(FAULT_ALLOC, void *, NULL, malloc, (size_t n), (n))
WRAP(FAULT_ALLOC, void *, NULL, calloc, (size_t n, size_t size), (n, size))
WRAP(FAULT_ALLOC, void *, NULL, realloc, (void *old, size_t n), (old, n))
WRAP(FAULT_ALLOC, char *, NULL, strdup, (const char *text), (text))
WRAP(FAULT_ALLOC, char *, NULL, strndup, (const char *text, size_t n),
     (text, n))
WRAP(FAULT_ALLOC, XXH3_state_t *, NULL, XXH3_createState, (void), ())
WRAP(FAULT_MAP, void *, MAP_FAILED, mmap,
     (void *at, size_t n, int protection, int flags, int fd, off_t offset),
     (at, n, protection, flags, fd, offset))
WRAP(FAULT_READ, ssize_t, -1, read, (int fd, void *to, size_t n),
     (fd, to, capped(n)))
WRAP(FAULT_READ, ssize_t, -1, pread, (int fd, void *to, size_t n, off_t offset),
     (fd, to, capped(n), offset))
WRAP(FAULT_WRITE, ssize_t, -1, pwrite,
     (int fd, const void *from, size_t n, off_t offset),
     (fd, from, capped(n), offset))
WRAP(FAULT_RENAME, int, -1, renameat,
     (int old_dir, const char *old, int new_dir, const char *new),
     (old_dir, old, new_dir, new))
WRAP(FAULT_RENAME, int, -1, linkat,
     (int old_dir, const char *old, int new_dir, const char *new, int flags),
     (old_dir, old, new_dir, new, flags))
WRAP(FAULT_RENAME, int, -1, renameat2,
     (int old_dir, const char *old, int new_dir, const char *new,
      unsigned flags),
     (old_dir, old, new_dir, new, flags))
WRAP(FAULT_WRITE, ssize_t, -1, copy_file_range,
     (int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags),
     (from, from_at, to, to_at, capped(n), flags))
WRAP(FAULT_MKDIR, int, -1, mkdirat, (int dir, const char *path, mode_t mode),
     (dir, path, mode))
WRAP(FAULT_SEND, ssize_t, -1, sendmsg,
     (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(FAULT_LOCK, int, -1, flock, (int fd, int operation), (fd, operation))
WRAP(FAULT_SEEK, off_t, -1, lseek, (int fd, off_t offset, int whence),
     (fd, offset, whence))
WRAP(FAULT_STAT, int, -1, fstat, (int fd, struct stat *stat), (fd, stat))
WRAP(FAULT_LIST, int, -1, fstatat,
     (int dir, const char *path, struct stat *stat, int flags),
     (dir, path, stat, flags))
/* It returns the error, and leaves errno alone. */
WRAP(FAULT_THREAD, int, faults.error, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes,
      void *(*run)(void *), void *arg),
     (thread, attributes, run, arg))

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    if (fails(FAULT_SYNC)) {
        return -1;
    }
    return atomic_load(&faults.skip_syncs) ? 0 : __real_fsync(fd);
}

/* The mode is passed on whether it was given or not, as the C library does. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(FAULT_OPEN) ? -1 : __real_openat(dir, path, flags, mode);
}
/* NOLINTEND(cert-dcl37-c) */
