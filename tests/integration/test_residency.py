# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Tables kept in memory as --residency says."""

import os
import resource

import numpy

import nibble_test
from nibble_test import NIBBLED, block_values, nibble, run, scratch_path


class Residency(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(5000, 16))
        cls.rows = nibble_test.exported(cls.table)

    def shown(self, server):
        return {table.name: table.residency
                for table in self.connect(server).status().models[0].tables}

    def assert_served(self, server, name):
        block = self.connect(server).lookup(name, range(0, 5000, 7))
        numpy.testing.assert_array_equal(block_values(block), self.rows[::7])

    def test_each_way_of_its_own(self):
        ways = "map", "populate", "lock", "huge"
        options = ["--residency", "map"]
        for way in ways[1:]:
            options += ["--residency", "t-%s=%s" % (way, way)]
        server = self.serve({"t-" + way: self.table for way in ways}, *options)
        self.assertEqual(self.shown(server), {"t-" + way: way for way in ways})
        for way in ways:
            self.assert_served(server, "t-" + way)
        shown = nibble("status", "--server", server.address).stdout
        self.assertRegex(shown, r"t-huge .* huge ")

    def test_versions_of_a_repository(self):
        repo = scratch_path()
        os.mkdir(repo)
        for model in "m", "n":
            nibble("publish", "--repo", repo, "--model", model,
                   "t=" + self.table, "u=" + self.table)
        server = self.serve({}, "--repo", repo, "--residency", "populate",
                            "--residency", "m/t=huge")
        tables = {(model.name, table.name): table.residency
                  for model in self.connect(server).status().models
                  for table in model.tables}
        self.assertEqual(tables, {("m", "t"): "huge", ("m", "u"): "populate",
                                  ("n", "t"): "populate",
                                  ("n", "u"): "populate"})
        nibble("publish", "--repo", repo, "--model", "m", "t=" + self.table)

        def second():
            model, = [model for model in self.connect(server).status().models
                      if model.name == "m"]
            return model.version == 2 and model
        model = nibble_test.wait_for(second, "version 2")
        self.assertEqual([t.residency for t in model.tables], ["huge"])

    def test_locking_more_than_allowed(self):
        done = run(NIBBLED, "--table", "t=" + self.table, "--residency", "lock",
                   "--listen", "127.0.0.1:0", check=False, denied=True,
                   limit=(resource.RLIMIT_MEMLOCK, 4096))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("may lock 4096 (RLIMIT_MEMLOCK", done.stderr)
        self.assertIn(self.table, done.stderr)

    def test_rules_that_are_none(self):
        done = run(NIBBLED, "--table", "t=" + self.table, "--residency",
                   "t=hot", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--residency: 't=hot' is not", done.stderr)


if __name__ == "__main__":
    nibble_test.main()
