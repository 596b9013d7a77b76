#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What `nibble bench` can ask, beside a client that only counts bytes.

    make all tests && scripts/bench_client.py DIR [--rounds 3] [--seconds 2]

A server that answers with the same bytes always (tests/bench/static_server)
has one processor, the client another: in turns tests/bench/raw_client, a
closed loop on epoll that looks at nothing, and `nibble bench` with the same
shapes, which makes distinct requests, matches and checks replies and times
each. Prints the medians and their ratio; exits with 1 if one is below 0.8.
Takes two minutes.
"""

import os
import re
import statistics
import subprocess
import sys

import bench_server

GOAL = 0.8


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
        """The ratio; one round after another, so that drift hits both."""
        static = self.serve_static(load)
        raw, ours, busy = [], [], []
        for _ in range(self.args.rounds):
            raw.append(self.ask_raw(static, load))
            step = self.ask(static, load)
            ours.append(step["achieved_per_s"])
            busy.append(step["client_core_share"])
        bench_server.stop(self.running.pop())
        ratio = statistics.median(ours) / statistics.median(raw)
        print("| %s | %s | %s | %.2f | %.0f %% |" % (
            load.name, format(round(statistics.median(raw)), ","),
            format(round(statistics.median(ours)), ","), ratio,
            100 * statistics.median(busy)))
        sys.stdout.flush()
        return ratio

    def run(self):
        print("| load | raw epoll client, requests/s | nibble bench | ratio | "
              "of a core |\n|---|---|---|---|---|")
        least = min(self.compare(load) for load in bench_server.LOADS
                    if load.tables == "cache")
        print("\nleast ratio %.2f, goal %.1f" % (least, GOAL))
        return least >= GOAL


def main():
    parser = bench_server.parser(__doc__)
    parser.set_defaults(rounds=3)
    client = Client(parser.parse_args())
    os.makedirs(client.args.dir, exist_ok=True)
    try:
        held = client.run()
    finally:
        client.close()
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
