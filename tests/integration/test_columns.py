# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Tables with a column transform, from --columns to packed rows decoded away
from the server."""

import json

import numpy

import nibble_test
from nibble_test import (NOT_FOUND, PACKED, POOL, REPLY, STATUS,
                         nibble)
from proto import nibble_pb2 as pb

N_ROWS, DIM = 400, 13


def shifted_rows():
    rows = nibble_test.random_rows(N_ROWS, DIM)
    return rows * numpy.float32(0.1) + numpy.arange(DIM, dtype=numpy.float32)


def table_params(peer, table, **fields):
    got = peer.call(STATUS, pb.StatusRequest(table=table, **fields))
    assert got.kind == REPLY, pb.Error.FromString(got.body)
    return pb.StatusReply.FromString(got.body).params


def decode(block, params):
    """As storage/FORMAT.md says, in fp32."""
    f4 = numpy.float32
    packed = numpy.frombuffer(block.values, "u1").reshape(block.rows, -1)
    n_codes = (params.dim + 1) // 2
    numbers = packed[:, n_codes:].copy().view("<f2").astype(f4)
    codes = numpy.empty((block.rows, 2 * n_codes), f4)
    codes[:, 0::2] = packed[:, :n_codes] & 15
    codes[:, 1::2] = packed[:, :n_codes] >> 4
    z = numbers[:, :1] * codes[:, :params.dim] + numbers[:, 1:]
    rows = numpy.array(params.column_scale or [1], f4) * z + \
        numpy.array(params.column_mean, f4)
    rows[(packed == 0).all(axis=1)] = 0
    return rows


class Columns(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        rows = shifted_rows()
        cls.tables = {how: nibble_test.table(rows, "--columns", how)
                      for how in ("none", "center", "scale")}
        cls.rows = {how: nibble_test.exported(path)
                    for how, path in cls.tables.items()}

    def setUp(self):
        self.server = self.serve(self.tables)
        self.peer = self.connect(self.server)

    def test_served_rows_are_the_exported_ones(self):
        source = shifted_rows()
        for how, rows in self.rows.items():
            block = self.peer.lookup(how, range(N_ROWS))
            self.assertEqual(block.values, rows.tobytes())
            self.assertEqual(block.params, 0)
            error = numpy.linalg.norm(rows - source) / \
                numpy.linalg.norm(source)
            self.assertLess(error, 0.1 if how == "none" else 0.002)

    def test_packed_rows_are_decoded_with_the_parameters(self):
        ids = list(range(50)) + [N_ROWS, 3]
        for how in ("center", "scale"):
            params = table_params(self.peer, how)
            self.assertEqual(params.table, how)
            self.assertEqual(params.version, 1)
            self.assertEqual(len(params.column_mean), DIM)
            self.assertEqual(len(params.column_scale),
                             DIM if how == "scale" else 0)
            block = self.peer.lookup(how, ids, dtype=PACKED)
            self.assertEqual(block.params, params.params)
            self.assertNotEqual(block.params, 0)
            self.assertEqual(decode(block, params).tobytes(),
                             self.peer.lookup(how, ids).values)

    def test_a_table_without_parameters(self):
        params = table_params(self.peer, "none")
        self.assertEqual(params.params, 0)
        self.assertEqual(len(params.column_mean), 0)
        self.assertEqual(params.dim, DIM)
        self.assertEqual(
            self.peer.lookup("none", [1], dtype=PACKED).params, 0)

    def test_parameters_are_told_only_if_asked_for(self):
        self.assertFalse(self.peer.status().HasField("params"))

    def test_parameters_of_what_is_not_there(self):
        for request in (pb.StatusRequest(table="other"),
                        pb.StatusRequest(table="scale", model="other"),
                        pb.StatusRequest(table="scale", version=9)):
            got = self.peer.call(STATUS, request)
            self.assert_error(got, NOT_FOUND)
        self.assertEqual(
            len(table_params(self.peer, "scale", version=1).column_mean), DIM)

    def test_bags_are_those_of_the_rows(self):
        rng = numpy.random.default_rng(3)
        lengths = [3, 0, 1, 300, 2]
        ids = [int(i) for i in rng.integers(0, N_ROWS + 40, sum(lengths))]
        weights = rng.standard_normal(len(ids))
        for how, rows in self.rows.items():
            rows = numpy.vstack([rows, numpy.zeros((40, DIM))])
            for pooling in (0, 1, 2):
                request = pb.PoolRequest()
                request.features.add(
                    table=how, ids=ids, lengths=lengths, pooling=pooling,
                    weights=weights if pooling == 0 else [])
                block = self.peer.call(POOL, request).blocks().blocks[0]
                got = nibble_test.block_values(block)
                at = 0
                for bag, n in enumerate(lengths):
                    picked = rows[ids[at:at + n]]
                    seen = numpy.array(ids[at:at + n], int) < N_ROWS
                    want = numpy.zeros(DIM)
                    if pooling == 0:
                        want = weights[at:at + n] @ picked
                    elif pooling == 1 and n:
                        want = picked.sum(axis=0) / n
                    elif pooling == 2 and seen.any():
                        want = picked[seen].max(axis=0)
                    numpy.testing.assert_allclose(got[bag], want, rtol=1e-5,
                                                  atol=1e-3)
                    at += n

    def test_the_command_decodes_packed_rows(self):
        for how in self.tables:
            for dtype in ("fp32", "packed"):
                done = nibble("lookup", "--server", self.server.address,
                              "--table", how, "--ids", "0,399,400", "--dtype",
                              dtype, "--json")
                values = numpy.array(json.loads(done.stdout)["values"],
                                     numpy.float32)
                self.assertEqual(values[:2].tobytes(),
                                 self.rows[how][[0, 399]].tobytes())
                self.assertFalse(values[2].any())

    def test_inspect_tells_the_transform_and_its_bytes(self):
        for how, floats in (("none", 0), ("center", 1), ("scale", 2)):
            done = nibble("inspect", self.tables[how], "--json")
            told = json.loads(done.stdout)
            self.assertEqual(told["columns"], how)
            self.assertEqual(told["params_bytes"],
                             16 + 4 * DIM * floats if floats else 0)
            text = nibble("inspect", self.tables[how]).stdout
            self.assertEqual("columns  " + how in text, how != "none")

    def test_fbgemm_cannot_hold_it(self):
        done = nibble("export", self.tables["center"], "--format", "fbgemm",
                      "--output", nibble_test.scratch_path(), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("column transform", done.stderr)


if __name__ == "__main__":
    nibble_test.main()
