# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""A model repository of a test, and a server of it."""

import json
import os

import nibble_test
from nibble_test import LOOKUP, nibble, scratch_path
from proto import nibble_pb2 as pb

DIM = 16


def tree(path):
    """Every path below a directory, with what is in the files."""
    found = {}
    for directory, directories, files in os.walk(path):
        for name in directories + files:
            full = os.path.join(directory, name)
            found[full] = None
            if os.path.isfile(full):
                with open(full, "rb") as file:
                    found[full] = file.read()
    return found


def damage(path, at):
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


class RepoCase(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        # Every version has other values, and another number of rows.
        cls.tables = [nibble_test.table(
            nibble_test.random_rows(40 + i, DIM, seed=i)) for i in range(4)]
        cls.rows = [nibble_test.exported(table) for table in cls.tables]

    def setUp(self):
        self.repo = scratch_path(".repo")
        os.mkdir(self.repo)

    def publish(self, i, *options, model="m", names=("t",)):
        done = nibble("publish", "--repo", self.repo, "--model", model,
                      "--json", *options,
                      *["%s=%s" % (name, self.tables[i]) for name in names])
        self.assertEqual(done.stdout.count("\n"), 1)
        return json.loads(done.stdout)

    def fails(self, *arguments, words=(), **options):
        """Status 1 and one line that holds the words."""
        done = nibble(*arguments, check=False, **options)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def publish_fails(self, *operands, words=(), **options):
        before = tree(self.repo)
        self.fails("publish", "--repo", self.repo, "--model", "m", *operands,
                   words=words, **options)
        after = tree(self.repo)
        after.pop(self.path(), None)  # of a model, made for its first version
        before.pop(self.path(), None)
        self.assertEqual(before, after)

    def pin(self, *options, model="m"):
        return nibble("pin", "--repo", self.repo, "--model", model, *options)

    def path(self, *parts, model="m"):
        return os.path.join(self.repo, model, *[str(p) for p in parts])

    def versions(self, model="m"):
        return sorted(os.listdir(self.path(model=model)))

    def serve_repo(self, *options, **named):
        return self.serve({}, "--repo", self.repo, *options, **named)

    def serving(self, server, model=""):
        """Version and values of the first rows of table t."""
        request = pb.LookupRequest(model=model)
        request.features.add(table="t", ids=range(40))
        blocks = self.connect(server).call(LOOKUP, request).blocks()
        return blocks.version, blocks.blocks[0].values

    def expect(self, server, version, i, model=""):
        self.assertEqual(self.serving(server, model),
                         (version, self.rows[i][:40].tobytes()))
