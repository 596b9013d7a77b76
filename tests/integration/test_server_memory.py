# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""--max-memory: whatever clients ask for and do not take, the server stays
within it, and serves others."""

import os
import resource
import select
import unittest

import nibble_test
from nibble_test import (BUILD, DEADLINE_S, LOOKUP, POOL, REPLY,
                         RESOURCE_EXHAUSTED, frame, scratch_path, wait_for)
from proto import nibble_pb2 as pb

MIB = 1 << 20
# Beside the budget: the memory of decoding and of reading, of two loops.
BESIDE = 40 * MIB


@unittest.skipIf(os.path.basename(BUILD) == "tsan",
                 "the sanitizer takes several bytes for each")
class Memory(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(4, 64))

    def start(self, *options, **named):
        # The address sanitizer keeps what is freed, unless told not to.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
        self.server = self.serve({"t": self.table}, *options, loops=2,
                                 env={"ASAN_OPTIONS": sanitizer}, **named)
        self.other = self.connect(self.server)
        self.other.ping()
        self.before = self.server.resident_bytes()

    def n_requests(self, name):
        methods = self.other.status().methods
        return [m for m in methods if m.name == name][0].requests

    def grown(self):
        return self.server.resident_bytes() - self.before

    def test_replies_that_nobody_takes(self):
        self.start("--max-memory", "256MiB")
        request = pb.PoolRequest()
        request.features.add(table="t", lengths=[0] * 250000)  # 61 MiB
        peers = [self.connect(self.server, receive_buffer=4096)
                 for _ in range(24)]
        for peer in peers:
            peer.send(frame(POOL, request, 1))
        wait_for(lambda: self.n_requests("pool") == len(peers), "all came")
        self.assertLess(self.grown(), 256 * MIB + BESIDE)
        # Others are served; with 61 MiB, too, once there is room.
        self.assertEqual(self.other.lookup("t", [0] * 20000).rows, 20000)
        answers = [peer.receive() for peer in peers]
        served = [a for a in answers if a.kind == REPLY]
        refused = [a for a in answers if a.kind != REPLY]
        self.assertTrue(served and refused)
        for answer in refused:
            self.assert_error(answer, RESOURCE_EXHAUSTED, "reply: no memory",
                              "268435456 of --max-memory")
        wait_for(lambda: self.other.call(POOL, request).kind == REPLY,
                 "there is room again")
        for peer in peers:
            peer.ping()
        # Kept for reuse: a quarter of it at most.
        wait_for(lambda: self.grown() < 64 * MIB + BESIDE, "it is given back")

    def test_a_thousand_that_never_read(self):
        """By a Unix socket, of which the kernel takes little: 2 GB of replies
        are asked for."""
        n = 1000
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        path = "unix:" + scratch_path(".sock")
        self.start("--max-memory", "64MiB", listen=("127.0.0.1:0", path))
        request = pb.PoolRequest()
        request.features.add(table="t", lengths=[0] * 2000)  # 512 KB
        data = b"".join(frame(POOL, request, i) for i in range(4))
        peers = [self.connect(self.server, address=path) for _ in range(n)]
        for peer in peers:
            peer.send(data)
        wait_for(lambda: self.n_requests("pool") >= n, "all came")
        self.assertLess(self.grown(), 64 * MIB + BESIDE)
        self.assertEqual(self.other.lookup("t", [0] * 200).rows, 200)
        first = [peer.receive() for peer in peers]
        self.assertEqual({a.request_id for a in first}, {0})
        served = sum(a.kind == REPLY for a in first)
        self.assertTrue(0 < served < n, served)
        for answer in first:
            if answer.kind != REPLY:
                self.assert_error(answer, RESOURCE_EXHAUSTED, "--max-memory")
        for peer in peers:
            self.assertEqual([peer.receive().request_id for _ in range(3)],
                             [1, 2, 3])
        self.assertLess(self.grown(), 64 * MIB + BESIDE)

    def test_requests_that_never_end(self):
        self.start("--max-memory", "32MiB")
        peers = [self.connect(self.server) for _ in range(12)]
        rest = 4 * MIB
        data = frame(LOOKUP, bytes(10 * MIB), 7)
        for peer in peers:
            peer.send(data[:-rest])
        self.assertLess(self.grown(), 32 * MIB + BESIDE)
        self.assertEqual(self.other.lookup("t", [0] * 2000).rows, 2000)
        refused = select.select([p.socket for p in peers], [], [],
                                DEADLINE_S)[0]
        self.assertTrue(refused)
        for peer in peers:
            peer.send(data[-rest:])
            got = peer.receive()
            self.assertEqual(got.request_id, 7)
            if peer.socket in refused:
                self.assert_error(got, RESOURCE_EXHAUSTED,
                                  "request: no memory", "--max-memory")
            peer.ping()


if __name__ == "__main__":
    nibble_test.main()
