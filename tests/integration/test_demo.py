# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""`make demo` tells its whole story, from any directory, and cleans up."""

import os
import subprocess
import sys
import tempfile
import unittest

import nibble_test

DEMO = os.path.abspath("demo/demo.sh")


def run(path, scratch):
    env = dict(os.environ, PATH=path, PYTHON=sys.executable, TMPDIR=scratch)
    return subprocess.run([DEMO], cwd="/", env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          timeout=nibble_test.DEADLINE_S)


class DemoTest(unittest.TestCase):
    def test_demo(self):
        with tempfile.TemporaryDirectory() as scratch:
            path = "%s:%s" % (os.path.abspath(nibble_test.BUILD),
                              os.environ["PATH"])
            done = run(path, scratch)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stderr, "")
            self.assertEqual(os.listdir(scratch), [])
        self.assertLess(done.stdout.count("\n"), 66)
        for words in ("normalized l2 loss", "% of fp32", "listens at",
                      "an id is the XXH3-64 of a word",
                      "neighbours are the same", "Pool a sentence",
                      "ended with status 0"):
            self.assertIn(words, done.stdout)

    def test_programs_that_are_missing(self):
        with tempfile.TemporaryDirectory() as scratch:
            done = run("/usr/bin:/bin", scratch)
            self.assertEqual(os.listdir(scratch), [])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn("make demo", done.stderr)


if __name__ == "__main__":
    nibble_test.main()
