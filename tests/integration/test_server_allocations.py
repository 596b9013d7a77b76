#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""In steady state a request allocates nothing, in no library: what jemalloc
counted until the end does not depend on how many there were."""

import json
import unittest

import nibble_test
from nibble_test import LOOKUP, PING, POOL, REPLY, frame
from proto import nibble_pb2 as pb

WARM, MORE = 200, 4000


class AllocationsTest(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(1000, 64))

    def requests(self):
        lookup = pb.LookupRequest()
        lookup.features.add(table="t", ids=range(40))
        pool = pb.PoolRequest()
        for i in range(26):
            pool.features.add(table="t", ids32=range(160), lengths=[20] * 8)
        large = pb.LookupRequest()
        large.features.add(table="t", ids=[7] * 9000)  # 72 kB, 2.3 MB back
        return [frame(PING), frame(LOOKUP, lookup), frame(POOL, pool),
                frame(LOOKUP, pb.LookupRequest(model="none"))], \
            frame(LOOKUP, large)

    def others(self, i):
        """As no round before asked, so that they have to be decoded."""
        lookup = pb.LookupRequest()
        lookup.features.add(table="t", ids=range(1 + i * 7 % 1000))
        pool = pb.PoolRequest()
        first = 1 + i % 39
        pool.features.add(table="t", ids32=range(80), weights=[1] * 80,
                          lengths=[first, 40 - first, 40 - i % 17, i % 17])
        return [frame(LOOKUP, lookup), frame(POOL, pool)]

    def allocations(self, rounds):
        """Requests to malloc() of a server that answered so many rounds."""
        server = self.serve({"t": self.table}, env={
            "MALLOC_CONF": "stats_print:true,stats_print_opts:J"})
        small, large = self.requests()
        peer, other = self.connect(server), self.connect(server)
        for i in range(rounds):
            asked = small + self.others(i)
            for to in (peer, other):
                to.send(b"".join(asked))
                for _ in asked:
                    self.assertIsNotNone(to.receive())
            if i % 20 == 0:
                peer.send(large)
                other.send(large)
                self.assertEqual(other.receive().kind, REPLY)
                self.assertEqual(peer.receive().kind, REPLY)
        peer.close()
        other.close()
        server.stop()
        begin = server.log().find('{"jemalloc"')
        if begin < 0 and nibble_test.SANITIZED:
            raise unittest.SkipTest("the server's heap is the sanitizer's")
        self.assertGreaterEqual(begin, 0, server.log())
        stats, _ = json.JSONDecoder().raw_decode(server.log()[begin:])
        merged = stats["jemalloc"]["stats.arenas"]["merged"]
        return merged["small"]["nrequests"] + merged["large"]["nrequests"]

    def test_requests_allocate_nothing(self):
        few = self.allocations(WARM)
        many = self.allocations(WARM + MORE)
        # Connections and the log differ by a few; requests are 32,000 more.
        self.assertLess(abs(many - few), MORE / 20)


if __name__ == "__main__":
    nibble_test.main()
