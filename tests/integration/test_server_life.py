# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""From start to end: options, addresses, files that are not tables, signals."""

import os
import re
import signal
import socket
import stat
import threading

import nibble_test
from nibble_test import (LOOKUP, NIBBLED, PING, REPLY, frame, run,
                         scratch_path, wait_for)
from proto import nibble_pb2 as pb


def lookup_request(n):
    request = pb.LookupRequest()
    request.features.add(table="t", ids=[i % 100 for i in range(n)])
    return request


class Life(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(100, 16))
        cls.rows = nibble_test.exported(cls.table)

    def start(self, *options, **named):
        return self.serve({"t": self.table}, *options, **named)

    def fails(self, status, *arguments, words=(), env=None):
        """One line on stderr, naming what is wrong."""
        done = run(NIBBLED, *arguments, check=False, env=env)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("nibbled: "), lines[0])
        for word in words:
            self.assertIn(word, lines[0])

    # ---- options ----------------------------------------------------------

    def test_help_and_version(self):
        text = run(NIBBLED, "--help").stdout
        for word in ("Usage: nibbled", "--table NAME=FILE", "--max-ids N",
                     "default: 1048576", "NIBBLED_MAX_IDS", "Exit status"):
            self.assertIn(word, text)
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()))
        self.assertRegex(run(NIBBLED, "--version").stdout,
                         r"^nibbled \d+\.\d+\.\d+\n$")

    def test_a_file_of_options(self):
        path = scratch_path(".conf")
        printed = run(NIBBLED, "--table", "t=" + self.table, "--loops", "3",
                      "--check-config").stdout
        self.assertIn("\nloops = 3\n", printed)
        with open(path, "w") as file:
            file.write("# what was in effect\n" + printed)
        self.assertEqual(run(NIBBLED, "--config", path,
                             "--check-config").stdout, printed)
        self.assertIn("\nloops = 4\n", run(
            NIBBLED, "--check-config", env={"NIBBLED_CONFIG": path,
                                            "NIBBLED_LOOPS": "4"}).stdout)
        server = self.serve({}, "--config", path, loops=2)
        self.assertEqual(self.connect(server).status().loops, 2)
        self.fails(2, "--check-config", words=["--repo DIR"])
        with open(path, "a") as file:
            file.write("loop = 3\n")
        self.fails(2, "--config", path, words=[
            "%s:%d: no option 'loop'" % (path, printed.count("\n") + 2)])

    def test_the_manual_page_has_every_option(self):
        page = run(NIBBLED, "--man").stdout
        self.assertTrue(page.startswith(".TH NIBBLED 8 "))
        for flag in re.findall(r"^  --(\S+) ", run(NIBBLED, "--help").stdout,
                               re.M):
            self.assertIn("\n\\fB\\-\\-%s\\fR" %
                          flag.replace("-", "\\-"), page)
        for line in page.splitlines():
            self.assertRegex(line, r"\A(\.(TH|SH|TP|nf|fi)\b|[^.']|\Z)")

    def test_wrong_usage(self):
        good = "t=" + self.table
        self.fails(2, words=["--table NAME=FILE is missing"])
        self.fails(2, "--tabel", good, words=["no option '--tabel'"])
        self.fails(2, "serve", words=["'serve' is not an option"])
        self.fails(2, "--table", words=["--table: NAME=FILE is missing"])
        self.fails(2, "--table", "a", words=["'a' is not NAME=FILE"])
        self.fails(2, "--table", good, "--table", good,
                   words=["'t' is given twice"])
        self.fails(2, "--table", good, "--loops", "two",
                   words=["--loops: 'two' is not an integer"])
        self.fails(2, "--table", good, "--max-ids", "0",
                   words=["--max-ids: 0 is not within 1 to 134217728"])
        self.fails(2, "--table", good, "--listen", "localhost",
                   words=["address 'localhost': not HOST:PORT"])
        self.fails(2, "--table", good, "--write-low", "8 MiB",
                   words=["--write-low: 8388608 bytes is over --write-high"])
        self.fails(2, "--table", good, env={"NIBBLED_LOOPS": "x"},
                   words=["NIBBLED_LOOPS: 'x' is not an integer"])
        self.fails(2, "--table", good, env={"NB_ISA_DISABLE": "mmx"},
                   words=["mmx"])

    def test_environment_and_effective_configuration(self):
        server = self.start("--max-bags", "99", "--drain-timeout", "1.5",
                            env={"NIBBLED_MAX_IDS": "77",
                                 "NIBBLED_MAX_BAGS": "88"})
        log = server.log()
        for word in ("max-ids=77", "max-bags=99", "drain-timeout=1.500",
                     "isa=", "event=table name=t codec=q4 rows=100 dim=16",
                     "event=listening address=" + server.address):
            self.assertIn(word, log)
        for line in log.splitlines():
            self.assertRegex(line, r"^ts=\S+Z level=\w+ event=\w+")

    def test_a_variable_of_no_option_is_told(self):
        env = {"NIBBLED_MAX_ID": "secret", "NIBBLED_MAX_BAGS": "88",
               "NIBBLED_SERVICE_HOST": "10.0.0.1",
               "NIBBLED_PORT_7700_TCP": "tcp://10.0.0.1:7700"}
        told = "level=warn event=unknown-variable name=NIBBLED_MAX_ID why="
        server = self.start(env=env)
        self.assertEqual(server.log().count("event=unknown-variable"), 1)
        self.assertIn(told, server.log())
        self.assertNotIn("secret", server.log())
        done = run(NIBBLED, "--table", "t=" + self.table, "--check-config",
                   env=env)
        self.assertIn(told, done.stderr)

    # ---- tables -----------------------------------------------------------

    def test_files_that_are_not_tables(self):
        with open(self.table, "rb") as file:
            good = file.read()
        flipped = bytearray(good)
        flipped[9] ^= 1
        for content, why in (
                (b"", "the file is empty"),
                (b"hello\n" * 1000, "not a nibble table file"),
                (good[:100], "file has 100"),
                (good[:-1], "file has %d" % (len(good) - 1)),
                (bytes(flipped), "format version 257")):
            path = scratch_path(".nbt")
            with open(path, "wb") as file:
                file.write(content)
            self.fails(1, "--table", "t=" + path, words=[path, why])
        self.fails(1, "--table", "t=/no/such/file",
                   words=["/no/such/file", "No such file"])
        self.fails(1, "--table", "t=" + os.path.dirname(self.table),
                   words=[os.path.dirname(self.table)])

    # ---- addresses --------------------------------------------------------

    def test_port_in_use(self):
        server = self.start()
        port = server.address.rsplit(":", 1)[1]
        with self.lives_on(server):
            self.fails(1, "--table", "t=" + self.table, "--listen",
                       "127.0.0.1:" + port,
                       words=["127.0.0.1:" + port, "Address already in use"])

    def test_addresses_that_cannot_be(self):
        table = "t=" + self.table
        self.fails(1, "--table", table, "--listen", "no.such.host.invalid:1",
                   words=["no.such.host.invalid:1"])
        self.fails(1, "--table", table, "--listen", "unix:/no/such/dir/s",
                   words=["unix:/no/such/dir/s", "No such file"])

    def test_address_file_that_cannot_be_written(self):
        done = run(NIBBLED, "--table", "t=" + self.table, "--listen",
                   "127.0.0.1:0", "--address-file", "/no/such/dir/a",
                   check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such/dir/a", done.stderr.splitlines()[-1])

    def test_address_file_goes_with_its_server(self):
        first = self.start(loops=0)
        self.assertNotIn(" loops=0", first.log())
        self.assertRegex(first.log(), r"event=start .*loops=[1-9]")
        first.stop()
        self.assertFalse(os.path.exists(first.address_file))
        second = self.start()
        with open(second.address_file + "x", "w") as file:
            file.write("another's")
        os.rename(second.address_file + "x", second.address_file)
        second.stop()
        self.assertTrue(os.path.exists(second.address_file))

    def test_several_addresses_and_loops(self):
        path = scratch_path(".sock")
        server = self.start(listen=("127.0.0.1:0", "unix:" + path,
                                    "localhost:0"), loops=3)
        self.assertEqual(len(server.addresses), 3)
        self.assertEqual(server.addresses[1], "unix:" + path)
        peers = [self.connect(server, address)
                 for address in server.addresses * 8]
        for peer in peers:
            peer.send(frame(LOOKUP, lookup_request(100), 1))
        for peer in peers:
            self.assertEqual(peer.receive().blocks().blocks[0].values,
                             self.rows.tobytes())
        status = peers[0].status()
        self.assertEqual((status.loops, status.connections), (3, 24))
        lookup = [m for m in status.methods if m.name == "lookup"][0]
        self.assertEqual(lookup.requests, 24)

    def test_unix_socket_file(self):
        path = scratch_path(".sock")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)  # a file no one listens on
        stale.close()
        server = self.start(listen=("unix:" + path,), loops=2)
        self.connect(server).ping()
        self.fails(1, "--table", "t=" + self.table, "--listen",
                   "unix:" + path, words=[path, "Address already in use"])
        self.connect(server).ping()
        server.stop()
        self.assertFalse(os.path.exists(path))

    def test_socket_file_of_another_server_is_left_alone(self):
        path = scratch_path(".sock")
        first = self.start(listen=("unix:" + path,))
        os.unlink(path)
        second = self.start(listen=("unix:" + path,))
        first.stop()
        self.connect(second).ping()

    def test_address_file_that_is_a_table(self):
        with open(self.table, "rb") as file:
            before = file.read()
        link = scratch_path(".nbt")
        os.link(self.table, link)
        for path in (self.table, link):
            self.fails(1, "--table", "t=" + self.table, "--listen",
                       "127.0.0.1:0", "--address-file", path,
                       words=["--address-file: " + path,
                              "the file of table 't'"])
            with open(path, "rb") as file:
                self.assertEqual(file.read(), before)

    def test_status_of_many_tables(self):
        server = self.serve({"t%d" % i: self.table for i in range(1500)},
                            "--max-frame-bytes", "64", "--max-features", "1")
        tables = self.connect(server).status().models[0].tables
        self.assertEqual(len(tables), 1500)

    def test_unix_path_that_is_a_file_is_left_alone(self):
        path = scratch_path(".txt")
        with open(path, "w") as file:
            file.write("precious")
        self.fails(1, "--table", "t=" + self.table, "--listen", "unix:" + path,
                   words=[path, "a file is there that is no socket"])
        self.assertTrue(stat.S_ISREG(os.lstat(path).st_mode))

    # ---- the end ----------------------------------------------------------

    def test_both_signals_end_an_idle_server(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.start(loops=2)
            self.connect(server).ping()
            server.terminate(number)
            server.wait()
            self.assertIn("event=drain", server.log())
            self.assertIn("event=exit status=0", server.log())

    def test_busy_server_answers_what_had_come(self):
        """Of every connection: all that was sent before the signal, whole."""
        server = self.start(loops=2)
        peers = [self.connect(server) for _ in range(8)]
        n = 200
        data = b"".join(frame(LOOKUP, lookup_request(500), i)
                        for i in range(n))
        senders = [threading.Thread(target=peer.send, args=(data,))
                   for peer in peers]
        for sender in senders:
            sender.start()
        for peer in peers:
            self.assertEqual(peer.receive().request_id, 0)
        counts = []

        def read_all(peer):
            ids = []
            while True:
                got = peer.receive()
                if got is None:
                    break
                self.assertEqual(got.kind, REPLY)
                self.assertEqual(len(got.blocks().blocks[0].values), 32000)
                ids.append(got.request_id)
            self.assertEqual(ids, list(range(1, len(ids) + 1)))
            counts.append(len(ids))

        readers = [threading.Thread(target=read_all, args=(peer,))
                   for peer in peers]
        for reader in readers:
            reader.start()
        for sender in senders:
            sender.join()
        server.terminate()
        for reader in readers:
            reader.join()
        server.wait()
        self.assertEqual(counts, [n - 1] * len(peers))

    def test_connections_still_in_the_backlog_are_answered(self):
        server = self.start()
        server.terminate(signal.SIGSTOP)
        peers = [self.connect(server) for _ in range(5)]
        for peer in peers:
            peer.send(frame(LOOKUP, lookup_request(10), 3))
        server.terminate(signal.SIGTERM)
        server.terminate(signal.SIGCONT)
        for peer in peers:
            self.assertEqual(peer.receive().request_id, 3)
            self.assertTrue(peer.at_end())
            peer.close()
        server.wait()

    def test_frame_in_flight_is_finished(self):
        server = self.start()
        peer = self.connect(server)
        data = frame(LOOKUP, lookup_request(10), 4)
        peer.send(data[:30])
        self.connect(server).ping()  # the half frame has been read
        server.terminate()
        wait_for(lambda: "event=drain" in server.log(), "the drain begins")
        peer.send(data[30:])
        self.assertEqual(peer.receive().request_id, 4)
        self.assertTrue(peer.at_end())
        peer.close()
        server.wait()

    def test_peers_that_never_pause_do_not_hold_up_the_end(self):
        server = self.start("--drain-timeout", "3600", loops=2)
        peers = [self.connect(server) for _ in range(4)]
        began = threading.Barrier(len(peers) + 1)

        def ask_on(peer):
            peer.ping()
            began.wait()
            got = True
            while got:  # ends with None, between frames
                try:
                    peer.send(frame(LOOKUP, lookup_request(100), 1))
                    got = peer.receive()
                except ConnectionError:
                    break
            peer.close()

        threads = [threading.Thread(target=ask_on, args=(peer,))
                   for peer in peers]
        for thread in threads:
            thread.start()
        began.wait()
        server.terminate()
        server.wait()
        for thread in threads:
            thread.join()
        self.assertNotIn("reason", server.log())

    def refuses_new(self, server):
        host, port = server.address.rsplit(":", 1)
        probe = socket.socket()
        try:
            return probe.connect_ex((host, int(port))) != 0
        finally:
            probe.close()

    def test_drain_ends_in_time_and_accepts_nobody(self):
        server = self.start("--drain-timeout", "0.4")
        peer = self.connect(server)
        peer.send(frame(PING)[:9])
        self.connect(server).ping()
        server.terminate()
        wait_for(lambda: self.refuses_new(server), "listeners are closed")
        server.wait()
        self.assertIn("drain timeout", server.log())
        self.assertTrue(peer.at_end())

    def test_second_signal_ends_at_once(self):
        server = self.start("--drain-timeout", "3600")
        peer = self.connect(server)
        peer.send(frame(PING)[:9])
        self.connect(server).ping()
        server.terminate()
        wait_for(lambda: "event=drain" in server.log(), "the drain begins")
        server.terminate()
        server.wait()
        self.assertIsNotNone(re.search("event=stop signal=SIGTERM",
                                       server.log()))


if __name__ == "__main__":
    nibble_test.main()
