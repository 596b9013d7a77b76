#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What requests for rows on disk cost those who ask for rows in memory.

    make all python && scripts/cold_latency.py [--build DIR] [--mib N]
        [--requests N] [--rows N] [--evict-ms N] [--scratch DIR]

One server with one loop, and two tables: a small one in memory, and a large
one that is evicted from the page cache, which is checked. One connection asks
for rows of the large table at random, another all the time for eight rows of
the small one. Prints how long the former take, and the latter meanwhile and
alone.

--evict-ms N takes every page of the large table from the server and the cache
again, N ms after the last time, as a system without memory would: also those
that the server has just read, and those that it remembers to have seen.
(process_madvise, MADV_PAGEOUT: as root or with CAP_SYS_NICE; Linux 5.10.)
"""

import argparse
import contextlib
import ctypes
import mmap
import os
import re
import sys
import tempfile
import threading
import time

DIM = 64
IN_MEMORY_MOST = 0.01  # of the pages of what was evicted

MADV_PAGEOUT = 21
SYS_PROCESS_MADVISE = 440
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                       ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Range(ctypes.Structure):
    """struct iovec"""
    _fields_ = [("at", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--evict-ms", type=float)
    parser.add_argument("--scratch")
    return parser.parse_args()


def make_table(nibble_test, directory, name, rows):
    import numpy
    source = os.path.join(directory, name + ".npy")
    path = os.path.join(directory, name + ".nbt")
    shape = (rows, DIM)
    made = numpy.lib.format.open_memmap(source, "w+", numpy.float32, shape)
    made[:] = numpy.linspace(-1, 1, DIM, dtype=numpy.float32)
    made.flush()
    nibble_test.nibble("quantize", "--input", source, "--codec", "q4",
                       "--search", "asym", "--output", path)
    os.unlink(source)
    return path


def evict(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def share_in_memory(path):
    """Of the file's pages; mincore() tells it to the file's owner."""
    with open(path, "rb") as file:
        n = os.fstat(file.fileno()).st_size
        at = _libc.mmap(None, n, mmap.PROT_READ, mmap.MAP_SHARED,
                        file.fileno(), 0)
        pages = (ctypes.c_ubyte * ((n - 1) // mmap.PAGESIZE + 1))()
        failed = _libc.mincore(at, n, pages) != 0
        _libc.munmap(at, n)
    if failed:
        sys.exit("%s: mincore: %s" % (path, os.strerror(ctypes.get_errno())))
    return sum(page & 1 for page in pages) / len(pages)


def check_evicted(path):
    share = share_in_memory(path)
    print("%-28s %.2f %% of its pages in memory" % ("the large table", 100 *
                                                    share))
    if share > IN_MEMORY_MOST:
        sys.exit("%s: this file system does not give its pages up" % path)


class Evicting(threading.Thread):
    """Until the end of the with."""

    def __init__(self, pid, path, pause_s):
        super().__init__()
        self.pidfd = os.pidfd_open(pid)
        self.pause_s = pause_s
        self.n = 0
        self.error = None
        self.ending = threading.Event()
        with open("/proc/%d/maps" % pid) as lines:
            begin, end = re.search(r"^(\w+)-(\w+) .*%s$" % re.escape(path),
                                   lines.read(), re.M).groups()
        self.range = Range(int(begin, 16), int(end, 16) - int(begin, 16))

    def run(self):
        while not self.ending.wait(self.pause_s):
            if _libc.syscall(SYS_PROCESS_MADVISE, self.pidfd,
                             ctypes.byref(self.range), 1, MADV_PAGEOUT, 0) < 0:
                self.error = os.strerror(ctypes.get_errno())
                return
            self.n += 1

    def __enter__(self):
        self.start()

    def __exit__(self, *error):
        self.ending.set()
        self.join()
        os.close(self.pidfd)
        if self.error:
            sys.exit("process_madvise: " + self.error)
        print("%-28s %6d times" % ("the large table evicted", self.n))


def timed(ask):
    start = time.monotonic()
    ask()
    return 1e3 * (time.monotonic() - start)


def show(what, times):
    times = sorted(times)
    print("%-28s %6d requests   median %8.3f ms   p99 %8.3f ms   "
          "greatest %8.3f ms" %
          (what, len(times), times[len(times) // 2],
           times[len(times) * 99 // 100], times[-1]))


def evicting(args, server, path):
    if not args.evict_ms:
        return contextlib.nullcontext()
    return Evicting(server.process.pid, path, args.evict_ms / 1e3)


def measure(nibble_test, args, paths):
    import numpy
    rng = numpy.random.default_rng(1)
    n_rows = args.mib * 1024 * 1024 // (DIM // 2 + 4)
    evict(paths["large"])
    server = nibble_test.Server(paths, "--verify", "header")
    check_evicted(paths["large"])
    small = nibble_test.Connection(server.address)
    large = nibble_test.Connection(server.address)
    ids = rng.integers(0, 1000, (8,))
    alone = [timed(lambda: small.lookup("small", ids)) for _ in range(3000)]
    cold, meanwhile, ended = [], [], threading.Event()

    def ask_for_cold():
        for _ in range(args.requests):
            wanted = rng.integers(0, n_rows, args.rows).tolist()
            cold.append(timed(lambda: large.lookup("large", wanted)))
        ended.set()

    thread = threading.Thread(target=ask_for_cold)
    with evicting(args, server, paths["large"]):
        thread.start()
        while not ended.is_set():
            meanwhile.append(timed(lambda: small.lookup("small", ids)))
        thread.join()
    small.close()
    large.close()
    server.stop()
    show("8 rows in memory, alone", alone)
    show("8 rows in memory, meanwhile", meanwhile)
    show("%d rows, most on disk" % args.rows, cold)


def main():
    args = parse()
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    os.environ["NB_BUILD"] = os.path.abspath(args.build)
    sys.path[:0] = [os.path.join(root, "tests/lib"),
                    os.path.join(os.path.abspath(args.build), "gen/py")]
    import nibble_test
    with tempfile.TemporaryDirectory(dir=args.scratch) as directory:
        rows = args.mib * 1024 * 1024 // (DIM // 2 + 4)
        measure(nibble_test, args,
                {"small": make_table(nibble_test, directory, "small", 1000),
                 "large": make_table(nibble_test, directory, "large", rows)})
    nibble_test.remove_scratch()


if __name__ == "__main__":
    main()
