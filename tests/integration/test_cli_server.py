# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""lookup, pool and status against a real server, and without one."""

import json
import os
import socket
import threading
import unittest

import numpy

import nibble_test
from nibble_test import nibble, scratch_path

ROWS, DIM = 300, 13
POOL_EXAMPLE = os.path.join(nibble_test.BUILD, "client/lib/examples/pool_bags")


def bits(values):
    return values.view("u%d" % values.itemsize).tolist()


def to_bf16(values):
    """Nearest bf16, ties to even, as fp32."""
    u = values.view(numpy.uint32)
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000
    return u.astype(numpy.uint32).view(numpy.float32)


class ServerTest(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tables = {
            "t": nibble_test.table(nibble_test.random_rows(ROWS, DIM)),
            "words": nibble_test.table(nibble_test.random_rows(50, 7, seed=2),
                                       "--scales", "fp32"),
        }
        cls.rows = {name: nibble_test.exported(path)
                    for name, path in cls.tables.items()}

    def setUp(self):
        self.server = self.serve(self.tables)

    def ask(self, command, *arguments, server=None, **options):
        return nibble(command, "--server", server or self.server.address,
                      *arguments, **options)

    def asked_npy(self, command, *arguments):
        output = scratch_path(".npy")
        self.ask(command, *arguments, "--npy", output)
        return numpy.load(output)

    def asked_json(self, command, *arguments):
        done = self.ask(command, *arguments, "--json")
        self.assertEqual(done.stdout.count("\n"), 1)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def fails(self, command, *arguments, server=None):
        done = self.ask(command, *arguments, server=server, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    # ---- lookup -----------------------------------------------------------

    def test_rows_are_those_of_export_bit_for_bit(self):
        for name, rows in self.rows.items():
            ids = list(range(len(rows))) + [5, 5, 0]
            text = ",".join(map(str, ids))
            for dtype in ("fp32", "packed"):
                got = self.asked_npy("lookup", "--table", name, "--ids", text,
                                     "--dtype", dtype)
                self.assertEqual(got.dtype, numpy.float32)
                self.assertEqual(bits(got), bits(rows[ids]))
            got = self.asked_npy("lookup", "--table", name, "--ids", text,
                                 "--dtype", "fp16")
            self.assertEqual(bits(got),
                             bits(rows[ids].astype(numpy.float16)))
            got = self.asked_npy("lookup", "--table", name, "--ids", text,
                                 "--dtype", "bf16")
            self.assertEqual(bits(got), bits(to_bf16(rows[ids])))

    def test_text_and_json_tell_every_bit(self):
        ids = [0, 299, 7]
        text = self.ask("lookup", "--table", "t", "--ids", "0,299,7").stdout
        head, *lines = text.splitlines()
        self.assertIn("3 rows x 13 values, fp32, 0 ids unseen", head)
        got = [line.split(": ")[1].split(" ") for line in lines]
        self.assertEqual(bits(numpy.array(got, dtype=numpy.float32)),
                         bits(self.rows["t"][ids]))
        self.assertEqual([line.split(":")[0] for line in lines],
                         ["id 0", "id 299", "id 7"])
        report = self.asked_json("lookup", "--table", "t", "--ids", "0,299,7",
                                 "--dtype", "packed")
        self.assertEqual(bits(numpy.array(report["values"], numpy.float32)),
                         bits(self.rows["t"][ids]))
        self.assertEqual(report["ids"], ids)
        self.assertEqual(report["dtype"], "packed")
        self.assertEqual(report["row_bytes"], 11)

    def test_ids_out_of_range_are_counted_zeros(self):
        ids = [1, ROWS, 2 ** 32 + 1, 2 ** 63, 2 ** 64 - 1]
        report = self.asked_json("lookup", "--table", "t", "--ids",
                                 ",".join(map(str, ids)))
        self.assertEqual(report["unseen"], 4)
        self.assertEqual(report["values"][1:], [[0] * DIM] * 4)
        self.assertEqual([int(i) for i in report["ids"]], ids)
        done = self.ask("lookup", "--table", "t", "--ids", "300")
        self.assertIn("1 row x 13 values, fp32, 1 id unseen", done.stdout)
        self.assertIn("row numbers unless", done.stderr)
        done = self.ask("lookup", "--table", "t", "--keys", "the")
        self.assertIn("if it was quantized with --keys text", done.stderr)
        done = self.ask("lookup", "--table", "t", "--ids", "300,1")
        self.assertEqual(done.stderr, "")
        got = self.asked_npy("lookup", "--table", "t", "--ids", "300",
                             "--dtype", "packed")
        self.assertFalse(got.any())

    def test_ids_from_a_file(self):
        path = scratch_path(".txt")
        with open(path, "w") as file:
            file.write("1 2,3\n\n4\t5 , 6\r\n")
        report = self.asked_json("lookup", "--table", "t", "--ids-file", path)
        self.assertEqual(report["ids"], [1, 2, 3, 4, 5, 6])
        done = self.ask("lookup", "--table", "t", "--ids-file", "-", "--json",
                        input="7\n8\n")
        self.assertEqual(json.loads(done.stdout)["ids"], [7, 8])
        with open(path, "w") as file:
            file.write("1 2 three")
        self.assertIn("item 3, 'three'", self.fails(
            "lookup", "--table", "t", "--ids-file", path))
        self.assertIn("/no/such", self.fails("lookup", "--table", "t",
                                             "--ids-file", "/no/such"))

    def test_no_ids_give_no_rows(self):
        report = self.asked_json("lookup", "--table", "t", "--ids", "")
        self.assertEqual(report["rows"], 0)
        self.assertEqual(report["values"], [])
        got = self.asked_npy("lookup", "--table", "t", "--ids", "")
        self.assertEqual(got.shape, (0, DIM))

    def test_npy_that_cannot_be_written(self):
        line = self.fails("lookup", "--table", "t", "--ids", "1", "--npy",
                          "/no/such/dir/a.npy")
        self.assertIn("/no/such/dir/a.npy", line)
        path = scratch_path(".npy")
        report = self.asked_json("lookup", "--table", "t", "--ids", "1",
                                 "--npy", path)
        self.assertEqual(report["npy"], path)
        self.assertNotIn("values", report)

    # ---- pool -------------------------------------------------------------

    def test_pool(self):
        rows = self.rows["t"]
        bags = "1,2,3;4;;299,300"
        want = {
            "sum": [rows[1] + rows[2] + rows[3], rows[4], 0 * rows[0],
                    rows[299]],
            "mean": [(rows[1] + rows[2] + rows[3]) / 3, rows[4], 0 * rows[0],
                     rows[299] / 2],
            "max": [rows[1:4].max(0), rows[4], 0 * rows[0], rows[299]],
        }
        for mode, expected in want.items():
            got = self.asked_npy("pool", "--table", "t", "--bags", bags,
                                 "--mode", mode)
            numpy.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        report = self.asked_json("pool", "--table", "t", "--bags", bags)
        self.assertEqual(report["rows"], 4)
        self.assertEqual(report["unseen"], 1)
        self.assertEqual(report["pooling"], "sum")

    def test_pool_with_weights(self):
        rows = self.rows["t"]
        got = self.asked_npy("pool", "--table", "t", "--bags", "1,2;;3",
                             "--weights", "0.5,-2;;1e-3")
        numpy.testing.assert_allclose(
            got, [rows[1] / 2 - 2 * rows[2], 0 * rows[0], rows[3] * 1e-3],
            rtol=1e-5, atol=1e-6)

    def test_weights_that_are_not_finite_are_passed_through(self):
        report = self.asked_json("pool", "--table", "t", "--bags", "1;2",
                                 "--weights", "nan;1")
        self.assertEqual(report["values"][0], [None] * DIM)
        self.assertNotIn(None, report["values"][1])

    def test_pool_prints_bags(self):
        text = self.ask("pool", "--table", "t", "--bags", "1;2", "--mode",
                        "max", "--dtype", "bf16").stdout
        head, *lines = text.splitlines()
        self.assertIn("2 bags x 13 values, bf16, max", head)
        self.assertEqual([line.split(":")[0] for line in lines],
                         ["bag 0", "bag 1"])

    # ---- status -----------------------------------------------------------

    def test_status(self):
        self.ask("lookup", "--table", "t", "--ids", "1,5000")
        self.fails("lookup", "--table", "nope", "--ids", "1")
        report = self.asked_json("status")
        self.assertEqual(report["server"], self.server.address)
        methods = {m["name"]: m for m in report["methods"]}
        self.assertEqual(methods["lookup"]["requests"], 2)
        self.assertEqual(methods["lookup"]["errors"], 1)
        self.assertEqual(methods["lookup"]["expired"], 0)
        self.assertEqual(report["connections_refused"], 0)
        self.assertEqual(report["bad_frames"], 0)
        model, = report["models"]
        tables = {table["name"]: table for table in model["tables"]}
        self.assertEqual(set(tables), {"t", "words"})
        self.assertEqual(tables["t"]["rows"], ROWS)
        self.assertEqual(tables["t"]["dim"], DIM)
        self.assertEqual(tables["t"]["unseen"], 1)
        self.assertEqual(tables["words"]["scales"], "fp32")
        text = self.ask("status").stdout
        for words in ("nibbled", "up ", "kernels", "event loop", "connection",
                      "accepted, 0 refused", "0 connections closed for broken",
                      "0 of them expired", "bytes", "lookup", "model default, version 1, 2 tables",
                      "words"):
            self.assertIn(words, text)

    # ---- errors -----------------------------------------------------------

    def test_what_the_server_refuses(self):
        line = self.fails("lookup", "--table", "nope", "--ids", "1")
        self.assertIn("NOT_FOUND", line)
        self.assertIn("'nope'", line)
        self.assertIn("NOT_FOUND", self.fails(
            "pool", "--model", "nope", "--table", "t", "--bags", "1"))
        self.assertIn("NOT_FOUND", self.fails(
            "lookup", "--table", "t", "--ids", "1", "--version", "77"))

    def test_no_server(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % unused.getsockname()[1]
            for arguments in (["lookup", "--table", "t", "--ids", "1"],
                              ["pool", "--table", "t", "--bags", "1"],
                              ["status"]):
                line = self.fails(*arguments, server=address)
                self.assertIn(address, line)
                self.assertIn("is nibbled running", line)
        for address in ("unix:/no/such.sock", "no.such.invalid:1"):
            self.assertIn(address, self.fails("status", server=address))

    def test_addresses_that_are_none(self):
        for address in ("nowhere", "127.0.0.1:0", "localhost:99999",
                        "::1:7700", "[::1:7700", "unix:"):
            for arguments in (["lookup", "--table", "t", "--ids", "1"],
                              ["pool", "--table", "t", "--bags", "1"],
                              ["status"]):
                done = self.ask(*arguments, server=address, check=False)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn("--server: " + address, done.stderr)

    def test_a_server_that_is_silent(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            line = self.fails("status", "--timeout-ms", "100",
                              server="127.0.0.1:%d" % silent.getsockname()[1])
        self.assertIn("within 100 ms", line)

    def test_a_server_that_is_another(self):
        """As an admin port does: it closes what is no HTTP, or answers it."""
        for answer in b"", b"HTTP/1.1 400 Bad Request\r\n\r\n":
            with socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                other.listen()

                def serve(other=other, answer=answer):
                    peer = other.accept()[0]
                    with peer:
                        peer.recv(1 << 16)
                        peer.sendall(answer)

                thread = threading.Thread(target=serve)
                thread.start()
                line = self.fails("lookup", "--table", "t", "--ids", "1",
                                  server="127.0.0.1:%d" %
                                  other.getsockname()[1])
                thread.join()
            self.assertIn("--admin is another", line)

    def test_unix_socket(self):
        path = scratch_path(".sock")
        server = self.serve(self.tables, listen=("unix:" + path,))
        done = self.ask("lookup", "--table", "t", "--ids", "1", "--json",
                        server="unix:" + path)
        self.assertEqual(json.loads(done.stdout)["rows"], 1)
        self.assertEqual(server.address, "unix:" + path)

    # ---- the example program ----------------------------------------------

    def test_the_example_program(self):
        libraries = {"LD_LIBRARY_PATH": nibble_test.BUILD}
        done = nibble_test.run(POOL_EXAMPLE, self.server.address,
                               env=libraries)
        rows = self.rows["words"]
        for bag, ids in enumerate(([0, 1], [2, 3, 4])):
            total = float(rows[ids].sum(0)[0])
            self.assertRegex(done.stdout, r"bag %d: [-\d.e]+ \.\.\. "
                             r"\(7 values\)\n" % bag)
            said = float(done.stdout.splitlines()[bag].split(" ")[2])
            self.assertAlmostEqual(said, total, places=4)
        done = nibble_test.run(POOL_EXAMPLE, "127.0.0.1:1", env=libraries,
                               check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("127.0.0.1:1", done.stderr)


if __name__ == "__main__":
    nibble_test.main()
