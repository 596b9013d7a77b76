#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and scripts, several at a time, and sums up.

A program is a libcheck suite or a corpus replay; a script is a unittest
module, which finds the programs through NB_BUILD. Output is shown for what
failed; of the rest, lines that begin with "measured: ". The last line is 'N passed, M failed'; the exit status is 1 if any
failed or none ran.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time

TIMEOUT_S = 600
COUNTS = [  # what a runner prints of its own count
    re.compile(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)"),
    re.compile(r"^Ran (\d+) tests? in", re.M),
    re.compile(r"^(\d+) inputs replayed", re.M),
]


def environment(build, scratch):
    env = dict(os.environ)
    env["NB_BUILD"] = os.path.abspath(build)
    env["TMPDIR"] = scratch
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONPATH"] = os.pathsep.join(
        [os.path.abspath("tests/lib"), os.path.abspath(build + "/gen/py")])
    env.setdefault("CK_DEFAULT_TIMEOUT", "240")
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=1:"
                   "ignore_noninstrumented_modules=1:suppressions=" +
                   os.path.abspath("tests/lib/tsan.supp"))
    return env


def run(test, build):
    command = [test]
    if test.endswith(".py"):
        command = [sys.executable, test]
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nibble-test-") as scratch:
        try:
            done = subprocess.run(
                command, env=environment(build, scratch), text=True,
                errors="replace", stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                start_new_session=True)  # libcheck kills its whole group
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            status = -1
            output = (late.stdout or b"").decode(errors="replace")
            output += "\nstopped after %d s\n" % TIMEOUT_S
    return test, status, output, time.monotonic() - start


def counts(output, status):
    """Tests passed and failed, as the runner itself counted them."""
    total = failed = 0
    for pattern in COUNTS:
        for match in pattern.finditer(output):
            total += int(match.group(1))
            failed += sum(int(g) for g in match.groups()[1:])
    for word, n in re.findall(r"(failures|errors)=(\d+)", output):
        failed += int(n)
    if status != 0:
        failed = max(failed, 1)
    elif total == 0:
        failed = 1  # it ran nothing
    return max(total - failed, 0), failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="run what has this in its name")
    parser.add_argument("--quiet", action="store_true",
                        help="show what failed, and the sum")
    parser.add_argument("tests", nargs="*")
    args = parser.parse_args()
    tests = [t for t in args.tests if not args.only or args.only in t]

    passed = failed = 0
    took = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(run, t, args.build) for t in tests]
        for future in concurrent.futures.as_completed(waiting):
            test, status, output, seconds = future.result()
            ok, bad = counts(output, status)
            passed += ok
            failed += bad
            name = re.sub(r"^(build/\w+/)?tests/", "", test)
            took.append((seconds, name))
            if bad != 0 or not args.quiet:
                print("%-4s %-44s %4d tests %6.1f s" %
                      ("ok" if bad == 0 else "FAIL", name, ok + bad, seconds),
                      flush=True)
            shown = output.splitlines() if bad != 0 else [
                line for line in output.splitlines()
                if line.startswith("measured: ")]
            print("".join(line + "\n" for line in shown), end="", flush=True)
    if len(took) > 10:
        print("slowest: " + ", ".join(
            "%s %.0f s" % (name.split("/")[-1], seconds)
            for seconds, name in sorted(took, reverse=True)[:10]))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
