# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Keyed tables: quantized, published, served, asked by clients."""

import json
import os

import numpy

import nibble_test
from nibble_test import (LOOKUP, NOT_FOUND, POOL, REPLY, block_values, nibble,
                         scratch_path)
from proto import nibble_pb2 as pb

N_ROWS, DIM = 3000, 8
WORDS = ["the", "of", ",", "new york", "\u00fcber", "a;b"]


def write_keys(keys):
    path = scratch_path(".npy")
    numpy.save(path, keys)
    return path


def quantize(rows, keys, *options):
    return nibble_test.table(rows, "--keys", write_keys(keys), *options)


class Keyed(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = numpy.random.default_rng(5)
        cls.rows = nibble_test.random_rows(N_ROWS, DIM)
        cls.keys = rng.permutation(
            rng.integers(0, 2**64, N_ROWS - 2, numpy.uint64))
        cls.keys = numpy.append(cls.keys,
                                numpy.array([0, 2**64 - 1], "u8"))
        cls.dense = nibble_test.table(cls.rows)
        cls.decoded = nibble_test.exported(cls.dense)
        cls.keyed = quantize(cls.rows, cls.keys)

    def serve_keyed(self, path=None, *options):
        server = self.serve({"t": path or self.keyed}, *options)
        return server, self.connect(server)

    def test_rows_come_by_their_keys(self):
        _, peer = self.serve_keyed()
        block = peer.lookup("t", self.keys)
        self.assertEqual(block.unseen, 0)
        numpy.testing.assert_array_equal(block_values(block), self.decoded)

    def test_other_ids_are_unseen(self):
        _, peer = self.serve_keyed()
        ids = [int(self.keys[0]), 1, int(self.keys[1]) ^ 1, N_ROWS - 1]
        block = peer.lookup("t", ids)
        self.assertEqual(block.unseen, 3)
        expected = numpy.zeros((4, DIM), "f4")
        expected[0] = self.decoded[0]
        numpy.testing.assert_array_equal(block_values(block), expected)
        self.assertEqual(peer.status().models[0].tables[0].unseen, 3)

    def test_ids_of_32_bits_are_keys_too(self):
        keys = numpy.arange(N_ROWS, dtype="u8") * 7
        _, peer = self.serve_keyed(quantize(self.rows, keys))
        feature = pb.PoolFeature(table="t", ids32=[7, 14, 8], lengths=[3])
        got = peer.call(POOL, pb.PoolRequest(features=[feature]))
        self.assertEqual(got.kind, REPLY)
        block = got.blocks().blocks[0]
        self.assertEqual(block.unseen, 1)
        numpy.testing.assert_allclose(
            block_values(block)[0], self.decoded[1] + self.decoded[2],
            rtol=1e-6)

    def test_default_row_and_error(self):
        path = quantize(self.rows, self.keys, "--unseen", "row:41")
        _, peer = self.serve_keyed(path)
        block = peer.lookup("t", [1])
        self.assertEqual(block.unseen, 1)
        numpy.testing.assert_array_equal(block_values(block)[0],
                                         self.decoded[41])
        path = quantize(self.rows, self.keys, "--unseen", "error")
        server, peer = self.serve_keyed(path)
        request = pb.LookupRequest()
        request.features.add(table="t", ids=[1])
        self.assert_error(peer.call(LOOKUP, request), NOT_FOUND, "ids",
                          "table 't'")
        self.assertEqual(peer.lookup("t", self.keys[:3]).rows, 3)

    def test_a_dense_table_has_policies_too(self):
        path = nibble_test.table(self.rows, "--unseen", "row:2")
        _, peer = self.serve_keyed(path)
        block = peer.lookup("t", [N_ROWS])
        numpy.testing.assert_array_equal(block_values(block)[0],
                                         self.decoded[2])

    def test_default_row_must_be_there(self):
        source = scratch_path(".npy")
        numpy.save(source, self.rows)
        done = nibble("quantize", "--input", source, "--output",
                      scratch_path(".nbt"), "--unseen", "row:%d" % N_ROWS,
                      check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("row 3000 for unseen ids, of 3000", done.stderr)

    def test_exports_are_in_one_order(self):
        rows = nibble_test.exported(self.keyed)
        keys = scratch_path(".npy")
        nibble("export", self.keyed, "--format", "keys", "--output", keys)
        keys = numpy.load(keys)
        self.assertEqual(keys.dtype, numpy.dtype("<u8"))
        order = {int(key): i for i, key in enumerate(keys)}
        numpy.testing.assert_array_equal(
            rows[[order[int(key)] for key in self.keys]], self.decoded)
        text = scratch_path(".txt")
        nibble("export", self.keyed, "--format", "glove", "--output", text)
        with open(text) as lines:
            self.assertEqual([int(line.split(" ")[0]) for line in lines],
                             [int(key) for key in keys])

    def test_inspect_verify_and_eval(self):
        source = scratch_path(".npy")
        numpy.save(source, self.rows)
        self.assertIn("whole", nibble("verify", self.keyed).stdout)
        about = json.loads(nibble("inspect", self.keyed, "--json").stdout)
        self.assertEqual(about["ids"], "numbers")
        self.assertLessEqual(2 * about["keys_bytes"], N_ROWS)
        self.assertEqual(about["unseen"], "zero")
        keyed, dense = (
            json.loads(nibble("eval", path, "--against", source, "--json",
                              *keys).stdout)
            for path, keys in ((self.keyed, ["--keys", write_keys(self.keys)]),
                               (self.dense, [])))
        for member in ("nl2", "worst_rows", "bags"):
            self.assertEqual(keyed[member], dense[member])

    def test_flipped_bits_are_found(self):
        with open(self.keyed, "rb") as file:
            whole = file.read()
        path = scratch_path(".nbt")
        for at in range(4096, len(whole), 1511):
            broken = bytearray(whole)
            broken[at] ^= 4
            with open(path, "wb") as file:
                file.write(broken)
            done = nibble("verify", path, check=False)
            self.assertEqual(done.returncode, 1, at)
            self.assertRegex(done.stderr, "section|between")

    def test_published_and_served_from_a_repository(self):
        repo = scratch_path()
        os.mkdir(repo)
        nibble("publish", "--repo", repo, "--model", "m", "t=" + self.keyed)
        server = self.serve({}, "--repo", repo)
        peer = self.connect(server)
        block = peer.lookup("t", self.keys[:9])
        numpy.testing.assert_array_equal(block_values(block), self.decoded[:9])


class Words(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.source = scratch_path(".txt")
        rows = nibble_test.random_rows(len(WORDS), DIM)
        with open(cls.source, "w", encoding="utf-8") as lines:
            for word, row in zip(WORDS, rows):
                lines.write(word + " " + " ".join("%.6g" % x for x in row) +
                            "\n")
        cls.keyed, dense = scratch_path(".nbt"), scratch_path(".nbt")
        nibble("quantize", "--input", cls.source, "--output", cls.keyed,
               "--format", "glove", "--keys", "text")
        nibble("quantize", "--input", cls.source, "--output", dense,
               "--format", "glove")
        cls.decoded = nibble_test.exported(dense)

    def setUp(self):
        self.server = self.serve({"t": self.keyed})

    def ask(self, command, *options, **named):
        return nibble(command, "--server", self.server.addresses[0], "--table",
                      "t", *options, **named)

    def test_lookup_by_words(self):
        for dtype in "fp32", "packed":
            done = self.ask("lookup", "--keys", r"of,\,,new york,nowhere,a;b",
                            "--dtype", dtype, "--json")
            got = json.loads(done.stdout)
            self.assertEqual(got["keys"],
                             ["of", ",", "new york", "nowhere", "a;b"])
            self.assertEqual(got["unseen"], 1)
            expected = self.decoded[[1, 2, 3, 3, 5]].copy()
            expected[3] = 0
            numpy.testing.assert_array_equal(
                numpy.array(got["values"], "f4"), expected)
        self.assertIn("of, id ", self.ask("lookup", "--keys", "of").stdout)

    def test_pool_by_words(self):
        done = self.ask("pool", "--keys", r"the,of;;a\;b", "--weights",
                        "1,2;;3", "--json")
        got = json.loads(done.stdout)
        self.assertEqual(got["unseen"], 0)
        expected = [self.decoded[0] + 2 * self.decoded[1], numpy.zeros(DIM),
                    3 * self.decoded[5]]
        numpy.testing.assert_allclose(got["values"], expected, rtol=1e-5,
                                      atol=1e-6)

    def test_eval_goes_by_the_words(self):
        about = json.loads(nibble("eval", self.keyed, "--against", self.source,
                                  "--format", "glove", "--json").stdout)
        self.assertLess(about["nl2"], 0.2)

    def test_inspect_says_words(self):
        self.assertIn("XXH3-64 of a word", nibble("inspect", self.keyed).stdout)


if __name__ == "__main__":
    nibble_test.main()
