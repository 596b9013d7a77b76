# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What the server answers, by a client that protoc made: rows equal the
exported table bit for bit, bags equal numpy's to rounding."""

import numpy

import nibble_test
from nibble_test import (BF16, FP16, INVALID_ARGUMENT, LOOKUP, MAX, MEAN,
                         NOT_FOUND, PACKED, POOL, SUM, block_values)
from proto import nibble_pb2 as pb

DIMS = {"narrow": 3, "words": 50, "wide": 257}
N_ROWS = 300


class Values(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tables = {
            name: nibble_test.table(nibble_test.random_rows(N_ROWS, dim, dim))
            for name, dim in DIMS.items()}
        cls.tables["fp32"] = nibble_test.table(
            nibble_test.random_rows(N_ROWS, 10), "--scales", "fp32")
        cls.rows = {name: nibble_test.exported(path)
                    for name, path in cls.tables.items()}

    def setUp(self):
        self.server = self.serve(self.tables)
        self.peer = self.connect(self.server)
        self.rng = numpy.random.default_rng(7)

    def ids(self, n):
        return [int(i) for i in self.rng.integers(0, N_ROWS, n)]

    def test_lookup_is_bit_equal_to_the_export(self):
        for name, rows in self.rows.items():
            for n in (1, 2, 17, 500):
                ids = self.ids(n)
                block = self.peer.lookup(name, ids)
                self.assertEqual(block.rows, n)
                self.assertEqual(block.dim, rows.shape[1])
                self.assertEqual(block.row_bytes, 4 * rows.shape[1])
                self.assertEqual(block.unseen, 0)
                self.assertEqual(block.values, rows[ids].tobytes())

    def test_ids32_and_ids64_are_the_same(self):
        ids = self.ids(33)
        request = pb.LookupRequest()
        request.features.add(table="words", ids=ids)
        request.features.add(table="words", ids32=ids)
        reply = self.peer.call(LOOKUP, request).blocks()
        self.assertEqual(reply.blocks[0].values, reply.blocks[1].values)
        self.assertEqual(reply.blocks[0].rows, 33)

    def test_lookup_as_half_types(self):
        ids = self.ids(40)
        for name, rows in self.rows.items():
            half = block_values(self.peer.lookup(name, ids, dtype=FP16))
            self.assertEqual(half.tobytes(),
                             rows[ids].astype(numpy.float16).tobytes())
            bf16 = block_values(self.peer.lookup(name, ids, dtype=BF16))
            numpy.testing.assert_allclose(bf16, rows[ids], rtol=2.0 ** -8)

    def test_packed_rows_decode_to_the_export(self):
        ids = self.ids(40)
        for name, rows in self.rows.items():
            dim = rows.shape[1]
            block = self.peer.lookup(name, ids, dtype=PACKED)
            packed = block_values(block)
            n_codes = (dim + 1) // 2
            scale_type = ("<f2", "<f4")[block.scales]
            scales = packed[:, n_codes:].copy().view(scale_type)
            self.assertEqual(scales.shape, (len(ids), 2))
            codes = numpy.empty((len(ids), 2 * n_codes), numpy.float32)
            codes[:, 0::2] = packed[:, :n_codes] & 15
            codes[:, 1::2] = packed[:, :n_codes] >> 4
            scales = scales.astype(numpy.float32)
            values = scales[:, :1] * codes[:, :dim] + scales[:, 1:]
            self.assertEqual(values.tobytes(), rows[ids].tobytes())
            self.assertEqual(block.codec, 1)

    def pool_request(self, pooling, weighted):
        request = pb.PoolRequest()
        for name in self.rows:
            lengths = [3, 0, 1, 40, 2]
            ids = self.ids(sum(lengths))
            weights = [float(w) for w in self.rng.standard_normal(len(ids))]
            request.features.add(table=name, ids=ids, lengths=lengths,
                                 weights=weights if weighted else [],
                                 pooling=pooling)
        return request

    def pooled(self, feature):
        """The definition, in double."""
        rows = self.rows[feature.table].astype(numpy.float64)
        bags = numpy.zeros((len(feature.lengths), rows.shape[1]))
        at = 0
        for bag, n in enumerate(feature.lengths):
            picked = rows[feature.ids[at:at + n]]
            if feature.weights:
                picked = picked * numpy.array(
                    feature.weights[at:at + n])[:, None]
            at += n
            if n and feature.pooling == MAX:
                bags[bag] = picked.max(axis=0)
            elif n:
                bags[bag] = picked.sum(axis=0)
                bags[bag] /= n if feature.pooling == MEAN else 1
        return bags

    def test_pool_equals_numpy_to_rounding(self):
        for pooling, weighted in ((SUM, False), (SUM, True), (MEAN, False),
                                  (MEAN, True), (MAX, False)):
            request = self.pool_request(pooling, weighted)
            reply = self.peer.call(POOL, request).blocks()
            self.assertEqual(reply.version, 1)
            self.assertEqual(len(reply.blocks), len(request.features))
            for feature, block in zip(request.features, reply.blocks):
                self.assertEqual(block.rows, len(feature.lengths))
                numpy.testing.assert_allclose(
                    block_values(block), self.pooled(feature), rtol=1e-5,
                    atol=1e-5)

    def test_unseen_ids_give_zeros_and_are_counted(self):
        ids = [0, N_ROWS, 1, 2 ** 40, 2 ** 64 - 1]
        block = self.peer.lookup("words", ids)
        self.assertEqual(block.unseen, 3)
        values = block_values(block)
        self.assertEqual(values[0].tobytes(), self.rows["words"][0].tobytes())
        for row in (1, 3, 4):
            self.assertEqual(values[row].tobytes(), bytes(200))
        request = pb.PoolRequest()
        request.features.add(table="words", ids=ids, lengths=[5], pooling=MEAN)
        block = self.peer.call(POOL, request).blocks().blocks[0]
        self.assertEqual(block.unseen, 3)
        numpy.testing.assert_allclose(
            block_values(block)[0], self.rows["words"][:2].sum(axis=0) / 5,
            rtol=1e-5, atol=1e-6)
        status = self.peer.status()
        unseen = {t.name: t.unseen for t in status.models[0].tables}
        self.assertEqual(unseen,
                         {"words": 6, "narrow": 0, "wide": 0, "fp32": 0})

    def test_requests_without_features_and_features_without_ids(self):
        for method in (LOOKUP, POOL):
            reply = self.peer.call(method, b"").blocks()
            self.assertEqual((reply.version, len(reply.blocks)), (1, 0))
        block = self.peer.lookup("words", [])
        self.assertEqual((block.rows, block.dim, block.values), (0, 50, b""))
        request = pb.PoolRequest()
        request.features.add(table="words", lengths=[0, 0])
        block = self.peer.call(POOL, request).blocks().blocks[0]
        self.assertEqual((block.rows, block.values), (2, bytes(400)))

    def test_model_and_version(self):
        self.assertEqual(self.peer.lookup("words", [1], model="default",
                                          version=1).rows, 1)
        for fields, word in (({"model": "other"}, "model: no model 'other'"),
                             ({"version": 2}, "version: 2 is not loaded")):
            for method, kind in ((LOOKUP, pb.LookupRequest),
                                 (POOL, pb.PoolRequest)):
                self.assert_error(self.peer.call(method, kind(**fields)),
                                  NOT_FOUND, word)

    def test_status_describes_the_tables(self):
        self.peer.ping()
        status = self.peer.status()
        self.assertEqual([m.name for m in status.models], ["default"])
        model = status.models[0]
        self.assertEqual(model.version, 1)
        self.assertEqual([t.name for t in model.tables],
                         sorted(self.tables))
        words = model.tables[-1]
        self.assertEqual((words.name, words.codec, words.scales, words.rows,
                          words.dim, words.row_bytes),
                         ("words", "q4", "fp16", N_ROWS, 50, 29))
        counts = {m.name: m.requests for m in status.methods}
        self.assertEqual(counts,
                         {"ping": 1, "status": 1, "lookup": 0, "pool": 0})
        self.assertEqual(status.connections, 1)
        self.assertGreater(status.bytes_received, 0)
        self.assertGreater(status.bytes_sent, 0)
        self.assertEqual(status.loops, 1)
        self.assert_error(
            self.peer.call(nibble_test.STATUS, pb.StatusRequest(model="no")),
            NOT_FOUND, "model: no model 'no'")

    def refused(self, method, feature, code, *words, **fields):
        kind = {LOOKUP: pb.LookupRequest, POOL: pb.PoolRequest}[method]
        request = kind(**fields)
        request.features.add(table="narrow")
        request.features.add(**feature)
        with self.lives_on(self.server):
            self.assert_error(self.peer.call(method, request), code, *words)

    def test_wrong_requests_name_the_field(self):
        for method in (LOOKUP, POOL):
            self.refused(method, {"table": "nope"}, NOT_FOUND,
                         "features[1].table: no table 'nope', there is ")
            self.refused(method, {"table": "words", "ids": [1], "ids32": [1]},
                         INVALID_ARGUMENT, "features[1]: both ids and ids32")
            self.refused(method, {"table": "words"}, INVALID_ARGUMENT,
                         "dtype: 9 is not known", dtype=9)
        words = {"table": "words", "ids": [1, 2, 3]}
        self.refused(POOL, dict(words, lengths=[1, 1]), INVALID_ARGUMENT,
                     "features[1].lengths: sum 2, but 3 ids")
        self.refused(POOL, dict(words, lengths=[2 ** 32 - 1, 4]),
                     INVALID_ARGUMENT,
                     "features[1].lengths: sum 4294967299, but 3 ids")
        self.refused(POOL, dict(words, lengths=[3], weights=[1.0]),
                     INVALID_ARGUMENT,
                     "features[1].weights: 1 weights, but 3 ids")
        self.refused(POOL, dict(words, lengths=[3], weights=[1.0] * 3,
                                pooling=MAX),
                     INVALID_ARGUMENT, "features[1].weights: not with MAX")
        self.refused(POOL, dict(words, lengths=[3], pooling=7),
                     INVALID_ARGUMENT, "features[1].pooling: 7 is not known")
        self.refused(POOL, dict(words, lengths=[3]), INVALID_ARGUMENT,
                     "dtype: PACKED is for Lookup only", dtype=PACKED)
        self.refused(LOOKUP, {"table": "wo\0rds"}, INVALID_ARGUMENT,
                     "features[1].table: holds a NUL byte")
        self.refused(LOOKUP, {"table": "w\u00f6rds\n"}, NOT_FOUND,
                     "features[1].table: no table 'w??rds?'")

    def test_an_unknown_table_is_told_which_there_are(self):
        """As many as there is room for."""
        table = self.tables["narrow"]
        for names, listed in (
                (("one", "two"), "one, two"),
                (("a" * 128, "b"), "..."),
                (["%02d" % i + 60 * "x" for i in range(4)],
                 "00%s, ..." % (60 * "x"))):
            peer = self.connect(self.serve({name: table for name in names}))
            for method, request, field in (
                    (LOOKUP, pb.LookupRequest(features=[
                        pb.LookupFeature(table="nope")]), "features[0].table"),
                    (nibble_test.STATUS, pb.StatusRequest(table="nope"),
                     "table")):
                self.assert_error(
                    peer.call(method, request), NOT_FOUND,
                    "%s: no table 'nope', there is %s" % (field, listed))

    def test_weights_that_are_not_finite_pass_through(self):
        request = pb.PoolRequest()
        request.features.add(table="narrow", ids=[1, 2], lengths=[1, 1],
                             weights=[float("nan"), 1.0])
        values = block_values(self.peer.call(POOL, request).blocks().blocks[0])
        self.assertTrue(numpy.isnan(values[0]).all())
        self.assertEqual(values[1].tobytes(),
                         self.rows["narrow"][2].tobytes())

    # ---- beside PyTorch ---------------------------------------------------

    def test_sums_of_golden_bags(self):
        """The bags of golden/embedding_bag_4bit.txt, of the same packed rows,
        to the rounding of fp32: our order of operations differs."""
        rows, bags = golden_bags()
        source = nibble_test.scratch_path(".txt")
        with open("tests/data/glove-6B-50d-head.txt") as all_words, \
                open(source, "w") as some:
            some.writelines(list(all_words)[0:2444:97])
        path = nibble_test.scratch_path(".nbt")
        nibble_test.nibble("quantize", "--input", source, "--output", path,
                           "--search", "asym")
        packed = nibble_test.scratch_path(".bin")
        nibble_test.nibble("export", path, "--format", "fbgemm", "--output",
                           packed)
        with open(packed, "rb") as file:
            self.assertEqual(file.read()[-len(rows):], rows)
        peer = self.connect(self.serve({"bags": path}))
        for ids, weights, sums in bags:
            request = pb.PoolRequest()
            request.features.add(table="bags", ids=ids, lengths=[len(ids)],
                                 weights=weights, pooling=SUM)
            block, = peer.call(POOL, request).blocks().blocks
            got = block_values(block)[0]
            room = 1e-6 * max(1, len(ids)) * max(1, abs(sums).max())
            self.assertLess(abs(got - sums).max(), room, ids)


def golden_bags():
    """Bytes of all rows, and ids, weights and sums of each bag."""
    rows, bags = b"", []

    def floats(text):
        bits = [] if text in "-." else [int(w, 16) for w in text.split(",")]
        return numpy.array(bits, dtype=numpy.uint32).view(numpy.float32)

    with open("tests/golden/embedding_bag_4bit.txt") as lines:
        for line in lines:
            words = line.split()
            if words[0] == "row":
                rows += bytes.fromhex(words[1])
            elif words[0] == "bag":
                ids = [] if words[1] == "." else words[1].split(",")
                bags.append(([int(i) for i in ids], floats(words[2]),
                             floats(words[3])))
    assert len(bags) >= 10
    return rows, bags


if __name__ == "__main__":
    nibble_test.main()
