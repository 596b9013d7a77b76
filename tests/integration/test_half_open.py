# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Clients on connections that are open on one side only: whatever is sent is
dropped, both ways, and nothing ever says so."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import nibble_test
from nibble_test import nibble

LOAD = os.path.join(nibble_test.BUILD, "tests/bench/channel_load")
TIMEOUT_MS = 400
HELD_S = 1.2  # until a reply that is late is sent


class Link:
    """A connection that a proxy forwards, until it drops what comes."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.client = client
        self.server = server
        self.dropping = proxy.dead
        self.stuck = False
        self.threads = [
            threading.Thread(target=pump, args=(self, *ends), daemon=True)
            for ends in ((client, server), (server, client))]
        for thread in self.threads:
            thread.start()

    def close(self):
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.client.close()
        self.server.close()


def pump(link, source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            if link.stuck and source is link.client:
                return
            if link.dropping:
                continue
            if source is link.server and link.proxy.replies:
                data = link.proxy.replies(data)
            target.sendall(data)
        if not link.dropping:
            target.shutdown(socket.SHUT_WR)


class Proxy:
    def __init__(self, case, target):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.dead = False  # new connections are dropped as well
        self.replies = None  # what becomes of bytes of the server
        self.links = []
        self.listener = socket.socket()
        # What a client can send that is not read is less than a request.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()
        case.addCleanup(self.stop)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                self.links.append(Link(self, client, server))

    def drop(self, dead=False):
        """From now on, what comes over the connections there are is lost."""
        self.dead = dead
        for link in list(self.links):
            link.dropping = True

    def stop_reading(self):
        """From now on, of the connections there are, nothing is taken from
        clients, whose buffers fill; all that they are owed they get."""
        for link in list(self.links):
            link.stuck = True

    def stop_accepting(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()

    def stop(self):
        self.stop_accepting()
        self.listener.close()
        for link in self.links:
            link.close()


class LateReplies:
    """Takes every tenth reply out of a stream: the half of them are sent
    HELD_S later, the others never."""

    def __init__(self):
        self.data = b""
        self.held = []
        self.n = 0

    def __call__(self, data):
        self.data += data
        out = []
        header = nibble_test.HEADER
        while len(self.data) >= header.size:
            _, _, _, method, _, size = header.unpack_from(self.data)
            if len(self.data) < header.size + size:
                break
            frame = self.data[:header.size + size]
            self.data = self.data[len(frame):]
            self.n += method == nibble_test.POOL
            if method != nibble_test.POOL or self.n % 10 != 0:
                out.append(frame)
            elif self.n % 20 == 0:
                self.held.append((time.monotonic() + HELD_S, frame))
        while self.held and self.held[0][0] < time.monotonic():
            out.append(self.held.pop(0)[1])
        return b"".join(out)


class Case(nibble_test.TestCase):
    def setUp(self):
        self.path = nibble_test.table(nibble_test.random_rows(100, 8))
        self.server = self.serve({"words": self.path})
        self.peer = self.connect(self.server)
        self.proxy = Proxy(self, self.server.address)

    def answered(self):
        return sum(m.requests for m in self.peer.status().methods
                   if m.name in ("pool", "lookup"))

    def wait_for_load(self, process, more=50):
        before = self.answered()
        nibble_test.wait_for(lambda: process.poll() is not None or
                             self.answered() > before + more,
                             "requests are answered")
        self.assertIsNone(process.poll())

    def start(self, *command):
        process = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process


class Bench(Case):
    def load(self, *options, timeout_ms=TIMEOUT_MS):
        return self.start(nibble_test.NIBBLE, "bench", "--server",
                          self.proxy.address, "--tables", "words:4",
                          "--request-mib", 1, "--warm-up", 0, "--timeout-ms",
                          timeout_ms, "--json", *options)

    def end(self, process):
        out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
        self.assertEqual(process.returncode, 1, err)
        return json.loads(out)["steps"][0]

    def test_new_connections_take_over(self):
        for options in (("--rate", 500), ()):
            process = self.load("--duration", 1.5, "--connections", 3, *options)
            self.wait_for_load(process)
            self.proxy.drop()
            self.wait_for_load(process)
            step = self.end(process)
            self.assertEqual(step["reconnects"], 3)
            self.assertGreater(step["errors"].pop("timeout"), 0)
            step["errors"].pop("connection", None)
            self.assertEqual(step["errors"], {})

    def test_a_peer_that_reads_no_more(self):
        """The request on its way cannot be sent whole; what was heard last
        came after its first bytes left."""
        process = self.start(
            nibble_test.NIBBLE, "bench", "--server", self.proxy.address,
            "--tables", "words:1000000", "--request-mib", 16, "--warm-up", 0,
            "--timeout-ms", 1000, "--duration", 4, "--connections", 1,
            "--depth", 4, "--json")
        self.wait_for_load(process, more=3)
        self.proxy.stop_reading()
        self.wait_for_load(process, more=3)
        step = self.end(process)
        self.assertGreater(step["reconnects"], 0)
        self.assertGreater(step["errors"]["timeout"], 0)

    def test_a_client_that_stood_still(self):
        """What came meanwhile has come in time."""
        for options in (("--rate", 500), ()):
            process = self.load("--duration", 3, "--connections", 3, *options)
            self.wait_for_load(process)
            for _ in range(2):
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.7)  # longer than the timeout
                process.send_signal(signal.SIGCONT)
                self.wait_for_load(process)
            out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
            step = json.loads(out)["steps"][0]
            self.assertEqual((step["errors"], step["reconnects"]), ({}, 0), err)
            self.assertEqual(process.returncode, 0, err)
            self.assertGreater(step["client_held_up_share"], 0.05)
            self.assertIn("the client ", step["warning"])

    def test_nothing_gets_through_any_more(self):
        for options in (("--rate", 500), ()):
            process = self.load("--duration", 1, "--connections", 2, *options)
            self.wait_for_load(process)
            self.proxy.drop(dead=True)
            begun = time.monotonic()
            step = self.end(process)
            # What was under way at the end has had its timeout.
            self.assertLess(time.monotonic() - begun, 30)
            self.assertGreater(step["errors"].pop("timeout"), 0)
            step["errors"].pop("connection", None)
            self.assertEqual(step["errors"], {})
            self.assertGreater(step["reconnects"], 0)
            self.proxy.dead = False

    def test_dialling_has_an_end(self):
        process = self.load("--duration", 2, "--connections", 2, "--rate", 500)
        self.wait_for_load(process)
        # A queue of connections that is full: whoever dials is not answered.
        self.proxy.stop_accepting()
        self.proxy.listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        with contextlib.ExitStack() as stack:
            for one in waiting:
                stack.enter_context(one)
                one.setblocking(False)
            for one in waiting:
                one.connect_ex(self.proxy.listener.getsockname())
            for link in list(self.proxy.links):
                link.close()
            step = self.end(process)
        self.assertGreater(step["failed_dials"], 2)
        self.assertGreater(step["errors"]["connection"], 0)

    def test_replies_that_come_too_late(self):
        """They cost their requests, and neither slots nor connections."""
        self.proxy.replies = LateReplies()
        step = self.end(self.load(
            "--duration", 4, "--connections", 1, "--depth", 24, "--rate", 200,
            "--arrivals", "constant", timeout_ms=700))
        self.assertGreater(step["errors"].pop("timeout"), 50)
        self.assertEqual((step["errors"], step["reconnects"]), ({}, 0))
        # After 480 there would be no slot left.
        self.assertGreater(step["replies"], 600)


class Channel(nibble_test.TestCase):
    def setUp(self):
        repo = nibble_test.scratch_path(".repo")
        nibble("bench", "--make-tables", "point", "--scale", "0.0005",
               "--repo", repo)
        self.server = self.serve({}, "--repo", repo)
        self.peer = self.connect(self.server)

    answered = Case.answered
    wait_for_load = Case.wait_for_load
    start = Case.start

    def load(self, *proxies, ms):
        servers = [o for p in proxies for o in ("--server", p.address)]
        return self.start(LOAD, *servers, "--rows", 5000, "--ms", ms,
                          "--silence-ms", 200)

    def assert_no_call_failed(self, process):
        told, errors = process.communicate(timeout=nibble_test.DEADLINE_S)
        self.assertEqual((process.returncode, errors), (0, ""), told)
        self.assertRegex(told, r"[1-9]\d* retries")

    def test_calls_are_sent_again(self):
        proxy = Proxy(self, self.server.address)
        process = self.load(proxy, ms=2000)
        for _ in range(2):
            self.wait_for_load(process)
            proxy.drop()
            self.wait_for_load(process)
        self.assert_no_call_failed(process)

    def test_calls_go_to_the_other_replica(self):
        dropping = Proxy(self, self.server.address)
        process = self.load(dropping, Proxy(self, self.server.address),
                            ms=2000)
        self.wait_for_load(process)
        dropping.drop(dead=True)
        self.wait_for_load(process, more=1000)
        self.assert_no_call_failed(process)


if __name__ == "__main__":
    nibble_test.main()
