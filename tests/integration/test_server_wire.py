# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Frames as peers send them: split, coalesced, pipelined, and wrong. After
each offence the server and another connection go on."""

import random
import socket
import struct

import nibble_test
from nibble_test import (ERROR, HEADER, INVALID_ARGUMENT, LOOKUP, PING, POOL,
                         REPLY, RESOURCE_EXHAUSTED, STATUS, UNIMPLEMENTED,
                         frame)
from proto import nibble_pb2 as pb


def lookup_request(ids, name="words"):
    request = pb.LookupRequest()
    request.features.add(table=name, ids=ids)
    return request


class Wire(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(100, 8))
        cls.rows = nibble_test.exported(cls.table)

    def setUp(self):
        self.server = self.serve({"words": self.table})
        self.peer = self.connect(self.server)

    def test_pipelined_requests_are_answered_in_order(self):
        ids = [0, 7, 7, 2 ** 32 - 1] + list(range(1000, 1400))
        data = b""
        for i, request_id in enumerate(ids):
            data += frame(*((PING,), (LOOKUP, lookup_request([i % 100])),
                            (99,), (STATUS,))[i % 4], request_id=request_id)
        self.peer.send(data)
        for i, request_id in enumerate(ids):
            got = self.peer.receive()
            self.assertEqual(got.request_id, request_id)
            self.assertEqual(got.method, (PING, LOOKUP, 99, STATUS)[i % 4])
            self.assertEqual(got.kind, ERROR if i % 4 == 2 else REPLY)
            if i % 4 == 1:
                self.assertEqual(got.blocks().blocks[0].values,
                                 self.rows[i % 100].tobytes())

    def test_every_split_of_two_frames(self):
        data = frame(LOOKUP, lookup_request([3]), 1) + frame(PING, b"", 2)
        other = self.connect(self.server)
        self.peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for split in range(1, len(data)):
            self.peer.send(data[:split])
            other.ping()  # one loop: the first part has been read by now
            self.peer.send(data[split:])
            got = self.peer.receive()
            self.assertEqual(got.request_id, 1)
            self.assertEqual(got.blocks().blocks[0].values,
                             self.rows[3].tobytes())
            self.assertEqual(self.peer.receive().request_id, 2)

    def test_byte_by_byte(self):
        self.peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = self.connect(self.server)
        for byte in frame(LOOKUP, lookup_request([5, 6]), 9):
            self.peer.send(bytes([byte]))
            other.ping()
        self.assertEqual(self.peer.receive().blocks().blocks[0].values,
                         self.rows[5:7].tobytes())

    def test_a_large_request_in_pieces(self):
        ids = [i % 100 for i in range(200000)]  # 1.6 MB, many reads
        block = self.peer.lookup("words", ids)
        self.assertEqual(block.values, self.rows[ids].tobytes())
        self.peer.ping()

    def broken(self, data, *words):
        """Framing is lost: what came before is answered, one error, the
        end."""
        with self.lives_on(self.server):
            peer = self.connect(self.server)
            peer.send(frame(PING, b"", 5) + data)
            self.assertEqual(peer.receive().request_id, 5)
            got = peer.receive()
            self.assert_error(got, INVALID_ARGUMENT, *words)
            self.assertEqual((got.method, got.request_id), (0, 0))
            self.assertTrue(peer.at_end())

    def test_broken_framing(self):
        self.broken(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                    "frame: magic is 47 45 54")
        good = frame(PING)
        self.broken(b"NBL2" + good[4:], "protocol version byte is 0x32")
        self.broken(good[:4] + b"\x01" + good[5:], "frame: kind is 1")
        self.broken(good[:4] + b"\x07" + good[5:], "frame: kind is 7")
        self.broken(good[:5] + b"\x01" + good[6:], "frame: reserved byte is 1")
        # The error must arrive although much more was sent than was read.
        self.broken(b"x" * 3000000, "frame: magic is 78 78 78")
        self.assertEqual(self.peer.status().bad_frames, 6)

    def test_unknown_methods(self):
        with self.lives_on(self.server):
            for method in (0, 5, 65535):
                self.assert_error(self.peer.call(method, b"whatever"),
                                  UNIMPLEMENTED,
                                  "method: %d is not known" % method)

    def test_garbage_bodies(self):
        bad = [b"\xff", b"\x00\x00", b"\x2a\x05\x01", b"\x2a\xff\xff",
               b"\x0b\x0c", b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",
               b"\x08\x01", b"\x2a\x02\x08\x01", b"\x28\x01",
               b"\x2a\x03\x12\x01\x00", b"\x2a\x04\x12\x02\xff\xff"]
        with self.lives_on(self.server):
            for method in (LOOKUP, POOL):
                for body in bad:
                    got = self.peer.call(method, body)
                    self.assert_error(got, INVALID_ARGUMENT)

    def test_random_bodies_never_end_the_connection(self):
        rng = random.Random(4)
        good = lookup_request(list(range(20))).SerializeToString()
        for _ in range(500):
            body = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                body[rng.randrange(len(body))] = rng.randrange(256)
            del body[rng.randrange(len(body) // 2, len(body) + 1):]
            self.peer.call(rng.choice((LOOKUP, POOL, STATUS)), bytes(body))
        self.peer.ping()

    def test_unknown_fields_and_unpacked_ids(self):
        request = lookup_request([4]).SerializeToString()
        request += b"\xa2\x06\x03abc" + b"\xa8\x06\x07"  # fields 100, 101
        got = self.peer.call(LOOKUP, request)
        self.assertEqual(got.blocks().blocks[0].values,
                         self.rows[4].tobytes())
        feature = b"\x0a\x05words" + b"".join(
            b"\x11" + struct.pack("<Q", i) for i in range(50))
        body = b"\x2a" + bytes([len(feature) & 127 | 128, len(feature) >> 7])
        got = self.peer.call(LOOKUP, body + feature)
        self.assertEqual(got.blocks().blocks[0].values,
                         self.rows[:50].tobytes())

    def test_bodies_over_a_methods_own_limit_are_skipped(self):
        with self.lives_on(self.server):
            self.peer.send(frame(PING, b"\xa2\x06\x60" + bytes(96), 3) +
                           frame(PING, b"\xa2\x06\x20" + bytes(32), 4))
            got = self.peer.receive()
            self.assert_error(got, RESOURCE_EXHAUSTED, "body of 99 bytes",
                              "limit of 64 bytes")
            self.assertEqual(got.request_id, 3)
            self.assertEqual(self.peer.receive().kind, REPLY)

    def test_peer_that_shuts_its_side_gets_its_replies(self):
        self.peer.send(b"".join(frame(LOOKUP, lookup_request([i]), i)
                                for i in range(100)) + frame(PING)[:7])
        self.peer.socket.shutdown(socket.SHUT_WR)
        for i in range(100):
            self.assertEqual(self.peer.receive().request_id, i)
        self.assertTrue(self.peer.at_end())

    def test_claimed_length_costs_nothing_until_it_comes(self):
        before = self.server.resident_bytes()
        peers = [self.connect(self.server) for _ in range(50)]
        header = HEADER.pack(b"NBL1", 0, 0, LOOKUP, 1, 16 << 20)
        for peer in peers:
            peer.send(header)
        self.peer.ping()  # all of them have been read
        self.assertLess(self.server.resident_bytes() - before, 16 << 20)


if __name__ == "__main__":
    nibble_test.main()
