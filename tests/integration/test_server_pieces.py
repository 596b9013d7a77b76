#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Requests that a server answers in pieces: others are answered meanwhile, and
may end meanwhile, as may the server."""

import threading
import time
import unittest

import numpy

import nibble_test
from nibble_test import (LOOKUP, NOT_FOUND, POOL, REPLY, RESOURCE_EXHAUSTED,
                         block_values, frame, wait_for)
from proto import nibble_pb2 as pb

N_IDS = 300000
LONG_BAG = 1000000
ROUNDS = 50


class PiecesTest(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = nibble_test.random_rows(1000, 64)
        cls.table = nibble_test.table(cls.rows)
        ids = numpy.random.default_rng(7).integers(0, 1000, N_IDS)
        cls.ids = ids.astype(numpy.uint32).tolist()
        request = pb.PoolRequest()
        request.features.add(table="t", ids32=cls.ids,
                             lengths=[20] * (N_IDS // 20))
        cls.huge = frame(POOL, request, 7)

        request = pb.PoolRequest()
        request.features.add(table="t", ids32=(cls.ids * 4)[:LONG_BAG],
                             lengths=[LONG_BAG])
        cls.long = frame(POOL, request, 8)

    def start(self):
        return self.serve({"t": self.table})

    def pools(self, peer):
        """How many were begun, and how many answered."""
        pool = next(m for m in peer.status().methods if m.name == "pool")
        return pool.requests, sum(c.requests for c in pool.codes)

    def see_begun(self, asker, peer, request=None):
        """Has `asker` ask until `peer` sees it begun and not answered: a server
        that does one thing at a time cannot be seen so."""
        for _ in range(ROUNDS):
            before, _ = self.pools(peer)
            asker.send(request or self.huge)
            begun, answered = wait_for(
                lambda: next((p for p in [self.pools(peer)] if p[0] > before),
                             None), "it is begun")
            if begun > answered:
                return
            self.assertEqual(asker.receive().kind, REPLY)
        self.fail("nobody is answered while a large request is")

    def test_others_are_answered_meanwhile(self):
        server = self.start()
        asker, peer = self.connect(server), self.connect(server)
        self.see_begun(asker, peer)
        values = block_values(peer.lookup("t", self.ids[:20]))
        huge = block_values(asker.receive().blocks().blocks[0])
        self.assertEqual(huge.shape, (N_IDS // 20, 64))
        numpy.testing.assert_allclose(huge[0], values.sum(axis=0), rtol=1e-4,
                                      atol=1e-4)

    def test_others_are_answered_in_the_middle_of_a_bag(self):
        """On the one loop that there is; several times, since one reply could
        come as it ends."""
        server = self.serve({"t": self.table}, "--loops", "1")
        asker, peer = self.connect(server), self.connect(server)
        counts = numpy.bincount(self.ids, minlength=1000) * 3
        counts += numpy.bincount(self.ids[:LONG_BAG - 3 * N_IDS],
                                 minlength=1000)
        rows = block_values(peer.lookup("t", range(1000)))
        most = 0
        for _ in range(ROUNDS):
            self.see_begun(asker, peer, self.long)
            n = 0
            while self.pools(peer)[0] > self.pools(peer)[1]:
                peer.lookup("t", self.ids[:20])
                n += 1
            most = max(most, n)
            block = asker.receive().blocks().blocks[0]
            numpy.testing.assert_allclose(block_values(block)[0],
                                          counts @ rows, rtol=1e-2, atol=10)
            if most > 3:
                return
        self.fail("%d replies while a long bag was pooled" % most)

    def test_an_unseen_id_late_in_a_bag(self):
        table = nibble_test.table(self.rows, "--unseen", "error")
        server = self.serve({"t": table}, "--loops", "1")
        asker = self.connect(server)
        request = pb.PoolRequest()
        request.features.add(table="t", ids32=self.ids + [1000],
                             lengths=[N_IDS + 1])
        asker.send(frame(POOL, request))
        error = asker.receive().error()
        self.assertEqual(error.code, NOT_FOUND)
        self.assertIn("features[0].ids: an id is not in", error.message)
        asker.send(self.huge)  # as ever
        self.assertEqual(asker.receive().kind, REPLY)

    def test_the_clock_goes_on_behind_a_large_one(self):
        """Nothing happens for longer than a request's deadline: it is counted
        from when the request came, not from the last piece."""
        server = self.start()
        asker = self.connect(server)
        request = pb.LookupRequest(timeout_ms=50)
        request.features.add(table="t", ids=[1])
        for _ in range(5):
            asker.send(self.huge)
            self.assertEqual(asker.receive().kind, REPLY)
            until = time.monotonic() + 0.15
            wait_for(lambda: time.monotonic() > until, "it is later")
            asker.send(frame(LOOKUP, request))
            self.assertEqual(asker.receive().kind, REPLY)

    def test_who_stands_in_line_too_long_is_told(self):
        server = self.serve({"t": self.table}, "--loops", "1",
                            "--max-backlog", "0.02")
        askers = [self.connect(server) for _ in range(20)]
        for asker in askers:
            asker.send(self.huge)
        replies = [asker.receive() for asker in askers]
        refused = [r.error() for r in replies if r.kind != REPLY]
        self.assertGreater(len(refused), 0)
        self.assertLess(len(refused), len(askers))
        for error in refused:
            self.assertEqual(error.code, RESOURCE_EXHAUSTED)
            self.assertIn("behind", error.message)
        for asker in askers:  # as ever
            asker.lookup("t", [1])

    def test_what_waits_is_told(self):
        server = self.serve({"t": self.table}, "--loops", "1")
        askers = [self.connect(server) for _ in range(8)]
        peer = self.connect(server)

        def waiting():
            status = peer.status()
            self.assertLessEqual(status.in_pieces, 1)
            return status.in_line, status.in_pieces

        for _ in range(ROUNDS):
            for asker in askers:
                asker.send(self.huge)
            seen = {waiting() for _ in range(8)}
            for asker in askers:
                self.assertEqual(asker.receive().kind, REPLY)
            self.assertEqual(waiting(), (0, 0))
            if any(1 <= line < 8 and pieces for line, pieces in seen):
                break
        else:
            self.fail("nothing was seen to wait: %s" % seen)
        for asker in askers:  # they go while they stand in line
            asker.send(self.huge)
            asker.close()
        wait_for(lambda: waiting() == (0, 0) and
                 peer.status().connections == 1, "nobody waits")

    def test_the_bytes_are_those_of_small_requests(self):
        server = self.start()
        asker, peer = self.connect(server), self.connect(server)
        request = pb.LookupRequest()
        request.features.add(table="t", ids32=self.ids[:60000])
        asker.send(frame(LOOKUP, request))
        whole = asker.receive().blocks().blocks[0].values
        parts = [peer.lookup("t", self.ids[i:i + 1000]).values
                 for i in range(0, 60000, 1000)]
        self.assertEqual(whole, b"".join(parts))

    def test_a_peer_goes_meanwhile(self):
        server = self.start()
        asker, peer = self.connect(server), self.connect(server)
        self.see_begun(asker, peer)
        asker.close()
        peer.send(self.huge)
        self.assertEqual(peer.receive().kind, REPLY)

    def test_the_server_drains_meanwhile(self):
        server = self.start()
        asker, peer = self.connect(server), self.connect(server)
        self.see_begun(asker, peer)
        server.terminate()
        self.assertEqual(asker.receive().kind, REPLY)
        asker.close()
        peer.close()
        server.wait()

    def test_two_take_turns_beside_small_ones(self):
        server = self.start()
        replies = []

        def ask():
            asker = self.connect(server)
            for _ in range(3):
                asker.send(self.huge)
                replies.append(asker.receive().body)

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        peer = self.connect(server)
        while any(asker.is_alive() for asker in askers):
            peer.lookup("t", self.ids[:20])
        for asker in askers:
            asker.join()
        self.assertEqual(len(replies), 6)
        self.assertEqual(len(set(replies)), 1)
        wait_for(lambda: peer.status().unsent_bytes == 0, "all is sent")


if __name__ == "__main__":
    nibble_test.main()
