#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Latency against the load offered, for every profile, drawn.

    scripts/bench_curves.py DIR [--rounds 8] [--scale 0.01]

Server and client have a processor each. What a profile's closed loop reaches is
its capacity; then an open loop offers a tenth of that to all of it, in --rounds
steps. Leaves NAME.svg and NAME.json of each profile in DIR, where tables are
made if they are not there, and writes a table to standard output.
"""

import json
import os
import statistics
import subprocess

from bench_server import Bench, Load, count, parser, pinned

PROFILES = ["rm1", "rm2", "ranking", "dlrm", "rows", "point"]


class Curves(Bench):
    def measure(self, profile):
        load = Load(profile, "cache", profile, ["--connections", "16"], None,
                    None)
        capacity = statistics.median(
            self.rate(self.servers["cache"], load, "--model", profile)
            for _ in range(3))
        base = os.path.join(self.args.dir, profile)
        done = subprocess.run(
            pinned(1, self.nibble, "bench", "--server", self.servers["cache"],
                   "--profile", profile, "--model", profile, "--connections",
                   "16", "--request-mib", "16", "--duration",
                   self.args.seconds, "--warm-up", "0.3", "--ramp",
                   "%.0f:%.0f:%d" % (max(1, capacity / 10), capacity,
                                     self.args.rounds),
                   "--svg", base + ".svg", "--output", base + ".json"),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise SystemExit("%s: %s" % (profile, done.stderr.strip()))
        with open(base + ".json") as file:
            for step in json.load(file)["steps"]:
                self.line(profile, step)

    def line(self, profile, step):
        print("| %s | %s | %s | %s |" % (
            profile, count(step["offered_per_s"]),
            count(step["achieved_per_s"]),
            " | ".join("%.0f us" % step["latency_us"][p]
                       for p in ("p50", "p99", "p99.9"))), flush=True)

    def run(self):
        self.make_tables("cache", {p: self.args.scale for p in PROFILES})
        self.serve("cache", "map")
        print("| profile | offered/s | answered/s | p50 | p99 | p99.9 |")
        print("|---|---|---|---|---|---|")
        for profile in PROFILES:
            self.measure(profile)


def main():
    options = parser(__doc__)
    options.add_argument("--scale", type=float, default=0.01,
                         help="times the rows of the profiles")
    options.set_defaults(rounds=8)
    args = options.parse_args()
    os.makedirs(args.dir, exist_ok=True)
    curves = Curves(args)
    try:
        curves.run()
    finally:
        curves.close()


if __name__ == "__main__":
    main()
