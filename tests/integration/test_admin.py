#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""HTTP for operators: metrics, health, status, reloading, the page."""

import http.client
import json
import re
import socket
import subprocess
import unittest

import nibble_test
from google.protobuf import json_format
from nibble_test import (LOOKUP, NOT_FOUND, POOL, frame, run, wait_for)
from proto import nibble_pb2 as pb
from repo_case import RepoCase

LABEL = r'[a-z_]+="[A-Za-z0-9_.+-]*"'
SAMPLE = re.compile(r"([a-z_]+)(?:\{(%s(?:,%s)*)\})? ([0-9.e+-]+|\+Inf)\Z" %
                    (LABEL, LABEL))


def admin_address(server):
    return re.search(r"event=admin address=(\S+)", server.log()).group(1)


def ask(server, path, method="GET", headers=None):
    """Status, headers and body of an answer."""
    peer = http.client.HTTPConnection(admin_address(server),
                                      timeout=nibble_test.DEADLINE_S)
    try:
        peer.request(method, path, headers=headers or {})
        answer = peer.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        peer.close()


def parse_metrics(text):
    """Samples by 'name{labels}'; every one must belong to the family that the
    HELP and TYPE lines before it name, and stand once."""
    samples, families, family, kind = {}, set(), None, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in families, line
            assert len(line.split(" ", 3)[3]) > 10, line
            families.add(family)
            kind = None
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family, line
            kind = line.split(" ")[3]
            assert kind in ("counter", "gauge", "histogram"), line
            assert (kind == "counter") == family.endswith("_total"), line
        else:
            name, labels, value = SAMPLE.match(line).groups()
            suffixes = ["_bucket", "_sum", "_count"] \
                if kind == "histogram" else [""]
            assert name in [family + s for s in suffixes], line
            key = name + ("{%s}" % labels if labels else "")
            assert key not in samples, line
            samples[key] = float(value)
    return samples


def metrics(server):
    status, headers, text = ask(server, "/metrics")
    assert status == 200, text
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return parse_metrics(text)


class AdminTest(nibble_test.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = nibble_test.table(nibble_test.random_rows(50, 8))

    def serve_admin(self, *options, **named):
        return self.serve({"t": self.table}, "--admin", "127.0.0.1:0",
                          *options, **named)

    def test_health_and_what_is_not_there(self):
        server = self.serve_admin()
        for path, text in ("/healthz", "ok\n"), ("/readyz", "ready\n"):
            status, headers, body = ask(server, path)
            self.assertEqual((status, body), (200, text))
            self.assertEqual(headers["Cache-Control"], "no-store")
        self.assertEqual(ask(server, "/nothing")[0], 404)
        self.assertEqual(ask(server, "/../etc/passwd")[0], 404)
        for path, method, allowed in (("/metrics", "POST", "GET"),
                                      ("/reload", "GET", "POST"),
                                      ("/status", "DELETE", "GET")):
            status, headers, _ = ask(server, path, method)
            self.assertEqual((status, headers["Allow"]), (405, allowed))
        status, headers, body = ask(server, "/metrics", "HEAD")
        self.assertEqual((status, body), (200, ""))
        self.assertGreater(int(headers["Content-Length"]), 1000)
        status, _, body = ask(server, "/reload", "POST")
        self.assertEqual(status, 409)
        self.assertIn("not a repository", body)

    def test_connections_are_spread_evenly(self):
        server = self.serve({"t": self.table}, "--loops", "4", "--admin",
                            "127.0.0.1:0")
        peers = []
        for n in range(1, 17):
            peers.append(self.connect(server))
            self.assertEqual(peers[-1].status().connections, n)
            counts = [v for name, v in metrics(server).items()
                      if name.startswith("nibble_loop_connections{")]
            self.assertEqual(sum(counts), n)
            self.assertLessEqual(max(counts) - min(counts), 1, counts)

    def test_metrics_count(self):
        server = self.serve_admin(loops=2)
        peer = self.connect(server)
        before = metrics(server)
        peer.lookup("t", [1, 2, 60])
        pool = pb.PoolRequest()
        pool.features.add(table="t", ids=[1, 2, 3, 70], lengths=[2, 0, 2])
        peer.call(POOL, pool)
        self.assert_error(peer.call(POOL, pb.PoolRequest(model="x")),
                          NOT_FOUND)
        after = metrics(server)

        def rise(key):
            return after[key] - before[key]

        requests = 'nibble_requests_total{method="%s",code="%s"}'
        self.assertEqual(rise(requests % ("lookup", "OK")), 1)
        self.assertEqual(rise(requests % ("pool", "OK")), 1)
        self.assertEqual(rise(requests % ("pool", "NOT_FOUND")), 1)
        self.assertEqual(rise(requests % ("ping", "OK")), 0)
        of = '{model="default",table="t"}'
        self.assertEqual(rise("nibble_table_ids_total" + of), 7)
        self.assertEqual(rise("nibble_table_bags_total" + of), 3)
        self.assertEqual(rise("nibble_table_unseen_ids_total" + of), 2)
        self.assertEqual(after["nibble_table_rows" + of], 50)
        self.assertEqual(after["nibble_connections"], 1)
        self.assertEqual(after["nibble_loops"], 2)
        self.assertEqual(after["nibble_ready"], 1)
        self.assertEqual(after["nibble_unsent_bytes"], 0)
        self.assertGreater(rise("nibble_sent_bytes_total"), 3 * 8 * 4)
        self.assertGreater(after["nibble_table_resident_bytes" + of], 0)
        duration = "nibble_request_duration_seconds"
        self.assertEqual(rise(duration + '_count{method="pool"}'), 2)
        self.assertEqual(rise(duration +
                              '_bucket{method="pool",le="+Inf"}'), 2)
        self.assertGreater(rise(duration + '_sum{method="pool"}'), 0)
        buckets = [after[k] for k in after if k.startswith(
            duration + '_bucket{method="pool"')]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(len(buckets), 23)
        busy = [rise('nibble_loop_busy_seconds_total{loop="%d"}' % i)
                for i in range(2)]
        self.assertEqual(sorted(b > 0 for b in busy), [False, True])
        self.assertGreaterEqual(
            rise("nibble_loop_turn_duration_seconds_count"), 3)

    def test_promtool_accepts_them(self):
        nibble_test.need_program(self, "promtool")
        server = self.serve_admin()
        self.connect(server).ping()
        done = subprocess.run(
            ["promtool", "check", "metrics"], text=True,
            input=ask(server, "/metrics")[2], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=nibble_test.DEADLINE_S)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_status_is_that_of_the_wire(self):
        server = self.serve_admin()
        peer = self.connect(server)
        peer.lookup("t", [1, 2])
        status, headers, body = ask(server, "/status")
        self.assertEqual((status, headers["Content-Type"]),
                         (200, "application/json"))
        raw = json.loads(body)
        self.assertEqual(raw["models"][0]["tables"][0]["ids"], 2)
        self.assertNotIn("params", raw)  # a message that is not there
        by_http = json_format.ParseDict(raw, pb.StatusReply())
        by_wire = peer.status()
        self.assertEqual(by_http.models, by_wire.models)
        self.assertEqual(by_http.duration_bounds_ns,
                         by_wire.duration_bounds_ns)
        self.assertEqual(len(by_http.duration_bounds_ns) + 1,
                         len(by_http.turns.counts))
        lookup = by_http.methods[2]
        self.assertEqual((lookup.name, lookup.requests), ("lookup", 1))
        self.assertEqual([(c.code, c.name, c.requests) for c in lookup.codes],
                         [(0, "OK", 1)])
        self.assertEqual(sum(lookup.latency.counts), 1)
        self.assertEqual(by_wire.methods[1].requests, 1)  # itself

    def test_the_page_stands_alone(self):
        server = self.serve_admin()
        status, headers, page = ask(server, "/")
        self.assertEqual((status, headers["Content-Type"]),
                         (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertTrue(page.rstrip().endswith("</html>"))
        self.assertIsNone(re.search(r"(src|href)\s*=\s*[\"']?(http|//)", page))

    def test_other_sites_are_refused(self):
        server = self.serve_admin()
        host = admin_address(server)
        for origin, expected in (("http://evil.example", 403),
                                 ("null", 403),
                                 ("http://" + host, 409)):
            status, _, _ = ask(server, "/reload", "POST", {"Origin": origin})
            self.assertEqual(status, expected, origin)

    def test_draining_is_told(self):
        server = self.serve_admin()
        peer = self.connect(server)
        peer.send(frame(LOOKUP, b"")[:5])  # it waits for the rest
        wait_for(lambda: peer and metrics(server)
                 ["nibble_received_bytes_total"] == 5, "the beginning came")
        server.terminate()
        wait_for(lambda: ask(server, "/readyz")[::2] == (503, "draining\n"),
                 "draining is told")
        self.assertEqual(ask(server, "/healthz")[0], 200)
        self.assertTrue(json.loads(ask(server, "/status")[2])["draining"])
        peer.close()
        server.wait()

    def test_hostile_peers(self):
        server = self.serve_admin()
        host, port = admin_address(server).rsplit(":", 1)
        held = []
        for _ in range(50):  # more than it takes at a time
            peer = socket.create_connection((host, int(port)),
                                            source_address=("127.0.0.2", 0))
            self.addCleanup(peer.close)
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ")
            held.append(peer)
        self.connect(server).lookup("t", [1])
        self.assertEqual(ask(server, "/readyz")[0], 200)  # meanwhile
        for peer in held:
            peer.close()
        for data in (b"\x00" * 4096, b"GET /" + b"a" * 100000 + b" HTTP/1.1",
                     b"POST /reload HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 99999999999999999999\r\n\r\n",
                     b"NBL1\0\0\1\0\0\0\0\0\0\0\0\0"):
            with socket.create_connection((host, int(port))) as peer:
                try:
                    peer.sendall(data)
                except OSError:
                    pass  # it hung up
        wait_for(lambda: ask(server, "/healthz")[0] == 200, "it answers")
        self.connect(server).ping()

    def test_addresses_that_cannot_be(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        for text, status, words in (
                (address, 1, "--admin: cannot listen on %s: " % address),
                ("unix:/x", 2, "--admin: 'unix:/x'"),
                ("nowhere", 2, "'nowhere' is not HOST:PORT or [IPV6]:PORT"),
                ("127.0.0.1:99999", 2, "99999")):
            done = run(nibble_test.NIBBLED, "--table", "t=" + self.table,
                       "--listen", "127.0.0.1:0", "--admin", text,
                       check=False)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(words, done.stderr.splitlines()[-1])


class RepoAdminTest(RepoCase):
    def test_ready_with_the_first_version(self):
        server = self.serve_repo("--admin", "127.0.0.1:0")
        self.assertEqual(ask(server, "/readyz")[::2],
                         (503, "no version of a model is loaded\n"))
        self.publish(0)
        status, _, text = ask(server, "/reload", "POST")
        self.assertEqual(status, 202)
        self.assertIn("/status", text)
        wait_for(lambda: ask(server, "/readyz")[0] == 200, "it is loaded")
        self.assertIn("event=reload-asked by=http reloads=repo", server.log())

    def test_counters_outlive_a_version(self):
        self.publish(0)
        server = self.serve_repo("--admin", "127.0.0.1:0")
        peer = self.connect(server)
        peer.lookup("t", [0, 1, 2])
        self.publish(1)
        ask(server, "/reload", "POST")
        version = 'nibble_model_version{model="m"}'
        wait_for(lambda: metrics(server)[version] == 2, "it is served")
        peer.lookup("t", [0])
        got = metrics(server)
        self.assertEqual(got['nibble_table_ids_total{model="m",table="t"}'], 4)
        self.assertEqual(got['nibble_model_loads_total{model="m"}'], 2)
        self.assertEqual(got['nibble_model_loaded_versions{model="m"}'], 2)
        self.assertEqual(got['nibble_model_reload_success{model="m"}'], 1)
        self.assertGreater(
            got['nibble_model_reload_timestamp_seconds{model="m"}'], 1.6e9)
        reloads = json.loads(ask(server, "/status")[2])["reloads"]
        self.assertEqual([(e["model"], e["reload"]["version"],
                           e["reload"]["result"]) for e in reloads],
                         [("m", 2, "loaded"), ("m", 1, "loaded")])


if __name__ == "__main__":
    nibble_test.main()
