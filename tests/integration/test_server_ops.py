#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What a supervisor and a reader of the log see of the server."""

import json
import os
import re
import socket
import subprocess
import time

import nibble_test
from nibble_test import LOOKUP, NIBBLED, frame, scratch_path, wait_for
from proto import nibble_pb2 as pb


class Ops(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(100, 64))

    def start(self, *options, **named):
        return self.serve({"t": self.table}, *options, **named)

    # ---- the log ----------------------------------------------------------

    def test_the_log_as_json(self):
        odd = scratch_path(' "odd" \\ name.nbt')
        os.link(self.table, odd)
        server = self.serve({"t": odd}, "--log-format", "json", "--admin",
                            "127.0.0.1:0")
        self.connect(server).send(b"junk" * 4)
        wait_for(lambda: "magic" in server.log(), "junk is logged")
        server.stop()
        events = [json.loads(line) for line in server.log().splitlines()]
        by_name = {event["event"]: event for event in events}
        self.assertEqual(by_name["start"]["log-format"], "json")
        self.assertEqual(by_name["table"]["rows"], 100)
        self.assertIn("magic", by_name["close"]["reason"])
        self.assertEqual(by_name["exit"]["status"], 0)
        for event in events:
            self.assertRegex(event["ts"], r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
            self.assertIn(event["level"], ("info", "warn", "error"))

    # ---- loops ------------------------------------------------------------

    def test_pinned_loops(self):
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            self.skipTest("a processor, or none")

        def bound_to_one(server):
            tasks = "/proc/%d/task" % server.process.pid
            sets = [os.sched_getaffinity(int(t)) for t in os.listdir(tasks)]
            return sorted(cpu for one in sets if len(one) == 1 for cpu in one)

        server = self.start("--loops", "2", "--pin-loops", "1")
        wait_for(lambda: bound_to_one(server) == cpus[:2], "loops are pinned")
        self.connect(server).status()
        self.assertEqual(bound_to_one(self.start("--loops", "2")), [])

    # ---- slow requests ----------------------------------------------------

    def slow_lines(self, server):
        return re.findall(r"event=slow-request .*", server.log())

    def test_slow_requests_are_told_with_the_breakdown(self):
        server = self.start("--slow-request", "0.1", "--write-timeout", "0")
        peer = self.connect(server, receive_buffer=4096)
        request = pb.LookupRequest()
        request.features.add(table="t", ids=[1] * 100000)  # 25 MB
        other = self.connect(server)
        for request_id in (77, 78, 79):  # known at last, and told as fully
            peer.send(frame(LOOKUP, request, request_id))
            wait_for(lambda: other.status().unsent_bytes > 0, "it is answered")
            began = time.monotonic()
            wait_for(lambda: time.monotonic() > began + 0.1, "it is late")
            self.assertEqual(peer.receive().request_id, request_id)
            found = wait_for(lambda: re.search(
                r"event=slow-request conn=1 method=lookup id=%d code=OK "
                r"took=([\d.]+)s wait=([\d.]+)s decode=([\d.]+)s "
                r"lookup=([\d.]+)s write=([\d.]+)s suppressed=0" % request_id,
                server.log()), "it is told")
            took, wait, decode, lookup, write = map(float, found.groups())
            self.assertGreater(lookup, 0)
            self.assertGreater(write, 0.09)
            self.assertAlmostEqual(took, wait + decode + lookup + write, 4)

    def test_others_are_not_told(self):
        server = self.start("--slow-request", "60")
        self.connect(server).lookup("t", [1, 2])
        server.stop()
        self.assertEqual(self.slow_lines(server), [])

    # ---- the supervisor ---------------------------------------------------

    def told(self, path):
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notified.close)
        notified.settimeout(nibble_test.DEADLINE_S)
        notified.bind(path.replace("@", "\0", 1))
        return notified

    def test_it_tells_that_it_is_ready_and_stopping(self):
        for path in (scratch_path(".notify"),
                     "@nibble-test-%d" % os.getpid()):
            notified = self.told(path)
            server = self.start(env={"NOTIFY_SOCKET": path})
            self.assertEqual(notified.recv(100), b"READY=1")
            server.stop()
            self.assertEqual(notified.recv(100), b"STOPPING=1")

    def test_a_supervisor_that_is_gone_is_no_matter(self):
        for path in ("/nonexistent/notify", "relative", "/" + "x" * 200, ""):
            server = self.start(env={"NOTIFY_SOCKET": path})
            self.connect(server).ping()
            server.stop()

    def activate(self, sockets, *options, pid="$$"):
        """Starts the server with sockets as descriptors 3, 4, ..."""
        def place():
            copies = [os.dup(s.fileno()) for s in sockets]
            copies = [os.dup2(c, 100 + i) for i, c in enumerate(copies)]
            for i, c in enumerate(copies):
                os.dup2(c, 3 + i)
        ready = scratch_path(".ready")
        process = subprocess.Popen(
            ["sh", "-c", 'LISTEN_PID=%s exec "$@"' % pid, "sh", NIBBLED,
             "--table", "t=" + self.table, "--loops", "2", "--address-file",
             ready, *options], stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, close_fds=False, preexec_fn=place,
            env=dict(os.environ, LISTEN_FDS=str(len(sockets))))
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, ready

    def test_sockets_are_taken_over(self):
        tcp = socket.create_server(("127.0.0.1", 0))
        path = scratch_path(".sock")
        local = socket.socket(socket.AF_UNIX)
        local.bind(path)
        local.listen()
        address = "127.0.0.1:%d" % tcp.getsockname()[1]
        # Before there is a server: it waits in the queue.
        early = nibble_test.Connection(address)
        self.addCleanup(early.close)
        process, ready = self.activate([tcp, local], "--listen", "systemd",
                                       "--listen", "systemd")
        tcp.close()
        local.close()
        early.ping()
        wait_for(lambda: os.path.exists(ready), "the addresses are told")
        with open(ready) as lines:
            self.assertEqual(lines.read().split("\n")[:-1],
                             [address, "unix:" + path])
        for where in (address, "unix:" + path):
            peer = nibble_test.Connection(where)
            self.addCleanup(peer.close)
            self.assertEqual(peer.status().loops, 2)
        process.terminate()
        _, log = process.communicate(timeout=nibble_test.DEADLINE_S)
        self.assertEqual(process.returncode, 0, log)
        self.assertTrue(os.path.exists(path))  # it is the supervisor's

    def test_sockets_that_are_not_there(self):
        listening = socket.create_server(("127.0.0.1", 0))
        plain = socket.socket()
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for given in (listening, plain, datagram):
            self.addCleanup(given.close)
        for sockets, options, pid, words in (
                ([], ["systemd"], "$$", "but 0 sockets were passed"),
                ([listening], ["systemd"], "1", "but 0 sockets were passed"),
                ([listening], ["systemd"] * 2, "$$", "but 1 sockets"),
                ([plain], ["systemd"], "$$", "descriptor 3 is not a stream"),
                ([datagram], ["systemd"], "$$", "descriptor 3 is not")):
            listen = [w for o in options for w in ("--listen", o)]
            process, _ = self.activate(sockets, *listen, pid=pid)
            _, log = process.communicate(timeout=nibble_test.DEADLINE_S)
            self.assertEqual(process.returncode, 1, log)
            self.assertIn(words, log.splitlines()[-1])


if __name__ == "__main__":
    nibble_test.main()
