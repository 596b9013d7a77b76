#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The library's examples do what they say, against the real server."""

import os

import numpy

import nibble_test

EXAMPLES = os.path.join(nibble_test.BUILD, "client/lib/examples")


def run(name, *arguments, **options):
    return nibble_test.run(os.path.join(EXAMPLES, name), *arguments,
                           env={"LD_LIBRARY_PATH": nibble_test.BUILD},
                           **options)


def numbers(output):
    """The values of each line, behind its colon."""
    return numpy.array([[float(value) for value in line.split(":")[1].split()]
                        for line in output.splitlines()], numpy.float32)


class ExamplesTest(nibble_test.TestCase):
    def setUp(self):
        self.paths = {
            "word": nibble_test.table(nibble_test.random_rows(9, 6)),
            "user": nibble_test.table(nibble_test.random_rows(9, 4, seed=2),
                                      "--codec", "q8"),
            "words": nibble_test.table(nibble_test.random_rows(9, 5, seed=3)),
            "columns": nibble_test.table(
                nibble_test.random_rows(300, 8, seed=4), "--columns",
                "scale"),
            "kmeans": nibble_test.table(
                nibble_test.random_rows(300, 8, seed=5), "--codec",
                "q4-kmeans")}
        self.rows = {name: nibble_test.exported(path)
                     for name, path in self.paths.items()}
        path = "unix:" + nibble_test.scratch_path(".sock")
        self.server = self.serve(self.paths, listen=("127.0.0.1:0", path))

    def test_pool_bags(self):
        got = run("pool_bags", self.server.address).stdout
        first = self.rows["words"][:2].sum(axis=0, dtype=numpy.float64)[0]
        self.assertAlmostEqual(float(got.split()[2]), first, places=4)
        self.assertEqual(len(got.splitlines()), 2)

    def test_rank(self):
        replica = self.serve(self.paths)
        got = numbers(run("rank", self.server.address, replica.address).stdout)
        words, users = self.rows["word"], self.rows["user"]
        wanted = numpy.array([
            numpy.concatenate([words[1:4].sum(axis=0), users[7]]),
            numpy.concatenate([words[4], users[0]])])
        self.assertEqual(got.shape, (2, 10))
        self.assertTrue(numpy.allclose(got, wanted, atol=1e-5))

    def test_rows_packed(self):
        for table in self.rows:
            for address in self.server.addresses:
                got = run("rows_packed", address, table, 3, 0, 3)
                self.assertTrue(numpy.array_equal(
                    numbers(got.stdout), self.rows[table][[3, 0, 3]]), table)

    def test_errors_are_told(self):
        got = run("rows_packed", self.server.address, "none", 1, check=False)
        self.assertEqual(got.returncode, 1)
        self.assertIn("NOT_FOUND", got.stderr)
        self.assertIn("none", got.stderr)
        got = run("rank", "nowhere", check=False)
        self.assertEqual(got.returncode, 1)
        self.assertIn("HOST:PORT", got.stderr)

    def test_the_manual_names_every_function(self):
        with open("client/lib/libnibble-client.abi") as file:
            names = file.read().split()
        with open("client/lib/nibble_client.3") as file:
            page = file.read()
        self.assertGreater(len(names), 15)
        for name in names:
            self.assertIn(name, page)


if __name__ == "__main__":
    nibble_test.main()
