#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What `nibble bench` can ask, beside a client that only counts bytes.

    make all tests && scripts/bench_client.py DIR [--rounds 7] [--seconds 1]

A server that answers with the same bytes always (tests/bench/static_server)
has one processor, the client another: in turns tests/bench/raw_client, a
closed loop on epoll that sends the same request always and looks at nothing,
and `nibble bench` with the same shapes, which matches and checks replies and
times each, and has distinct requests: few, of a MiB, which stay in the cache
as the raw client's one does, and many, of 16, which do not. Prints medians, of
ratios too; exits with 1 if one is below 0.8. Takes two minutes.
"""

import os
import re
import statistics
import subprocess
import sys

import bench_server

GOAL = 0.8
FEW = ["--ids", "zipf:0.9", "--request-mib", "1"]
MANY = ["--ids", "zipf:0.9", "--request-mib", "16"]


class Client(bench_server.Bench):
    def ask_raw(self, server, load):
        done = subprocess.run(
            bench_server.pinned(
                1, os.path.join(self.args.build, "tests/bench/raw_client"),
                "--server", server, "--profile", load.profile, "--ms",
                round(float(self.args.seconds) * 1000), *load.options),
            check=True, stdout=subprocess.PIPE, text=True)
        return float(re.match(r"(\d+) requests/s", done.stdout).group(1))

    def compare(self, load):
        """The ratio; one round after another, so that drift hits all."""
        static = self.serve_static(load)
        rounds = []
        for _ in range(self.args.rounds):
            raw = self.ask_raw(static, load)
            few, many = (self.ask(static, load, requests=requests)
                         for requests in (FEW, MANY))
            rounds.append((raw, few["achieved_per_s"],
                           few["achieved_per_s"] / raw,
                           few["client_core_share"],
                           many["achieved_per_s"] / raw))
        bench_server.stop(self.running.pop())
        raw, ours, ratio, busy, of_many = (statistics.median(x)
                                           for x in zip(*rounds))
        print("| %s | %s | %s | %.2f | %.0f %% | %.2f |" % (
            load.name, bench_server.count(raw), bench_server.count(ours),
            ratio, 100 * busy, of_many), flush=True)
        return min(ratio, of_many)

    def run(self):
        print("| load | raw epoll client, requests/s | nibble bench | ratio | "
              "of a core | ratio, many requests |\n|---|---|---|---|---|---|")
        least = min(self.compare(load) for load in bench_server.LOADS
                    if load.tables == "cache")
        print("\nleast ratio %.2f, goal %.1f" % (least, GOAL))
        return least >= GOAL


def main():
    client = Client(bench_server.parse(bench_server.parser(__doc__)))
    os.makedirs(client.args.dir, exist_ok=True)
    try:
        held = client.run()
    finally:
        client.close()
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
