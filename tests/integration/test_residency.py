# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Tables kept in memory as --residency says."""

import os
import re
import select
import resource
import struct
import urllib.request

import numpy

import nibble_test
from nibble_test import (LOOKUP, NIBBLED, POOL, block_values, frame, nibble,
                         run, scratch_path)
from proto import nibble_pb2 as pb


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

    def test_rules_about_no_table(self):
        for rule in "zz=huge", "other/t=huge":
            done = run(NIBBLED, "--table", "t=" + self.table, "--residency",
                       rule, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("--residency: '%s' is about no --table" % rule,
                          done.stderr)
        repo = scratch_path(".repo")
        os.mkdir(repo)
        nibble("publish", "--repo", repo, "--model", "m", "t=" + self.table)
        server = self.serve({}, "--repo", repo, *[
            word for rule in ("map", "t=map", "m/t=map", "zz=huge", "o/t=map")
            for word in ("--residency", rule)])
        self.assertEqual(
            re.findall(r"event=residency-unused rule=(\S+)", server.log()),
            ['"zz=huge"', '"o/t=map"'])

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


class ColdPages(nibble_test.TestCase):
    """Rows that are on disk only when they are asked for."""

    N_ROWS, DIM = 40000, 64

    @classmethod
    def setUpClass(cls):
        rows = cls.source = nibble_test.random_rows(cls.N_ROWS, cls.DIM)
        cls.keys = numpy.arange(cls.N_ROWS, dtype="u8") * 7919
        keys = scratch_path(".npy")
        numpy.save(keys, cls.keys)
        cls.dense = nibble_test.table(rows)
        cls.keyed = nibble_test.table(rows, "--keys", keys)
        cls.rows = nibble_test.exported(cls.dense)

    def evict(self, path):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            try:
                os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
            except BlockingIOError:
                return
        self.skipTest("this file system does not tell, or keeps its pages")

    def serve_cold(self, path):
        self.evict(path)
        server = self.serve({"t": path}, "--verify", "header", "--admin",
                            "127.0.0.1:0")
        return server, self.connect(server)

    def put_off(self, server):
        address = re.search(r"event=admin address=(\S+)", server.log())
        with urllib.request.urlopen("http://%s/metrics" %
                                    address.group(1)) as reply:
            for line in reply.read().decode().splitlines():
                if line.startswith("nibble_put_off_total "):
                    return int(line.split(" ")[1])
        self.fail("no such metric")

    def test_rows_wait_for_the_disk(self):
        for path, ids in ((self.dense, range(self.N_ROWS)),
                          (self.keyed, self.keys)):
            server, peer = self.serve_cold(path)
            some = range(0, self.N_ROWS, 997)
            block = peer.lookup("t", [ids[i] for i in some])
            numpy.testing.assert_array_equal(block_values(block),
                                             self.rows[::997])
            times = self.put_off(server)
            self.assertGreaterEqual(times, 1)
            # They are there now.
            peer.lookup("t", [ids[i] for i in some])
            self.assertEqual(self.put_off(server), times)

    def test_sums_wait_too(self):
        server, peer = self.serve_cold(self.dense)
        request = pb.PoolRequest()
        request.features.add(table="t", ids=[5, 30000], lengths=[2])
        block = peer.call(POOL, request).blocks().blocks[0]
        numpy.testing.assert_array_equal(block_values(block)[0],
                                         self.rows[5] + self.rows[30000])
        self.assertEqual(self.put_off(server), 1)

    def rows_section(self, path):
        """Its offset and bytes: FORMAT.md, kind 1."""
        with open(path, "rb") as file:
            header = file.read(4096)
        section, = [
            struct.unpack_from("<QQ", header, at + 8)
            for at in range(80, 80 + 32 *
                            struct.unpack_from("<I", header, 60)[0], 32)
            if struct.unpack_from("<I", header, at)[0] == 1]
        return section

    def test_middles_of_wide_rows_wait_too(self):
        path = nibble_test.table(nibble_test.random_rows(64, 16384), "--codec",
                                 "fp32")
        server, peer = self.serve_cold(path)
        offset, length = self.rows_section(path)
        row = offset + 5 * (length // 64)
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            os.pread(file.fileno(), 1, row)
            os.pread(file.fileno(), 1, row + length // 64 - 1)
        peer.lookup("t", [5])
        self.assertEqual(self.put_off(server), 1)

    def test_second_rows_of_protected_ones_wait_too(self):
        """Those alone are on disk."""
        weights = scratch_path(".txt")
        numpy.savetxt(weights, numpy.arange(self.N_ROWS))
        path = nibble_test.table(self.source, "--protect", weights + ":0.5")
        server, peer = self.serve_cold(path)
        offset, length = self.rows_section(path)
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            os.pread(file.fileno(), length, offset)
        request = pb.PoolRequest()
        request.features.add(table="t", ids=[30000], lengths=[1])
        peer.call(POOL, request)
        self.assertEqual(self.put_off(server), 1)
        request.features[0].ids[0] = 1  # has none
        peer.call(POOL, request)
        self.assertEqual(self.put_off(server), 1)

    def test_the_row_of_unseen_ids_waits_too(self):
        path = nibble_test.table(self.source, "--unseen", "row:30000")
        server, peer = self.serve_cold(path)
        peer.lookup("t", [])
        self.assertEqual(self.put_off(server), 0)  # it is not needed
        for _ in range(2):
            block = peer.lookup("t", [self.N_ROWS, self.N_ROWS + 7])
            for row in block_values(block):
                numpy.testing.assert_array_equal(row, self.rows[30000])
            self.assertEqual(self.put_off(server), 1)

    def test_large_requests_wait_piece_by_piece(self):
        server, peer = self.serve_cold(self.dense)
        other = self.connect(server)
        ids = [i * 997 % self.N_ROWS for i in range(20000)]
        request = pb.LookupRequest()
        request.features.add(table="t", ids=ids)
        peer.send(frame(LOOKUP, request))
        other.lookup("t", [1])
        block = peer.receive().blocks().blocks[0]
        numpy.testing.assert_array_equal(block_values(block), self.rows[ids])
        self.assertGreater(self.put_off(server), 2)
        self.assertEqual(other.status().reading, 0)

    def test_long_bags_wait_part_by_part(self):
        server, peer = self.serve_cold(self.dense)
        ids = range(0, self.N_ROWS, 2)
        request = pb.PoolRequest()
        request.features.add(table="t", ids=ids, lengths=[len(ids)])
        block = peer.call(POOL, request).blocks().blocks[0]
        numpy.testing.assert_allclose(block_values(block)[0],
                                      self.rows[::2].sum(axis=0), rtol=1e-3,
                                      atol=1e-2)
        times = self.put_off(server)
        self.assertGreater(times, 2)
        peer.call(POOL, request)  # they are there now
        self.assertEqual(self.put_off(server), times)

    def test_those_that_wait_are_told(self):
        request = pb.LookupRequest()
        request.features.add(table="t", ids=range(0, self.N_ROWS, 3))
        for _ in range(20):
            server, peer = self.serve_cold(self.dense)
            other = self.connect(server)
            peer.send(frame(LOOKUP, request))
            seen = set()
            while not select.select([peer.socket], [], [], 0)[0]:
                seen.add(other.status().reading)
            peer.receive()
            self.assertEqual(other.status().reading, 0)
            if 1 in seen:
                break
        self.assertLessEqual({1}, seen)
        self.assertLessEqual(seen, {0, 1})

    def test_a_large_one_that_does_not_wait(self):
        server, peer = self.serve_cold(self.dense)
        gone = self.connect(server)
        request = pb.LookupRequest()
        request.features.add(table="t", ids=range(self.N_ROWS))
        gone.send(frame(LOOKUP, request))
        peer.ping()
        gone.close()
        peer.lookup("t", range(0, self.N_ROWS, 3))
        server.stop()

    def test_answers_keep_their_order(self):
        server, peer = self.serve_cold(self.dense)
        for i in range(20):
            request = pb.LookupRequest()
            request.features.add(table="t", ids=[i * 1999])
            peer.send(frame(LOOKUP, request, i))
        for i in range(20):
            got = peer.receive()
            self.assertEqual(got.request_id, i)
            numpy.testing.assert_array_equal(
                block_values(got.blocks().blocks[0])[0], self.rows[i * 1999])
        self.assertGreaterEqual(self.put_off(server), 2)

    def test_peers_that_do_not_wait(self):
        server, peer = self.serve_cold(self.dense)
        for i in range(20):
            gone = self.connect(server)
            request = pb.LookupRequest()
            request.features.add(table="t", ids=range(i, self.N_ROWS, 1999))
            gone.send(frame(LOOKUP, request, i))
            gone.close()
        peer.ping()
        server.stop()


if __name__ == "__main__":
    nibble_test.main()
