#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What the README shows is what the tree holds."""

import re
import unittest

import nibble_test


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class ReadmeTest(nibble_test.TestCase):
    def test_example_is_the_one_that_is_built(self):
        shown = re.search(r"```c\n(.*?)```", read("README.md"), re.S).group(1)
        built = read("client/lib/examples/pool_bags.c")
        self.assertEqual(shown, built[built.index("/* Sums"):])

    def test_links_lead_somewhere(self):
        links = re.findall(r"\]\(([^)#:]+)\)", read("README.md"))
        self.assertGreater(len(links), 5)
        for link in links:
            read(link)

    def test_commands_exist(self):
        listed = nibble_test.nibble("help").stdout
        shown = "".join(re.findall(r"```\n(.*?)```", read("README.md"), re.S))
        used = set(re.findall(r"^nibble (\w+)", shown, re.M))
        self.assertGreater(len(used), 3)
        for command in used:
            self.assertRegex(listed, r"(?m)^  %s " % command)


if __name__ == "__main__":
    nibble_test.main()
