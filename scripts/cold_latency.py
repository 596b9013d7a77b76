#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What requests for rows on disk cost those who ask for rows in memory.

    make all python && scripts/cold_latency.py [--build DIR] [--mib N]
        [--requests N] [--rows N] [--scratch DIR]

One server with one loop, and two tables: a small one in memory, and a large
one that is evicted from the page cache. One connection asks for rows of the
large table at random, another all the time for eight rows of the small one.
Prints how long the former take, and the latter meanwhile and alone.
"""

import argparse
import os
import sys
import tempfile
import threading
import time

DIM = 64


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2000)
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


def measure(nibble_test, args, paths):
    import numpy
    rng = numpy.random.default_rng(1)
    n_rows = args.mib * 1024 * 1024 // (DIM // 2 + 4)
    evict(paths["large"])
    server = nibble_test.Server(paths, "--verify", "header")
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
