#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""nibbled beside a gRPC C++ server that has the same kernels.

    make bench-grpc && scripts/bench_grpc.py DIR [--rounds 5]

The loads of bench_server.py, in its way: a processor for the server, another
for the client, the servers asked in turn, every figure the median of the
rounds. gRPC's server is asked by gRPC's client, which costs as much as it does
itself, and by one that costs next to nothing (h2_load); the goal is held
against the higher of both rates. A share is what the client took of its
processor. Beside them, what a request took of the server's, gRPC's as h2_load
asks: what rates come to where other programs take no part of it. Makes the
tables of bench_server.py below DIR if they are not there: give it the same.
Takes less than five minutes. Writes the table of server/BENCHMARKS.md to
standard output.
"""

import json
import os
import statistics
import subprocess
import time

from bench_server import (LOADS, REQUESTS, RESIDENCY, SCALES, Bench, count,
                          parse, parser, pinned)

GOAL = 2.0
CLIENTS = ["grpc_load", "h2_load"]


class Comparison(Bench):
    def __init__(self, args):
        super().__init__(args)
        self.others = {}
        self.pids = {}

    def program(self, name):
        return os.path.join(self.args.build, "tests/bench/grpc", name)

    def serve_grpc(self, tables, residency):
        address = os.path.join(self.args.dir, tables + ".grpc-address")
        if os.path.exists(address):
            os.unlink(address)
        process = subprocess.Popen(
            pinned(0, self.program("grpc_server"), "--repo", self.repo(tables),
                   "--residency", residency, "--address-file", address))
        self.running.append(process)
        while not os.path.exists(address):
            if process.poll() is not None:
                raise SystemExit("grpc_server ended")
            time.sleep(0.05)
        with open(address) as file:
            self.others[tables] = file.read().strip()

    def requests(self, server):
        """So many has nibbled had that count."""
        done = subprocess.run([self.nibble, "status", "--server", server,
                               "--json"],
                              check=True, stdout=subprocess.PIPE, text=True)
        return sum(int(method["requests"])
                   for method in json.loads(done.stdout)["methods"]
                   if method["name"] in ("lookup", "pool"))

    def ask_ours(self, load):
        server, pid = self.servers[load.tables], self.pids[load.tables][0]
        requests, used = self.requests(server), processor_s(pid)
        step = self.ask(server, load, "--model", load.profile)
        step["us"] = 1e6 * ((processor_s(pid) - used) /
                            (self.requests(server) - requests))
        return step

    def ask_grpc(self, client, load):
        pid = self.pids[load.tables][1]
        used = processor_s(pid)
        done = subprocess.run(
            pinned(1, self.program(client), "--server",
                   self.others[load.tables], "--repo", self.repo(load.tables),
                   "--model", load.profile, "--profile", load.profile, "--ms",
                   round(float(self.args.seconds) * 1000),
                   *REQUESTS[load.tables], *load.options),
            check=True, stdout=subprocess.PIPE, text=True)
        step = json.loads(done.stdout)
        step["us"] = 1e6 * (processor_s(pid) - used) / step["replies"]
        return step

    def compare(self, load):
        """Prints a line of the table."""
        rounds = [[self.ask_ours(load)] +
                  [self.ask_grpc(client, load) for client in CLIENTS]
                  for _ in range(self.args.rounds)]
        rates, shares, us = (
            [statistics.median(step[key] for step in steps)
             for steps in zip(*rounds)]
            for key in ("achieved_per_s", "client_core_share", "us"))
        print("| %s | %s | %.2f (>= %.0f) | %.1f us | %.1f us | %.2f |" % (
            load.name,
            " | ".join("%s (%.2f)" % (count(rate), share)
                       for rate, share in zip(rates, shares)),
            rates[0] / max(rates[1:]), GOAL, us[0], us[2], us[2] / us[0]),
            flush=True)

    def run(self):
        for tables, scales in SCALES.items():
            self.make_tables(tables, scales)
            self.serve(tables, RESIDENCY[tables])
            self.serve_grpc(tables, RESIDENCY[tables])
            self.pids[tables] = [p.pid for p in self.running[-2:]]
        self.settle()
        print("| load | nibbled, requests/s (client's share) | gRPC C++, its "
              "own client | gRPC C++, `h2_load` | ratio (goal) | processor a "
              "request, nibbled | gRPC C++ | ratio |")
        print("|---|---|---|---|---|---|---|---|")
        for load in LOADS:
            self.compare(load)


def processor_s(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main():
    comparison = Comparison(parse(parser(__doc__)))
    os.makedirs(comparison.args.dir, exist_ok=True)
    try:
        comparison.run()
    finally:
        comparison.close()


if __name__ == "__main__":
    main()
