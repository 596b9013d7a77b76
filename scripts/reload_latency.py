#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What reloading costs those who are being answered.

    make all && scripts/reload_latency.py [--pairs N] [--seconds S] ...

Makes two versions of the tables of a profile (ranking, 1 GB each), serves
them, and measures an open loop at half of what the server can do: in turns
without anything else, and while one version after the other is loaded from
the repository, verified, mapped, switched to and the one before unmapped.
Prints the latencies of each run, and the ratios of their medians. Status 1 if
that of p99 is over --bound.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

MODEL = "ranking"


def run(*command):
    done = subprocess.run([str(c) for c in command], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit("%s: status %d\n%s%s" % (command[0], done.returncode,
                                          done.stderr, done.stdout))
    return done.stdout


class Server:
    def __init__(self, args, repo, scratch):
        self.log = os.path.join(scratch, "log")
        address_file = os.path.join(scratch, "address")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [os.path.join(args.build, "nibbled"), "--repo", repo,
                 "--listen", "127.0.0.1:0", "--loops", str(args.loops),
                 "--keep-loaded", "1", "--reload-rate", args.reload_rate,
                 "--address-file", address_file], stderr=log)
        while not os.path.exists(address_file):
            if self.process.poll() is not None:
                with open(self.log) as log:
                    sys.exit(log.read())
            time.sleep(0.01)
        with open(address_file) as file:
            self.address = file.readline().strip()

    def reloads(self):
        """Seconds that each took, so far."""
        with open(self.log) as log:
            text = log.read()
        if "event=reload-failed" in text:
            sys.exit(text)
        return [float(s) for s in re.findall(
            r"event=reload .* result=loaded .* took=([\d.]+)s", text)]

    def cpu_s(self):
        """Of all its threads, since it began."""
        with open("/proc/%d/stat" % self.process.pid) as line:
            fields = line.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        if self.process.wait() != 0:
            sys.exit("nibbled: status %d" % self.process.returncode)


class Reloading(threading.Thread):
    """Pins one version, then the other, as soon as each is served. The pin is
    written here: `nibble pin` would check the version to its last byte, on
    the processors that are being measured."""

    def __init__(self, server, repo):
        super().__init__()
        self.server = server
        self.path = os.path.join(repo, MODEL, "SERVING")
        self.ending = threading.Event()

    def pin(self, version):
        with open(self.path + ".new", "w") as file:
            file.write("%d\n" % version)
        os.rename(self.path + ".new", self.path)

    def run(self):
        n = len(self.server.reloads())
        while not self.ending.is_set():
            self.pin(1 + n % 2)
            while len(self.server.reloads()) == n:
                if self.server.process.poll() is not None:
                    return
                time.sleep(0.02)
            n += 1

    def __enter__(self):
        self.start()

    def __exit__(self, *error):
        self.ending.set()
        self.join()


def bench(args, server, *options):
    cpu_s, began = server.cpu_s(), time.monotonic()
    report = json.loads(run(
        os.path.join(args.build, "nibble"), "bench", "--server",
        server.address, "--profile", MODEL, "--connections",
        args.connections, "--ids", args.ids, "--json", *options))
    step, = report["steps"]
    if step["errors"]:
        sys.exit("requests failed: %s" % step["errors"])
    step["core_share"] = ((server.cpu_s() - cpu_s) /
                          (time.monotonic() - began))
    return step


def show(what, step):
    latency = step["latency_us"]
    print("%-18s %8.0f requests/s  p50 %7.0f us  p99 %7.0f us  p99.9 %7.0f us"
          "  max %7.0f us  %3.0f %% of a core" % (
              what, step["achieved_per_s"], latency["p50"], latency["p99"],
              latency["p99.9"], latency["max"], 100 * step["core_share"]),
          flush=True)


def measure(args, server, repo):
    bench(args, server, "--duration", 1)  # warms up
    alone = bench(args, server, "--duration", 3)
    show("closed loop", alone)
    rate = int(alone["achieved_per_s"] * args.load)
    options = ("--rate", rate, "--duration", args.seconds)
    without, during = [], []
    for _ in range(args.pairs):
        without.append(bench(args, server, *options))
        show("without reloads", without[-1])
        before = len(server.reloads())
        with Reloading(server, repo):
            during.append(bench(args, server, *options))
        took = server.reloads()[before:]
        show("during %d reloads" % len(took), during[-1])
    print("\na reload took %.1f s (median)" % statistics.median(
        server.reloads()))
    print("the server took %.0f %% of a core without, %.0f %% during" % tuple(
        100 * statistics.median(step["core_share"] for step in steps)
        for steps in (without, during)))
    ratios = {}
    for name in ("p50", "p99", "p99.9"):
        pair = [statistics.median(step["latency_us"][name] for step in steps)
                for steps in (without, during)]
        ratios[name] = pair[1] / pair[0]
        print("%-6s without %7.0f us, during %7.0f us: %.2f times" %
              (name, *pair, ratios[name]))
    return ratios


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--directory", help="for the tables, 2 GB; kept if "
                        "given, and used again")
    parser.add_argument("--scale", type=float, default=1.1,
                        help="of the profile's rows (default: 1.1, 1 GB)")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of a run")
    parser.add_argument("--load", type=float, default=0.5,
                        help="of what a closed loop achieves")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--ids", default="zipf:0.9")
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--reload-rate", default="256MiB")
    parser.add_argument("--bound", type=float, default=2.0,
                        help="of p99 during reloads over p99 without "
                        "(default: 2.0)")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = tempfile.mkdtemp(prefix="nibble-reload-")
        stack.callback(shutil.rmtree, scratch)
        repo = os.path.join(args.directory or scratch, "repo")
        if not os.path.exists(os.path.join(repo, MODEL, "2")):
            os.makedirs(repo, exist_ok=True)
            for seed in (1, 2):
                run(os.path.join(args.build, "nibble"), "bench",
                    "--make-tables", MODEL, "--scale", args.scale, "--repo",
                    repo, "--seed", seed)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(repo, MODEL, "SERVING"))
        server = Server(args, repo, scratch)
        try:
            ratios = measure(args, server, repo)
        finally:
            server.stop()
    if ratios["p99"] > args.bound:
        sys.exit("p99 during reloads: %.2f times that without, over %g" %
                 (ratios["p99"], args.bound))


if __name__ == "__main__":
    main()
