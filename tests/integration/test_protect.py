# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Tables with protected rows, from --protect to what a server answers."""

import json
import struct

import numpy

import nibble_test
from nibble_test import (INVALID_ARGUMENT, LOOKUP, PACKED, POOL, nibble,
                         scratch_path)
from proto import nibble_pb2 as pb

N_ROWS, DIM = 1000, 13
FRACTION = 0.1


def write_weights(weights):
    path = scratch_path(".txt")
    numpy.savetxt(path, weights)
    return path


def row_errors(path, source):
    return numpy.linalg.norm(nibble_test.exported(path) - source, axis=1)


class Protect(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = numpy.random.default_rng(5)
        cls.source = nibble_test.random_rows(N_ROWS, DIM) + 3
        cls.weights = rng.permutation(N_ROWS)
        cls.hot = cls.weights >= N_ROWS * (1 - FRACTION)
        cls.how = "%s:%g" % (write_weights(cls.weights), FRACTION)
        cls.codecs = {
            "q4": [], "scaled": ["--columns", "scale"],
            "trellis": ["--codec", "q4-trellis", "--columns", "center"],
            "shared": ["--codec", "q4-shared8"]}
        cls.tables = {
            name: nibble_test.table(cls.source, "--protect", cls.how, *options)
            for name, options in cls.codecs.items()}

    def test_the_most_used_rows_lose_little(self):
        for name, path in self.tables.items():
            plain = nibble_test.table(self.source, *self.codecs[name])
            before = row_errors(plain, self.source)
            after = row_errors(path, self.source)
            self.assertEqual(before[~self.hot].tolist(),
                             after[~self.hot].tolist())
            self.assertLess(after[self.hot].mean(),
                            before[self.hot].mean() / 8, name)

    def test_what_quantize_and_inspect_say(self):
        path = self.tables["trellis"]
        report = json.loads(nibble("inspect", path, "--json").stdout)
        self.assertEqual(report["protected_rows"], N_ROWS * FRACTION)
        loss = numpy.linalg.norm(row_errors(path, self.source)) / \
            numpy.linalg.norm(self.source)
        self.assertAlmostEqual(report["nl2"], loss, places=6)
        self.assertIn("protect  100 rows of the most used",
                      nibble("inspect", path).stdout)
        nibble("verify", path)

    def test_threads_do_not_change_the_file(self):
        files = []
        source = nibble_test.random_rows(20000, DIM)  # several blocks
        output = scratch_path(".nbt")
        path = scratch_path(".npy")
        numpy.save(path, source)
        weights = write_weights(numpy.arange(len(source)) * 7919 % len(source))
        for n in ("1", "3"):
            nibble("quantize", "--input", path, "--output", output, "--codec",
                   "q4", "--protect", weights + ":0.1", "--threads", n)
            with open(output, "rb") as file:
                files.append(file.read())
        self.assertEqual(files[0], files[1])

    def test_served(self):
        server = self.serve(self.tables)
        peer = self.connect(server)
        rng = numpy.random.default_rng(3)
        lengths = [3, 0, 1, 300, 2]
        ids = [int(i) for i in rng.integers(0, N_ROWS, sum(lengths))]
        weights = rng.standard_normal(len(ids))
        for name, path in self.tables.items():
            rows = nibble_test.exported(path)
            block = peer.lookup(name, ids)
            self.assertEqual(block.values, rows[ids].tobytes())
            for pooling in (0, 1, 2):
                request = pb.PoolRequest()
                request.features.add(
                    table=name, ids=ids, lengths=lengths, pooling=pooling,
                    weights=weights if pooling == 0 else [])
                block = peer.call(POOL, request).blocks().blocks[0]
                got = nibble_test.block_values(block)
                at = 0
                for bag, n in enumerate(lengths):
                    picked = rows[ids[at:at + n]].astype(float)
                    want = numpy.zeros(DIM)
                    if n and pooling == 2:
                        want = picked.max(axis=0)
                    elif n:
                        each = weights[at:at + n] if pooling == 0 else 1 / n
                        want = (picked.T * each).sum(axis=1)
                    numpy.testing.assert_allclose(got[bag], want, rtol=1e-5,
                                                  atol=2e-4)
                    at += n
            request = pb.LookupRequest(dtype=PACKED)
            request.features.add(table=name, ids=[1])
            self.assert_error(peer.call(LOOKUP, request), INVALID_ARGUMENT,
                              "features[0]: table '%s' has protected" % name)

    def fails(self, how, word, *options):
        source = scratch_path(".npy")
        numpy.save(source, self.source)
        output = scratch_path(".nbt")
        done = nibble("quantize", "--input", source, "--output", output,
                      "--codec", "q4", "--protect", how, *options, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(word, done.stderr)
        with self.assertRaises(FileNotFoundError):
            open(output, "rb")
        return done.returncode

    def test_weights_that_do_not_fit(self):
        for n, word in ((N_ROWS - 1, "999 weights, and more rows"),
                        (N_ROWS + 1, "1001 weights, and fewer rows"),
                        (1, "1 weight, and more rows")):
            path = write_weights(numpy.arange(1, n + 1))
            self.assertEqual(self.fails(path + ":0.5", word), 1)
        self.fails("/no/such:0.5", "No such file")
        keys = scratch_path(".npy")
        numpy.save(keys, numpy.arange(N_ROWS, dtype="<u8"))
        self.fails(self.how, "not together with --keys", "--keys", keys)

    def test_the_weights_stay(self):
        source = scratch_path(".npy")
        numpy.save(source, self.source)
        path = write_weights(self.weights)
        with open(path, "rb") as file:
            before = file.read()
        for options in (["--codec", "q4", "--protect", path + ":0.5"],
                        ["--weights", path]):
            done = nibble("quantize", "--input", source, "--output", path,
                          *options, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn("is the file of weights", done.stderr)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), before)

    def test_usage(self):
        for how in ("weights", ":0.5", "w:", "w:0", "w:1.5", "w:nan", "w:-1",
                    "w:0.5x"):
            self.assertEqual(self.fails(how, "is not FILE:FRACTION"), 2)

    def test_not_for_fbgemm(self):
        done = nibble("export", self.tables["q4"], "--format", "fbgemm",
                      "--output", scratch_path(".npy"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--protect", done.stderr)

    def test_damaged_blocks(self):
        with open(self.tables["q4"], "rb") as file:
            data = bytearray(file.read())
        sections = {}
        for i in range(struct.unpack_from("<I", data, 60)[0]):
            kind, _, offset, length, _ = struct.unpack_from(
                "<IIQQQ", data, 80 + 32 * i)
            sections[kind] = (offset, length)
        offset, length = sections[7]
        self.assertEqual(length, 3 * 64 + 100 * 11)
        for at, bit in ((0, 1), (64, 1), (8, 1), (128 + 63, 128)):
            damaged = bytearray(data)
            damaged[offset + at] ^= bit
            path = scratch_path(".nbt")
            with open(path, "wb") as file:
                file.write(damaged)
            done = nibble("inspect", path, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("protected rows section at %d" % offset, done.stderr)
        damaged = bytearray(data)
        damaged[offset + length - 1] ^= 1
        with open(path, "wb") as file:
            file.write(damaged)
        done = nibble("verify", path, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("protected rows", done.stderr)


if __name__ == "__main__":
    nibble_test.main()
