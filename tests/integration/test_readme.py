#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What the README shows is what the tree holds."""

import os
import re
import shlex
import subprocess
import unittest

import numpy

import nibble_test


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def commands():
    """The words of each command shown that needs nothing but the build."""
    shown = "".join(re.findall(r"```sh\n(.*?)```", read("README.md"), re.S))
    lines = [shlex.split(line, comments=True) for line in shown.splitlines()]
    return [[word for word in words if word != "&"] for words in lines
            if words[0] not in ("make", "cc", "kill")]


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
        shown = "".join(re.findall(r"```sh\n(.*?)```", read("README.md"), re.S))
        used = set(re.findall(r"^nibble (\w+)", shown, re.M))
        self.assertGreater(len(used), 3)
        for command in used:
            self.assertRegex(listed, r"(?m)^  %s " % command)

    def test_commands_do_what_they_say(self):
        """Run in order, in one directory; servers listen on a free port."""
        build = os.path.abspath(nibble_test.BUILD)
        env = dict(os.environ, LD_LIBRARY_PATH=build)
        scratch = nibble_test.scratch_path()
        os.mkdir(scratch)
        numpy.save(scratch + "/vectors.npy", nibble_test.random_rows(9, 6))
        address = None
        ran = []
        for words in commands():
            if words[0] == "nibbled":
                address = self.start(words, scratch)
                continue
            ran.append(words[1])
            if words[0] == "./pool_bags":
                words = [build + "/client/lib/examples/pool_bags", address]
            elif words[0] == "nibble":
                words[0] = build + "/nibble"
                if words[1] in ("lookup", "pool", "status"):
                    words += ["--server", address]
            done = subprocess.run(words, cwd=scratch, env=env, text=True,
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT,
                                  timeout=nibble_test.DEADLINE_S)
            self.assertEqual(done.returncode, 0, (words, done.stdout))
            if "pool_bags" in words[0]:
                self.assertRegex(done.stdout, r"^bag 0: .* \(6 values\)\n"
                                 r"bag 1: .* \(6 values\)\n$")
        self.assertIn("127.0.0.1:7700", ran)
        self.assertEqual(ran.count("publish"), 2)
        self.assertIn("pin", ran)

    def start(self, words, scratch):
        """Starts a server of the README; its address."""
        path = nibble_test.scratch_path(".address")
        command = [os.path.abspath(nibble_test.NIBBLED), *words[1:],
                   "--address-file", path]
        listen = command.index("--listen") + 1
        command[listen] = "127.0.0.1:0"
        server = subprocess.Popen(command, cwd=scratch,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        nibble_test.wait_for(
            lambda: os.path.exists(path) or server.poll() is not None,
            "nibbled listens")
        self.assertIsNone(server.poll())
        return read(path).strip()


if __name__ == "__main__":
    nibble_test.main()
