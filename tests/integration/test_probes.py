#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The probes of the server are in it, and are those that are documented; and
where bpftrace runs, what is documented tells what it says."""

import os
import re
import shutil
import subprocess
import unittest

import nibble_test
from nibble_test import DEADLINE_S, NIBBLED, run
from repo_case import RepoCase

PAGE = "server/OPERATIONS.md"


def bpftrace_runs():
    return shutil.which("bpftrace") is not None and subprocess.run(
        ["bpftrace", "-e", "BEGIN { exit(); }"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, timeout=DEADLINE_S).returncode == 0


@unittest.skipUnless(
    os.path.exists("/usr/include/sys/sdt.h") or
    any(os.path.exists("/usr/include/%s-linux-gnu/sys/sdt.h" % arch)
        for arch in ("x86_64", "aarch64")), "built without <sys/sdt.h>")
class ProbesTest(nibble_test.TestCase):
    def test_they_are_documented(self):
        notes = run("readelf", "--notes", "--wide", NIBBLED).stdout
        there = set(re.findall(r"Provider: nibble\s+Name: (\w+)", notes))
        with open(PAGE) as page:
            told = set(re.findall(r"^\| `(\w+)` \| `arg0", page.read(), re.M))
        self.assertEqual(there, told)
        self.assertGreater(len(there), 5)


@unittest.skipUnless(bpftrace_runs(), "no bpftrace that may attach here")
class BpftraceTest(RepoCase):
    def one_liners(self):
        with open(PAGE) as page:
            text = page.read().replace("/usr/local/bin/nibbled",
                                       os.path.abspath(NIBBLED))
        return re.findall(r"^bpftrace -e '(.*?)'$", text, re.M | re.S)

    def test_they_tell(self):
        self.publish(0)
        server = self.serve_repo("--reload-rate", "0")
        peer = self.connect(server)
        # By what each must print.
        expected = [r"@us\[3\]:.*\n\[", r"@decode_ns:.*\n\[",
                    r"@bytes\[\d+\]: \d", r"(?m)^m \d+$"]
        self.assertEqual(len(self.one_liners()), len(expected))
        for program, words in zip(self.one_liners(), expected):
            # Attached last, and so counted from when the others are.
            tracer = subprocess.Popen(
                ["bpftrace", "-e", program + " interval:s:1 { exit(); }"],
                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.addCleanup(tracer.wait)
            self.addCleanup(tracer.kill)
            self.addCleanup(tracer.stdout.close)
            while tracer.poll() is None:
                peer.lookup("t", [0])
                if "reload" in program:
                    self.publish(0)
            told = tracer.stdout.read()
            self.assertEqual(tracer.returncode, 0, told)
            self.assertRegex(told, words)


if __name__ == "__main__":
    nibble_test.main()
