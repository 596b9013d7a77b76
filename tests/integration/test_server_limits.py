# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Limits and timeouts: what is too much, too slow or too late is refused by
name, and costs nobody else."""

import socket
import struct
import threading
import time

import nibble_test
from nibble_test import (DEADLINE_EXCEEDED, HEADER, LOOKUP, PING, POOL, REPLY,
                         RESOURCE_EXHAUSTED, UNAVAILABLE, frame, wait_for)
from proto import nibble_pb2 as pb

DIM = 64


def lookup_request(n, **fields):
    request = pb.LookupRequest(**fields)
    request.features.add(table="t", ids=range(n))
    return request


class Limits(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(2000, DIM))
        cls.rows = nibble_test.exported(cls.table)

    def start(self, *options, **named):
        self.server = self.serve({"t": self.table}, *options, **named)
        self.peer = self.connect(self.server)

    # ---- sizes ------------------------------------------------------------

    def test_frames_over_the_limit_are_skipped(self):
        self.start("--max-frame-bytes", "1KiB")
        with self.lives_on(self.server):
            self.peer.send(frame(LOOKUP, bytes(1025), 7) + frame(PING, b"", 8))
            got = self.peer.receive()
            self.assert_error(got, RESOURCE_EXHAUSTED,
                              "body of 1025 bytes is over the limit of 1024")
            self.assertEqual((got.request_id, got.method), (7, LOOKUP))
            self.assertEqual(self.peer.receive().request_id, 8)
            # Told as soon as the header is there, whatever it claims.
            self.peer.send(HEADER.pack(b"NBL1", 0, 0, POOL, 9, 2 ** 32 - 1))
            self.assert_error(self.peer.receive(), RESOURCE_EXHAUSTED)

    def refused(self, method, request, *words):
        with self.lives_on(self.server):
            self.assert_error(self.peer.call(method, request),
                              RESOURCE_EXHAUSTED, *words)

    def test_ids_bags_and_features(self):
        self.start("--max-ids", 10, "--max-bags", 5, "--max-features", 3)
        pool = pb.PoolRequest()
        pool.features.add(table="t", ids=range(6), lengths=[6])
        pool.features.add(table="t", ids32=range(4), lengths=[1] * 4)
        self.assertEqual(self.peer.call(POOL, pool).kind, REPLY)
        pool.features[1].ids32.append(1)
        self.refused(POOL, pool, "features[1].ids: over 10 in the request")
        self.refused(LOOKUP, lookup_request(11), "features[0].ids: over 10")
        bags = pb.PoolRequest()
        bags.features.add(table="t", lengths=[0] * 6)
        self.refused(POOL, bags, "features[0].lengths: over 5 bags")
        weights = pb.PoolRequest()
        weights.features.add(table="t", weights=[1.0] * 11)
        self.refused(POOL, weights, "features[0].weights: over 10")
        many = pb.LookupRequest()
        for _ in range(4):
            many.features.add(table="t")
        self.refused(LOOKUP, many, "features: over 3 in the request")

    def test_replies_over_the_limit(self):
        self.start("--max-reply-bytes", "100 KiB")
        self.assertEqual(self.peer.lookup("t", range(399)).rows, 399)
        self.refused(LOOKUP, lookup_request(400),
                     "the reply is over the limit of 102400 bytes")
        bags = pb.PoolRequest()
        bags.features.add(table="t", lengths=[0] * 200000)
        self.refused(POOL, bags, "the reply is over the limit")

    def test_memory_of_decoding_is_bounded(self):
        self.start("--max-frame-bytes", "1MiB", "--max-features", "16")
        feature = b"\x0a\x01t" + b"\x50\x01" * 500000  # unknown fields
        size = len(feature)
        body = b"\x2a" + bytes([size & 127 | 128, size >> 7 & 127 | 128,
                                size >> 14]) + feature
        self.refused(LOOKUP, body, "to decode")

    def test_connections(self):
        self.start("--max-connections", 2)
        second = self.connect(self.server)
        second.ping()
        third = self.connect(self.server)
        third.send(frame(PING))
        self.assert_error(third.receive(), UNAVAILABLE,
                          "too many connections")
        self.assertTrue(third.at_end())
        third.close()
        self.peer.ping()
        second.close()
        wait_for(lambda: self.peer.status().connections == 1, "two are gone")
        self.connect(self.server).ping()
        self.assertEqual(self.peer.status().connections_refused, 1)

    # ---- time -------------------------------------------------------------

    def test_half_a_header_then_silence(self):
        self.start("--header-timeout", "0.2")
        with self.lives_on(self.server):
            self.peer.send(frame(PING)[:7])
            self.assert_error(self.peer.receive(), DEADLINE_EXCEEDED,
                              "frame: header not whole after 200 ms, 7 bytes")
            self.assertTrue(self.peer.at_end())

    def test_half_a_body_then_silence(self):
        self.start("--request-timeout", "0.2")
        with self.lives_on(self.server):
            self.peer.send(frame(LOOKUP, lookup_request(10), 77)[:40])
            got = self.peer.receive()
            self.assert_error(got, DEADLINE_EXCEEDED,
                              "frame: body not whole after 200 ms, 24 bytes")
            self.assertEqual((got.request_id, got.method), (77, LOOKUP))
            self.assertTrue(self.peer.at_end())

    def test_half_a_skipped_body_then_silence(self):
        self.start("--request-timeout", "0.2", "--max-frame-bytes", "64")
        self.peer.send(HEADER.pack(b"NBL1", 0, 0, LOOKUP, 9, 65) + b"x")
        self.assert_error(self.peer.receive(), RESOURCE_EXHAUSTED)
        got = self.peer.receive()
        self.assert_error(got, DEADLINE_EXCEEDED,
                          "frame: body not whole after 200 ms, 1 bytes came")
        self.assertEqual((got.request_id, got.method), (9, LOOKUP))
        self.assertTrue(self.peer.at_end())

    def test_idle_connections(self):
        self.start("--idle-timeout", "0.2")
        self.peer.ping()
        self.assertTrue(self.peer.at_end())
        self.connect(self.server).ping()
        self.assertIn("idle timeout", self.server.log())

    def test_requests_whose_time_has_passed(self):
        # Held back while replies are unsent, so they age; at least one is.
        self.start("--write-high", "1", "--write-low", "0")
        n = 300
        sender = threading.Thread(target=self.peer.send, args=(
            b"".join(frame(LOOKUP, lookup_request(2000, timeout_ms=1), i)
                     for i in range(n)),))
        sender.start()
        other = self.connect(self.server)
        self.quiet(other)
        got = [self.peer.receive() for _ in range(n)]
        sender.join()
        self.assertEqual([g.request_id for g in got], list(range(n)))
        late = [g for g in got if g.kind != REPLY]
        self.assertTrue(late)
        for g in late:
            self.assert_error(g, DEADLINE_EXCEEDED, "timeout_ms: passed")
        lookup = [m for m in other.status().methods if m.name == "lookup"][0]
        self.assertEqual((lookup.requests, lookup.errors, lookup.expired),
                         (n, len(late), len(late)))

    def test_bad_peers_do_not_flood_the_log(self):
        self.start()
        began = time.monotonic()
        for _ in range(300):
            peer = self.connect(self.server)
            peer.send(b"GET / HTTP/1.1\r\n\r\n")
            self.assertIsNotNone(peer.receive())
            peer.close()
        wait_for(lambda: self.peer.status().connections == 1, "all are gone")
        lines = self.server.log().count("event=close")
        self.assertGreater(lines, 0)
        self.assertLessEqual(lines, 10 * (time.monotonic() - began + 2))

    # ---- slow readers -----------------------------------------------------

    def quiet(self, other):
        """Waits until the server takes nothing more from the slow peer."""
        last = [0, 0]

        def same():
            received = other.status().bytes_received
            own = len(frame(nibble_test.STATUS, pb.StatusRequest()))
            last[1] = last[1] + 1 if received == last[0] + own else 0
            last[0] = received
            return last[1] > 100

        wait_for(same, "the server stops reading")

    def test_slow_reader_costs_bounded_memory(self):
        self.start("--write-high", "2MiB", "--write-low", "1MiB")
        other = self.connect(self.server)
        n, rows = 400, 2000  # 205 MB of replies
        before = self.server.resident_bytes()
        sender = threading.Thread(target=self.peer.send, args=(
            b"".join(frame(LOOKUP, lookup_request(rows), i)
                     for i in range(n)),))
        sender.start()
        self.quiet(other)
        self.assertLess(self.server.resident_bytes() - before, 48 << 20)
        for i in range(n):
            got = self.peer.receive()
            self.assertEqual(got.request_id, i)
            self.assertEqual(got.blocks().blocks[0].values,
                             self.rows.tobytes())
        sender.join()

    def test_in_flight_requests_are_bounded(self):
        self.start("--max-in-flight", "4")
        n = 500
        self.peer.send(b"".join(frame(LOOKUP, lookup_request(5), i)
                                for i in range(n)))
        for i in range(n):
            self.assertEqual(self.peer.receive().request_id, i)

    def test_peer_that_takes_no_replies(self):
        self.start("--write-timeout", "0.3", "--write-high", "1MiB")
        slow = self.connect(self.server, receive_buffer=4096)
        slow.socket.setblocking(False)
        data = b"".join(frame(LOOKUP, lookup_request(2000), i)
                        for i in range(100))
        try:
            slow.socket.send(data)
        except BlockingIOError:
            pass
        wait_for(lambda: self.peer.status().connections == 1,
                 "the slow peer is closed")
        self.assertIn("write timeout", self.server.log())

    def test_disconnects_mid_reply(self):
        self.start()
        self.peer.ping()
        before = self.server.n_descriptors()
        data = b"".join(frame(LOOKUP, lookup_request(2000), i)
                        for i in range(20))
        reset = struct.pack("ii", 1, 0)
        for taken in [0, 1, 15, 16, 17, 100, 5000, 512016, 600000] * 3:
            peer = self.connect(self.server)
            peer.send(data)
            self.assertEqual(len(peer.read(taken)), taken)
            if taken % 2:
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       reset)
            peer.close()
            self.peer.ping()
        wait_for(lambda: self.peer.status().connections == 1, "all are gone")
        wait_for(lambda: self.server.n_descriptors() <= before,
                 "descriptors are closed")


if __name__ == "__main__":
    nibble_test.main()
