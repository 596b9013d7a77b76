#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Every reply is right while one version after the other is published.

    make all && scripts/verify_reloads.py [--requests N] [--reloads N] ...

Makes the tables of a profile, serves them, and runs `nibble bench --verify
--during reload` until so many replies have been held, bit for bit, against
the version that they claim, and the server has loaded so many versions
meanwhile. Any error or mismatch ends it with status 1.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time

from reload_latency import Server, run


def load(args, server, repo):
    """Replies verified."""
    report = json.loads(run(
        os.path.join(args.build, "nibble"), "bench", "--server",
        server.address, "--profile", args.profile, "--verify", "--repo", repo,
        "--during", "reload", "--every", args.every, "--connections",
        args.connections, "--duration", args.seconds, "--warm-up", 0,
        "--request-mib", 16, "--json"))
    step, = report["steps"]
    if step["errors"] or step["verified"] < step["replies"]:
        sys.exit("%d of %d replies verified, errors: %s" % (
            step["verified"], step["replies"], step["errors"]))
    return step["verified"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--requests", type=int, default=1000000)
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--profile", default="point")
    parser.add_argument("--scale", type=float, default=0.02)
    parser.add_argument("--every", type=float, default=0.2,
                        help="seconds from version to version")
    parser.add_argument("--seconds", type=float, default=10, help="of a run")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--reload-rate", default="256MiB")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = tempfile.mkdtemp(prefix="nibble-verify-")
        stack.callback(shutil.rmtree, scratch)
        repo = os.path.join(scratch, "repo")
        run(os.path.join(args.build, "nibble"), "bench", "--make-tables",
            args.profile, "--scale", args.scale, "--repo", repo)
        server = Server(args, repo, scratch)
        stack.callback(server.stop)
        first = len(server.reloads())
        began, verified, loaded = time.monotonic(), 0, 0
        while verified < args.requests or loaded < args.reloads:
            verified += load(args, server, repo)
            loaded = len(server.reloads()) - first
            print("%9d replies verified, %3d versions loaded meanwhile" % (
                verified, loaded), flush=True)
    print("no error and no mismatch in %.0f s" % (time.monotonic() - began))


if __name__ == "__main__":
    main()
