#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The server beside one that answers with the same bytes always.

    scripts/bench_server.py DIR [--build build/release] [--rounds 5]

Server and client have a processor each, the two servers are asked in turn, and
every figure is the median of the rounds. Tables are made below DIR if they are
not there. Writes the tables of server/BENCHMARKS.md to standard output.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

# name, profile, further options, share of the static server that is the goal
LOADS = [
    ("point, 4 connections x 64", "point",
     ["--connections", "4", "--depth", "64"], 0.7),
    ("point, 16 connections x 1", "point",
     ["--connections", "16", "--depth", "1"], 0.8),
    ("rows, packed", "rows", ["--connections", "16", "--dtype", "packed"],
     0.5),
    ("rows, fp32", "rows", ["--connections", "16"], 0.75),
    ("ranking", "ranking", ["--connections", "16"], None),
]
# Small enough for the processor's caches.
SCALES = {"point": 0.02, "rows": 0.02, "ranking": 0.002}


def pinned(cpu, *command):
    return ["taskset", "-c", str(cpu)] + [str(c) for c in command]


class Bench:
    def __init__(self, args):
        self.args = args
        self.nibble = os.path.join(args.build, "nibble")
        self.repo = os.path.join(args.dir, "repo")
        self.running = []

    def make_tables(self):
        for profile, scale in SCALES.items():
            if not os.path.isdir(os.path.join(self.repo, profile)):
                subprocess.run([self.nibble, "bench", "--make-tables", profile,
                                "--repo", self.repo, "--scale", str(scale)],
                               check=True, stdout=subprocess.DEVNULL)

    def serve(self):
        address = os.path.join(self.args.dir, "address")
        if os.path.exists(address):
            os.unlink(address)
        self.running.append(subprocess.Popen(
            pinned(0, os.path.join(self.args.build, "nibbled"), "--repo",
                   self.repo, "--loops", 1, "--listen", "127.0.0.1:0",
                   "--address-file", address), stderr=subprocess.DEVNULL))
        while not os.path.exists(address):
            time.sleep(0.05)
        with open(address) as file:
            return file.read().split()[0]

    def serve_static(self, profile, options):
        dtype = "packed" if "packed" in options else "fp32"
        process = subprocess.Popen(
            pinned(0, os.path.join(self.args.build,
                                   "tests/bench/static_server"),
                   "--profile", profile, "--dtype", dtype),
            stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        return re.search(r"\S+:\d+", process.stdout.readline()).group(0)

    def ask(self, server, profile, options):
        report = os.path.join(self.args.dir, "report.json")
        subprocess.run(
            pinned(1, self.nibble, "bench", "--server", server, "--profile",
                   profile, "--duration",
                   self.args.seconds, "--warm-up", "0.3", "--request-mib",
                   "16", "--output", report, *options),
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(report) as file:
            return json.load(file)["steps"][0]

    def capacity(self, server, name, profile, options, goal):
        static = self.serve_static(profile, options)
        ours, limit = [], []
        for _ in range(self.args.rounds):
            ours.append(self.ask(server, profile, options +
                                 ["--model", profile])["achieved_per_s"])
            limit.append(self.ask(static, profile, options)["achieved_per_s"])
        self.running.pop().terminate()
        a, b = statistics.median(ours), statistics.median(limit)
        print("| %s | %s | %s | %.2f | %s |" % (
            name, format(round(a), ","), format(round(b), ","), a / b,
            ">= %.2f" % goal if goal else ""))
        sys.stdout.flush()
        return a

    def latency(self, server, name, profile, options, rate):
        steps = [self.ask(server, profile,
                          options + ["--model", profile, "--rate",
                                     str(round(rate / 2))])
                 for _ in range(self.args.rounds)]
        p50, p99, p999 = (statistics.median(s["latency_us"][p] for s in steps)
                          for p in ("p50", "p99", "p99.9"))
        print("| %s | %s | %.0f us | %.0f us | %.0f us | %.1f |" % (
            name, format(round(rate / 2), ","), p50, p99, p999, p99 / p50))
        sys.stdout.flush()

    def run(self):
        self.make_tables()
        server = self.serve()
        rates = {}
        print("| load | nibbled, requests/s | static | ratio | goal |")
        print("|---|---|---|---|---|")
        for load in LOADS:
            rates[load[0]] = self.capacity(server, *load)
        print("\n| load at half of that, open loop | requests/s | p50 | p99 | "
              "p99.9 | p99 / p50 |")
        print("|---|---|---|---|---|---|")
        for name, profile, options, _ in LOADS[1:]:
            self.latency(server, name, profile, options, rates[name])

    def close(self):
        for process in self.running:
            process.terminate()
            process.wait()


def parser(text):
    parser = argparse.ArgumentParser(description=text.split("\n")[0])
    parser.add_argument("dir")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", default="2")
    return parser


def main():
    bench = Bench(parser(__doc__).parse_args())
    os.makedirs(bench.args.dir, exist_ok=True)
    try:
        bench.run()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
