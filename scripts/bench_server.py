#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The server beside one that answers with the same bytes always, and beside
the kernels where nothing is sent.

    scripts/bench_server.py DIR [--build build/release] [--rounds 7]

Server and client have a processor each, what is compared is timed in turns, and
every figure, ratios too, is the median of the rounds; behind a ratio stand the
least and the highest. A client's share is what it took of its processor: near
1, it is the client that was measured. Latency is of more and shorter rounds, so
that what else the machine's host does now and then hits some of them only.
Tables are made below DIR if they are not there: 1 GB, and as much memory for
their copy on 2 MiB pages. Takes less than eight minutes. Writes the tables of
server/BENCHMARKS.md to standard output.
"""

import argparse
import collections
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

# `cache`: tables that fit the processor's caches, ids as skewed as real ones;
# `memory`: the whole size on 2 MiB pages, ids never the same twice, nearly.
# Goals are shares of the static server's rate, and of what that and the kernels
# would leave if they were one after the other.
Load = collections.namedtuple("Load", "name tables profile options goal both")
LOADS = [
    Load("point, 4 connections x 64", "cache", "point",
         ["--connections", "4", "--depth", "64"], 0.7, None),
    Load("point, 16 connections x 1", "cache", "point",
         ["--connections", "16", "--depth", "1"], 0.8, None),
    Load("rows, packed", "cache", "rows",
         ["--connections", "16", "--dtype", "packed"], 0.5, None),
    Load("rows, fp32", "cache", "rows", ["--connections", "16"], 0.75, None),
    Load("ranking", "cache", "ranking", ["--connections", "16"], None, 0.85),
    Load("ranking, 936 MB", "memory", "ranking", ["--connections", "16"], None,
         0.85),
]
# After its start the server looks for so long whether rows are on disk, which
# takes longer than the rows.
SETTLE_S = 10.5
TAIL_GOAL = 3.0  # p99 over p50 at half the capacity
TAIL_ROUNDS = 13
TAIL_SECONDS = "0.4"
SCALES = {"cache": {"point": 0.02, "rows": 0.02, "ranking": 0.002},
          "memory": {"ranking": 1}}
RESIDENCY = {"cache": "map", "memory": "huge"}
# What is asked for: the client's requests should not be what does not fit.
REQUESTS = {"cache": ["--ids", "zipf:0.9", "--request-mib", "16"],
            "memory": ["--ids", "uniform", "--request-mib", "64"]}


def pinned(cpu, *command):
    return ["taskset", "-c", str(cpu)] + [str(c) for c in command]


class Bench:
    def __init__(self, args):
        self.args = args
        self.nibble = os.path.join(args.build, "nibble")
        self.running = []
        self.servers = {}

    def repo(self, tables):
        return os.path.join(self.args.dir, tables)

    def make_tables(self, tables, scales):
        for profile, scale in scales.items():
            if not os.path.isdir(os.path.join(self.repo(tables), profile)):
                subprocess.run([self.nibble, "bench", "--make-tables", profile,
                                "--repo", self.repo(tables),
                                "--scale", str(scale)],
                               check=True, stdout=subprocess.DEVNULL)

    def serve(self, tables, residency):
        address = os.path.join(self.args.dir, tables + ".address")
        if os.path.exists(address):
            os.unlink(address)
        with open(os.path.join(self.args.dir, tables + ".log"), "w") as log:
            process = subprocess.Popen(
                pinned(0, os.path.join(self.args.build, "nibbled"), "--repo",
                       self.repo(tables), "--residency", residency, "--loops",
                       1, "--listen", "127.0.0.1:0", "--address-file",
                       address), stderr=log)
        self.running.append(process)
        while not os.path.exists(address):
            if process.poll() is not None:
                raise SystemExit("nibbled ended: see %s" % log.name)
            time.sleep(0.05)
        with open(address) as file:
            self.servers[tables] = file.read().split()[0]

    def settle(self):
        time.sleep(SETTLE_S)

    def serve_static(self, load):
        process = subprocess.Popen(
            pinned(0, os.path.join(self.args.build,
                                   "tests/bench/static_server"),
                   "--profile", load.profile, "--dtype", dtype(load)),
            stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        return re.search(r"\S+:\d+", process.stdout.readline()).group(0)

    def ask(self, server, load, *options, seconds=None, requests=None):
        report = os.path.join(self.args.dir, "report.json")
        subprocess.run(
            pinned(1, self.nibble, "bench", "--server", server, "--profile",
                   load.profile, "--duration", seconds or self.args.seconds,
                   "--warm-up", "0.2", "--output", report,
                   *(requests or REQUESTS[load.tables]), *load.options,
                   *options),
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(report) as file:
            return json.load(file)["steps"][0]

    def rate(self, server, load, *options):
        """Requests/s, and what share of its processor the client took."""
        step = self.ask(server, load, *options)
        return step["achieved_per_s"], step["client_core_share"]

    def alone(self, load):
        """Seconds that the kernels need for a request."""
        done = subprocess.run(
            pinned(0, os.path.join(self.args.build, "tests/bench/bags_alone"),
                   "--repo", self.repo(load.tables), "--model", load.profile,
                   "--profile", load.profile, "--dtype", dtype(load),
                   "--residency", RESIDENCY[load.tables], "--ms", "700",
                   *REQUESTS[load.tables]),
            check=True, stdout=subprocess.PIPE, text=True)
        return float(done.stdout) * 1e-9

    def capacity(self, load):
        """Prints a line of the first table; the server's rate."""
        server, static = self.servers[load.tables], self.serve_static(load)
        rounds = []
        for _ in range(self.args.rounds):
            ours, share = self.rate(server, load, "--model", load.profile)
            limit, limit_share = self.rate(static, load)
            alone = self.alone(load)
            both = 1 / (1 / limit + alone)
            rounds.append((ours, share, limit, limit_share, alone * 1e6, both))
        stop(self.running.pop())
        of_limit = spread([r[0] / r[2] for r in rounds])
        of_both = spread([r[0] / r[5] for r in rounds])
        ours, share, limit, limit_share, alone_us, both = (
            statistics.median(x) for x in zip(*rounds))
        print("| %s | %s (%.2f) | %s (%.2f) | %s%s | %.2f us | %s | %s%s |" %
              (load.name, count(ours), share, count(limit), limit_share,
               of_limit, goal(load.goal), alone_us, count(both), of_both,
               goal(load.both)), flush=True)
        return ours

    def stalls(self):
        """Prints what both processors lose to others while nothing runs."""
        stalls = os.path.join(self.args.build, "tests/bench/host_stalls")
        both = [subprocess.Popen(pinned(cpu, stalls), stdout=subprocess.PIPE,
                                 text=True) for cpu in (0, 1)]
        lost = [process.communicate()[0].split() for process in both]
        print("\nIdle, the server's processor stands still for %s %% of the "
              "time, at most %s ms, the client's for %s %%, at most %s ms." %
              (*lost[0], *lost[1]), flush=True)

    def latency(self, load, rate):
        """Prints a line of the second table: at the same rate, evenly spaced
        and as independent callers ask, and the static server as these do."""
        server, static = self.servers[load.tables], self.serve_static(load)
        offered = ["--rate", str(round(rate / 2))]
        ours = ["--model", load.profile, *offered]
        steps = [(self.ask(server, load, *ours, "--arrivals", "constant",
                           seconds=TAIL_SECONDS),
                  self.ask(server, load, *ours, seconds=TAIL_SECONDS),
                  self.ask(static, load, *offered, seconds=TAIL_SECONDS))
                 for _ in range(TAIL_ROUNDS)]
        stop(self.running.pop())
        print("| %s | %s | %s |" % (
            load.name, count(rate / 2),
            " | ".join("%s | %s" % (in_us(of), tail(of))
                       for of in zip(*steps))), flush=True)

    def run(self):
        for tables, scales in SCALES.items():
            self.make_tables(tables, scales)
            self.serve(tables, RESIDENCY[tables])
        self.settle()
        print("| load | nibbled, requests/s (client's share) | static | "
              "share (goal) | rows alone | 1 / (static + rows), requests/s | "
              "share (goal) |")
        print("|---|---|---|---|---|---|---|")
        rates = [self.capacity(load) for load in LOADS]
        self.stalls()
        ratio = "p99 / p50, least of the rounds (goal <= %.0f)" % TAIL_GOAL
        print("\n| half of that, open loop | requests/s | evenly spaced: p50, "
              "p99 | %s | Poisson: p50, p99 | %s | static, Poisson: p50, p99 | "
              "p99 / p50, least |" % (ratio, ratio))
        print("|---|---|---|---|---|---|---|---|")
        for load, rate in zip(LOADS, rates):
            self.latency(load, rate)

    def close(self):
        for process in self.running:
            stop(process)


def stop(process):
    process.terminate()
    process.wait()


def in_us(steps):
    """p50 and p99 of latency, each the median of the steps."""
    return ", ".join("%.0f" % statistics.median(step["latency_us"][p]
                                                for step in steps)
                     for p in ("p50", "p99")) + " us"


def tail(steps):
    """p99 over p50: the median of the steps, and the least."""
    ratios = [step["latency_us"]["p99"] / step["latency_us"]["p50"]
              for step in steps]
    return "%.1f, %.1f" % (statistics.median(ratios), min(ratios))


def dtype(load):
    return "packed" if "packed" in load.options else "fp32"


def count(number):
    return format(round(number), ",")


def spread(shares):
    """The median, the least and the highest."""
    return "%.2f, %.2f to %.2f" % (statistics.median(shares), min(shares),
                                   max(shares))


def goal(share):
    return " (>= %.2f)" % share if share else ""


def parse(made):
    """The arguments, where the programs to measure have been built. What is
    started ends with this program, however that ends."""
    args = made.parse_args()
    if not os.access(os.path.join(args.build, "tests/bench/static_server"),
                     os.X_OK):
        made.error("nothing is built in %s: make all tests" % args.build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return args


def parser(text):
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("dir", help="for tables and reports")
    made.add_argument("--build", default="build/release")
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--seconds", default="1", help="of each round")
    return made


def main():
    bench = Bench(parse(parser(__doc__)))
    os.makedirs(bench.args.dir, exist_ok=True)
    try:
        bench.run()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
