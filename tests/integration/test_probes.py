#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The probes of the server are in it, and are those that are documented."""

import os
import re
import unittest

import nibble_test
from nibble_test import NIBBLED, run


@unittest.skipUnless(
    os.path.exists("/usr/include/sys/sdt.h") or
    any(os.path.exists("/usr/include/%s-linux-gnu/sys/sdt.h" % arch)
        for arch in ("x86_64", "aarch64")), "built without <sys/sdt.h>")
class ProbesTest(nibble_test.TestCase):
    def test_they_are_documented(self):
        notes = run("readelf", "--notes", "--wide", NIBBLED).stdout
        there = set(re.findall(r"Provider: nibble\s+Name: (\w+)", notes))
        with open("server/OPERATIONS.md") as page:
            told = set(re.findall(r"^\| `(\w+)` \| `arg0", page.read(), re.M))
        self.assertEqual(there, told)
        self.assertGreater(len(there), 5)


if __name__ == "__main__":
    nibble_test.main()
