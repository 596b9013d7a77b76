# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""File descriptors: few of them, none of them, and the standard ones closed."""

import fcntl
import os
import resource
import select
import socket
import subprocess
import threading
import time

import nibble_test
from nibble_test import (DEADLINE_S, NIBBLED, PING, TCP_LISTENS, UNAVAILABLE,
                         frame, run, scratch_path, wait_for)

FILES = resource.RLIMIT_NOFILE


class Descriptors(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(10, 4))

    def start(self, *options, **named):
        return self.serve({"t": self.table}, *options, **named)

    def sits_still(self, server):
        """Uses next to no processor while nobody asks for anything."""
        began, used = time.monotonic(), server.cpu_seconds()
        time.sleep(0.5)  # the time over which it is measured
        share = (server.cpu_seconds() - used) / (time.monotonic() - began)
        self.assertLess(share, 0.3)

    def served(self, server):
        """A new connection, or None: it is turned away."""
        peer = self.connect(server)
        try:
            peer.send(frame(PING))
            got = peer.receive()
        except ConnectionError:
            got = None
        if got is not None and got.body == b"":
            return peer
        peer.close()
        return None

    def pings(self, server):
        peer = self.served(server)
        if peer is not None:
            peer.close()
        return peer is not None

    def churn(self, address, rounds):
        host, port = address.rsplit(":", 1)
        for _ in range(rounds):
            peers = [socket.socket() for _ in range(50)]
            for peer in peers:
                peer.settimeout(5)
                try:
                    peer.connect((host, int(port)))
                except OSError:
                    pass
            for peer in peers:
                peer.close()

    def test_few_descriptors(self):
        """Connections are as many as there are descriptors for."""
        server = self.start(loops=4, limit=(FILES, 80))
        self.assertRegex(server.log(),
                         "event=limit max-connections=[0-9]+ why=")
        threads = [threading.Thread(target=self.churn,
                                    args=(server.address, 20))
                   for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: not any(server.receive_queues(TCP_LISTENS)),
                 "none of the rest is still to be accepted")
        first = wait_for(lambda: self.served(server), "a ping is answered")
        wait_for(lambda: first.status().connections == 1, "the rest are gone")
        peers = [self.connect(server) for _ in range(60)]
        for peer in peers:
            peer.send(frame(PING))
        answers = []
        for peer in peers:
            try:
                answers.append(peer.receive())
            except ConnectionError:
                answers.append(None)
        self.assertEqual(sum(a is not None and a.body == b""
                             for a in answers), self.limit_of(server) - 1)
        refused = [a for a in answers if a is not None and a.body]
        self.assertTrue(refused)
        for answer in refused:
            self.assert_error(answer, UNAVAILABLE, "too many connections")
        self.assertNotIn("event=accept", server.log())
        self.sits_still(server)
        for peer in peers:
            peer.close()
        wait_for(lambda: self.pings(server), "a ping is answered")

    def limit_of(self, server):
        line = [x for x in server.log().splitlines() if "event=limit" in x][0]
        return int(line.split("max-connections=")[1].split()[0])

    def test_no_descriptors(self):
        """Taken away while it runs: those who wait are served later."""
        server = self.start(loops=4)
        self.connect(server).ping()
        pid = server.process.pid
        resource.prlimit(pid, FILES, (server.n_descriptors() + 4, 1000))
        peers = [self.connect(server) for _ in range(40)]
        for peer in peers:
            peer.send(frame(PING))
        wait_for(lambda: "event=accept" in server.log(), "none is left")
        self.churn(server.address, 2)
        self.sits_still(server)
        waiting = {peer.socket: peer for peer in peers}
        while waiting:  # those served make room for others
            ready = select.select(list(waiting), [], [], DEADLINE_S)[0]
            self.assertTrue(ready, "%d wait" % len(waiting))
            for one in ready:
                peer = waiting.pop(one)
                self.assertEqual(peer.receive().body, b"")
                peer.close()
        self.connect(server).ping()

    def test_end_while_there_are_none(self):
        server = self.start(loops=4)
        resource.prlimit(server.process.pid, FILES,
                         (server.n_descriptors(), 1000))
        for _ in range(8):
            self.connect(server).send(frame(PING))
        wait_for(lambda: "event=accept" in server.log(), "none is left")
        server.stop()

    def test_too_few_to_start(self):
        done = run(NIBBLED, "--table", "t=" + self.table, "--listen",
                   "127.0.0.1:0", "--loops", "4", check=False,
                   limit=(FILES, 48))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("file descriptors", done.stderr.splitlines()[-1])

    def test_soft_limit_is_raised(self):
        server = self.start()
        with open("/proc/%d/limits" % server.process.pid) as lines:
            files = [x for x in lines if x.startswith("Max open files")][0]
        self.assertEqual(*files.split()[3:5])

    # ---- standard descriptors ---------------------------------------------

    def test_closed_standard_descriptors(self):
        for shell, closed in (("2>&-", (2,)), ("<&- >&- 2>&-", (0, 1, 2)),
                              ("<&-", (0,))):
            server = self.start(shell=shell)
            for fd in closed:
                self.assertEqual(os.readlink("/proc/%d/fd/%d" % (
                    server.process.pid, fd)), "/dev/null")
            peer = self.connect(server)
            peer.send(b"GET / HTTP/1.1\r\n\r\n")  # makes a line of the log
            self.assertIsNotNone(peer.receive())
            self.connect(server).ping()
            server.stop()

    def test_log_file_over_its_limit(self):
        """SIGXFSZ would end it."""
        server = self.start(limit=(resource.RLIMIT_FSIZE, 2000))

        def fills():
            peer = self.connect(server)
            peer.send(b"GET / HTTP/1.1\r\n\r\n")
            peer.receive()
            peer.close()
            return len(server.log()) == 2000

        wait_for(fills, "the log is full")
        for _ in range(12):
            fills()
        self.connect(server).ping()

    def test_log_that_nobody_reads(self):
        """A pipe of 4 KiB: the server goes on when it is full."""
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        address_file = scratch_path(".address")
        process = subprocess.Popen(
            [NIBBLED, "--table", "t=" + self.table, "--loops", "1",
             "--listen", "127.0.0.1:0", "--address-file", address_file],
            stderr=writer)
        try:
            wait_for(lambda: os.path.exists(address_file), "nibbled listens")
            with open(address_file) as file:
                address = file.read().strip()
            os.set_blocking(writer, False)
            with self.assertRaises(BlockingIOError):
                while True:
                    os.write(writer, b"\n")
            os.set_blocking(writer, True)
            for _ in range(20):
                peer = nibble_test.Connection(address)
                peer.send(b"GET / HTTP/1.1\r\n\r\n")  # a line of the log
                self.assertIsNotNone(peer.receive())
                self.assertTrue(peer.at_end())
                peer.close()
            process.terminate()
            self.assertEqual(process.wait(DEADLINE_S), 0)
        finally:
            process.kill()
            process.wait()
            os.close(reader)
            os.close(writer)

    def test_output_that_cannot_be_written(self):
        for flag in ("--help", "--version"):
            done = run("sh", "-c", 'exec "$0" "$1" >/dev/full', NIBBLED, flag,
                       check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, "nibbled: standard output: No space "
                                          "left on device\n")


if __name__ == "__main__":
    nibble_test.main()
