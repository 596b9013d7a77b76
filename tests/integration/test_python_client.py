# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The Python package against the real server, and against one that lies."""

import contextlib
import importlib.util
import io
import json
import os
import re
import socket
import sys
import threading
import unittest

import numpy

import nibble_test
from nibble_test import pb

sys.path.insert(0, os.path.join(nibble_test.BUILD, "python"))
import nibble_client  # noqa: E402: found where it was built


def pooled(rows, bags, mode):
    """One bag after another, in float64."""
    fold = {"sum": numpy.sum, "mean": numpy.mean, "max": numpy.max}[mode]
    return numpy.array([fold(rows[bag].astype(numpy.float64), axis=0)
                        if bag else numpy.zeros(rows.shape[1]) for bag in bags])


class Served(nibble_test.TestCase):
    def setUp(self):
        path = nibble_test.table(nibble_test.random_rows(50, 12))
        other = nibble_test.table(nibble_test.random_rows(9, 4, seed=2))
        self.rows = nibble_test.exported(path)
        self.other = nibble_test.exported(other)
        socket_path = nibble_test.scratch_path(".sock")
        self.server = self.serve(
            {"words": path, "other": other},
            listen=("127.0.0.1:0", "unix:" + socket_path))
        self.client = nibble_client.Client(self.server.address)
        self.addCleanup(self.client.close)

    def test_rows_in_every_form(self):
        ids = numpy.array([3, 0, 49, 3])
        for given in (ids, ids.tolist(), ids.astype(numpy.uint8)):
            got = self.client.lookup("words", given)
            self.assertEqual(got.dtype, numpy.float32)
            self.assertTrue(numpy.array_equal(got, self.rows[ids]))
        half = self.client.lookup("words", ids, dtype="fp16")
        self.assertEqual(half.dtype, numpy.float16)
        self.assertTrue(numpy.array_equal(
            half, self.rows[ids].astype(numpy.float16)))
        brain = self.client.lookup("words", ids, dtype="bf16")
        self.assertEqual(brain.dtype, numpy.float32)
        self.assertTrue(numpy.allclose(brain, self.rows[ids], rtol=2**-8))
        packed = self.client.lookup("words", ids, dtype="packed")
        self.assertEqual(packed.shape, (4, 10))
        self.assertEqual(packed.dtype, numpy.uint8)
        codes = numpy.stack([packed[:, :6] & 15, packed[:, :6] >> 4], axis=2)
        scale, bias = packed[:, 6:].copy().view("<f2").T.astype(numpy.float64)
        decoded = codes.reshape(4, 12) * scale[:, None] + bias[:, None]
        self.assertTrue(numpy.allclose(decoded, self.rows[ids], atol=1e-5))

    def test_bags(self):
        bags = [[1, 2, 3], [], [4], [5, 5]]
        for mode in ("sum", "mean", "max"):
            got = self.client.pool("words", bags, mode=mode)
            self.assertTrue(numpy.allclose(got, pooled(self.rows, bags, mode),
                                           atol=1e-5), mode)
        jagged = self.client.pool("words", (numpy.array([1, 2, 3, 4, 5, 5]),
                                            numpy.array([3, 0, 1, 2])))
        self.assertTrue(numpy.array_equal(
            jagged, self.client.pool("words", bags)))
        # A tuple of two lists is two bags, even where it could be a pair.
        self.assertEqual(self.client.pool("words", ([1, 2], [2])).shape,
                         (2, 12))
        weighted = self.client.pool("words", [[1, 2]], weights=[2, -1])
        self.assertTrue(numpy.allclose(
            weighted[0], 2 * self.rows[1] - self.rows[2], atol=1e-5))
        self.assertEqual(self.client.pool("words", []).shape, (0, 12))

    def test_several_tables_and_unseen_ids(self):
        reply = self.client.lookup_features(
            [nibble_client.LookupFeature("other", [8, 9]),
             nibble_client.LookupFeature("words", [2**64 - 1, 1])])
        self.assertEqual(reply.version, 1)
        self.assertEqual([b.unseen for b in reply.blocks], [1, 1])
        self.assertTrue(numpy.array_equal(reply.blocks[0].values[0],
                                          self.other[8]))
        self.assertFalse(reply.blocks[1].values[0].any())
        self.assertTrue(numpy.array_equal(reply.blocks[1].values[1],
                                          self.rows[1]))
        reply = self.client.pool_features(
            [nibble_client.PoolFeature("words", [[1]], None, "max"),
             nibble_client.PoolFeature("other", [[0, 1], [2]])])
        self.assertEqual([b.values.shape for b in reply.blocks],
                         [(1, 12), (2, 4)])

    def test_status_and_ping(self):
        self.client.ping()
        model, = self.client.status()["models"]
        self.assertEqual(model["name"], "default")
        self.assertEqual({t["name"]: t["dim"] for t in model["tables"]},
                         {"words": 12, "other": 4})

    def test_status_has_every_name_and_numbers(self):
        status = self.client.status()
        self.assertEqual(set(status), {f.name for f in
                                       pb.StatusReply.DESCRIPTOR.fields})
        self.assertIs(type(status["connections_accepted"]), int)
        self.assertEqual(status["connections_refused"], 0)
        self.assertIs(status["draining"], False)
        self.assertIsNone(status["params"])
        self.assertTrue(all(type(n) is int
                            for n in status["duration_bounds_ns"]))
        model, = status["models"]
        self.assertEqual(model["loaded"], [1])
        self.assertEqual({t["name"]: (t["rows"], t["unseen"])
                          for t in model["tables"]},
                         {"words": (50, 0), "other": (9, 0)})
        json.dumps(status)

    def test_weights_in_lists_like_the_bags(self):
        bags = [[1, 2], [], [3]]
        flat = self.client.pool("words", bags, weights=[2, -1, 0.5])
        for weights in ([[2, -1], [], [0.5]],
                        [numpy.array([2, -1]), numpy.array([]), (0.5,)]):
            self.assertTrue(numpy.array_equal(
                flat, self.client.pool("words", bags, weights=weights)))
        for wrong in ([[2], [-1], [0.5]], [[2, -1], [], 0.5],
                      [[2, -1], [0.5]]):
            with self.assertRaisesRegex(ValueError, "'words'.*as the bags"):
                self.client.pool("words", bags, weights=wrong)

    def test_bags_that_are_one_list(self):
        for wrong in ([1, 2, 3], numpy.array([1, 2]), ["12"], [[1], 2]):
            with self.assertRaisesRegex(ValueError, r"bags are a list of "
                                        r"lists of ids, or .*\(ids, lengths"):
                self.client.pool("words", wrong)

    def test_errors_name_the_address(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % unused.getsockname()[1]
            with self.assertRaises(ConnectionRefusedError) as caught:
                nibble_client.Client(address).ping()
            self.assertIn(address + ": no connection", str(caught.exception))
        address = "unix:" + nibble_test.scratch_path(".sock")
        with self.assertRaises(FileNotFoundError) as caught:
            nibble_client.Client(address).ping()
        self.assertIn(address + ": no connection", str(caught.exception))
        with self.assertRaises(OSError) as caught:
            nibble_client.Client("no.such.invalid:1").ping()
        self.assertIn("no.such.invalid:1: no connection",
                      str(caught.exception))

    @unittest.skipUnless(importlib.util.find_spec("xxhash"), "no xxhash")
    def test_words(self):
        source = nibble_test.scratch_path(".txt")
        with open(source, "w", encoding="utf-8") as file:
            file.write("the 1 2\n\u00e9t\u00e9 3 4\n")
        path = nibble_test.scratch_path(".nbt")
        nibble_test.nibble("quantize", "--input", source, "--output", path,
                           "--keys", "text", "--codec", "fp32")
        server = self.serve({"t": path})
        with nibble_client.Client(server.address) as client:
            ids = nibble_client.word_ids(["\u00e9t\u00e9", b"the"])
            self.assertEqual(client.lookup("t", ids).tolist(),
                             [[3, 4], [1, 2]])

    def test_unix_socket(self):
        with nibble_client.Client(self.server.addresses[1]) as client:
            self.assertEqual(client.lookup("words", [1]).shape, (1, 12))

    def test_refusals_leave_the_connection(self):
        with self.assertRaises(nibble_client.RemoteError) as caught:
            self.client.lookup("none", [1])
        self.assertEqual(caught.exception.code, nibble_test.NOT_FOUND)
        self.assertEqual(caught.exception.name, "NOT_FOUND")
        self.assertIn("none", str(caught.exception))
        with self.assertRaises(nibble_client.RemoteError):
            self.client.lookup("words", [1], version=7)
        self.client.ping()
        connections = self.client.status()["connections_accepted"]
        self.assertEqual(connections, 1)

    def test_what_is_not_sent(self):
        for wrong in (lambda c: c.lookup("words", [-1]),
                      lambda c: c.lookup("words", [2**64]),
                      lambda c: c.lookup("words", [1.5]),
                      lambda c: c.lookup("words",
                                         numpy.array([1.5], object)),
                      lambda c: c.lookup("words", ["a"]),
                      lambda c: c.lookup("words", [[1], [2]]),
                      lambda c: c.lookup("words", [1], dtype="int8"),
                      lambda c: c.pool("words", [[1]], dtype="packed"),
                      lambda c: c.pool("words", [[1]], mode="median"),
                      lambda c: c.pool("words", (numpy.array([1, 2]),
                                                 numpy.array([1]))),
                      lambda c: c.pool("words", (numpy.array([1]),
                                                 numpy.array([-1]))),
                      lambda c: c.pool("words", [[1, 2]], weights=[1])):
            with self.assertRaises(ValueError):
                wrong(self.client)
        self.assertIsNone(self.client._socket)
        for address in ("", "host", "host:", ":1", "host:0", "host:65536",
                        "host:x"):
            with self.assertRaises(ValueError, msg=address):
                nibble_client.Client(address)

    def test_a_server_that_went_and_came_back(self):
        path = nibble_test.scratch_path(".sock")
        table = nibble_test.table(nibble_test.random_rows(5, 4))
        client = nibble_client.Client("unix:" + path)
        self.addCleanup(client.close)
        with self.assertRaises(OSError):
            client.ping()
        first = self.serve({"t": table}, listen=("unix:" + path,))
        client.ping()
        first.stop()
        with self.assertRaises(OSError):
            client.ping()
        self.serve({"t": table}, listen=("unix:" + path,))
        self.assertEqual(client.lookup("t", [0]).shape, (1, 4))


class Page(nibble_test.TestCase):
    def test_what_the_readme_shows_runs(self):
        tables = {"item": nibble_test.table(nibble_test.random_rows(8, 4)),
                  "user": nibble_test.table(nibble_test.random_rows(8, 4))}
        server = self.serve(tables)
        with open("client/python/README.md", encoding="utf-8") as page:
            shown, = re.findall(r"```python\n(.*?)```", page.read(), re.S)
        shown = shown.replace("127.0.0.1:7700", server.address)
        names, printed = {}, io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(shown, names)
        self.assertEqual(names["rows"].shape, (3, 4))
        row = nibble_test.exported(tables["item"])[4]
        self.assertTrue(numpy.array_equal(names["sums"][2], row))
        self.assertIn("NOT_FOUND\n['default']\n", printed.getvalue())

    def test_one_version(self):
        with open("client/python/pyproject.toml", encoding="utf-8") as file:
            stated, = re.findall(r'(?m)^version = "(.*)"$', file.read())
        self.assertEqual(nibble_client.__version__, stated)
        printed = nibble_test.nibble("--version").stdout
        self.assertTrue(printed.startswith("nibble %s," % stated), printed)


class Lies(nibble_test.TestCase):
    """What a server could send to harm."""

    def answer(self, reply, timeout=nibble_test.DEADLINE_S):
        """A client of a server that answers each connection's first request
        with what reply(header) gives; None: with nothing."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self.addCleanup(listener.close)

        def serve():
            peer = listener.accept()[0]
            self.addCleanup(peer.close)
            header = nibble_test.HEADER.unpack(
                peer.recv(nibble_test.HEADER.size, socket.MSG_WAITALL))
            self.asked = peer.recv(header[5], socket.MSG_WAITALL)
            data = reply(header)
            if data is not None:
                with contextlib.suppress(OSError):  # it may have gone
                    peer.sendall(data)
                    peer.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        client = nibble_client.Client(
            "127.0.0.1:%d" % listener.getsockname()[1], timeout)
        self.addCleanup(client.close)
        return client

    def blocks(self, **fields):
        block = dict(rows=1, dim=2, row_bytes=8, values=bytes(8))
        block.update(fields)
        return pb.BlocksReply(version=1, blocks=[pb.Block(**block)])

    def lies(self, body, **header):
        def reply(asked):
            named = dict(method=asked[3], request_id=asked[4],
                         kind=nibble_test.REPLY)
            named.update(header)
            return nibble_test.frame(named.pop("method"), body, **named)

        return self.answer(reply)

    def test_the_truth_is_taken(self):
        got = self.lies(self.blocks()).lookup("t", [1])
        self.assertEqual(got.tolist(), [[0, 0]])

    def test_lies_are_refused(self):
        blocks = self.blocks
        for body, header in (
                (blocks(rows=2), {}), (blocks(dim=3), {}),
                (blocks(dim=0, row_bytes=0, values=b""), {}),
                (blocks(values=bytes(9)), {}), (blocks(row_bytes=4), {}),
                (blocks(dtype=1), {}), (pb.BlocksReply(version=1), {}),
                (b"\xff\xff\xff", {}), (blocks(), {"request_id": 77}),
                (blocks(), {"method": 4}), (blocks(), {"kind": 0}),
                (blocks(), {"kind": 9}),
                (pb.Error(code=14, message="full"),
                 {"kind": nibble_test.ERROR, "request_id": 0})):
            client = self.lies(body, **header)
            with self.assertRaises(nibble_client.ProtocolError,
                                   msg=(body, header)) as caught:
                client.lookup("t", [1])
            self.assertIn("127.0.0.1:", str(caught.exception))
            self.assertIsNone(client._socket)

    def test_streams_that_end_or_are_none(self):
        head = nibble_test.HEADER.pack(b"NBL1", 1, 0, 3, 1, 100)
        for data in (b"", head[:7], head, head + bytes(99)):
            with self.assertRaises(ConnectionError):
                self.answer(lambda _, data=data: data).lookup("t", [1])
        with self.assertRaises(nibble_client.ProtocolError):
            self.answer(lambda _: b"HTTP/1.1 400 Bad\r\n").lookup("t", [1])
        huge = nibble_test.HEADER.pack(b"NBL1", 1, 0, 3, 1, 2**32 - 1)
        with self.assertRaises(nibble_client.ProtocolError):
            self.answer(lambda _: huge).lookup("t", [1])

    def test_the_deadline_is_told(self):
        self.lies(self.blocks()).lookup("t", [1])
        self.assertEqual(pb.LookupRequest.FromString(self.asked).timeout_ms,
                         nibble_test.DEADLINE_S * 1000)

    def test_silence(self):
        client = self.answer(lambda _: None, timeout=0.1)
        with self.assertRaises(TimeoutError) as caught:
            client.lookup("t", [1])
        self.assertIsNone(client._socket)
        self.assertRegex(str(caught.exception),
                         r"127\.0\.0\.1:\d+: no reply within 0\.1 s")


if __name__ == "__main__":
    nibble_test.main()
