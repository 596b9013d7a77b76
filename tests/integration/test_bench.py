# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""nibble bench against real servers, and against servers that misbehave."""

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import xml.dom.minidom

import nibble_test
from nibble_test import nibble

STATIC_SERVER = os.path.join(nibble_test.BUILD, "tests/bench/static_server")
LOAD = os.path.join(nibble_test.BUILD, "tests/bench/channel_load")
RAW = os.path.join(nibble_test.BUILD, "tests/bench/raw_client")
SMALL = ("--duration", "0.3", "--warm-up", "0.1", "--request-mib", "1")


def made_tables(profile, scale, *options, repo=None):
    repo = repo or nibble_test.scratch_path(".repo")
    nibble("bench", "--make-tables", profile, "--scale", scale, "--repo", repo,
           *options)
    return repo


def bench(*arguments, check=True):
    """The report, as JSON."""
    done = nibble("bench", *arguments, "--json", check=check)
    report = json.loads(done.stdout)
    report["stderr"] = done.stderr
    report["status"] = done.returncode
    return report


class StaticServer:
    def __init__(self, case, *options):
        self.process = subprocess.Popen(
            [STATIC_SERVER, *options], stdout=subprocess.PIPE, text=True)
        case.addCleanup(self.stop)
        self.address = self.process.stdout.readline().strip()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Profiles(nibble_test.TestCase):
    def serve_repo(self, repo):
        return self.serve({}, "--repo", repo).address

    def test_every_profile_is_answered_to_the_bit(self):
        shapes = {
            "rm1": (8, 32, 20480, 32 << 10), "rm2": (32, 64, 122880, 256 << 10),
            "ranking": (26, 64, 4160, 52 << 10),
            "dlrm": (26, 128, 13696, 832 << 10),
            "rows": (1, 64, 512, 128 << 10), "point": (1, 64, 8, 2 << 10)}
        repo = None
        for name in shapes:
            repo = made_tables(name, "0.0005", repo=repo)
        address = self.serve_repo(repo)
        for name, (n_tables, dim, n_ids, reply_bytes) in shapes.items():
            for seconds in (0.3, 3, 30):  # of a machine that is slow
                report = bench("--server", address, "--profile", name,
                               "--model", name, "--verify", "--repo", repo,
                               "--connections", 2, "--duration", seconds,
                               "--warm-up", 0.1, "--request-mib", 1)
                step = report["steps"][0]
                self.assertEqual(step["errors"], {})
                if step["replies"] > 0:
                    break
            self.assertGreater(step["replies"], 0)
            self.assertGreaterEqual(step["verified"], step["replies"])
            self.assertEqual(len(report["tables"]), n_tables)
            self.assertEqual({t["dim"] for t in report["tables"]}, {dim})
            self.assertEqual(report["parameters"]["ids_per_request"], n_ids)
            # At the edges of the time measured a reply may count half.
            self.assertAlmostEqual(
                step["received_bytes_per_s"] / step["achieved_per_s"],
                reply_bytes, delta=reply_bytes * 0.5 + 4096)

    def test_one_of_several_models(self):
        repo = made_tables("point", "0.0001")
        made_tables("point", "0.0001", "--model", "other", repo=repo)
        address = self.serve_repo(repo)
        self.assertEqual(bench("--server", address, "--profile", "point",
                               *SMALL)["model"], "point")
        for which in (("--tables", "t0:1"), ("--profile", "rows")):
            done = nibble("bench", "--server", address, *which, *SMALL,
                          check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("name one with --model: other, point\n",
                          done.stderr)

    def test_other_tables_than_the_server_has(self):
        repo = made_tables("point", "0.0001")
        other = made_tables("point", "0.0001", "--seed", 2)
        address = self.serve_repo(repo)
        report = bench("--server", address, "--profile", "point", "--verify",
                       "--repo", other, *SMALL, check=False)
        self.assertEqual(report["status"], 1)
        step = report["steps"][0]
        self.assertEqual(list(step["errors"]), ["mismatch"])
        self.assertEqual(step["verified"], 0)
        self.assertIn("table 't0': row 0 of the reply differs",
                      step["first_error"])

    def test_packed_rows_and_files(self):
        rows = nibble_test.random_rows(500, 24)
        path = nibble_test.table(rows)
        server = self.serve({"words": path}, loops=2)
        for dtype in ("fp32", "fp16", "bf16", "packed"):
            report = bench("--server", server.address, "--tables", "words:7",
                           "--samples", 3, "--lookup", "--dtype", dtype,
                           "--rate", 2000, "--threads", 2, "--verify",
                           "words=" + path, *SMALL)
            step = report["steps"][0]
            self.assertEqual(step["errors"], {})
            self.assertGreater(step["verified"], 100)
            self.assertEqual(report["parameters"]["ids_per_request"], 21)

    def test_unseen_ids_of_a_trace(self):
        path = nibble_test.table(nibble_test.random_rows(10, 8))
        server = self.serve({"words": path})
        trace = nibble_test.scratch_path(".txt")
        with open(trace, "w") as out:
            out.write("1 2,3\n10 18446744073709551615\n")
        report = bench("--server", server.address, "--tables", "words:5",
                       "--mode", "mean", "--ids", "trace:" + trace, "--verify",
                       "words=" + path, *SMALL)
        step = report["steps"][0]
        self.assertEqual(step["errors"], {})
        self.assertEqual(step["unseen"], 2 * step["verified"])

    def test_same_seed_same_tables(self):
        def checksums(repo):
            done = nibble("inspect", os.path.join(repo, "point/1"), "--json")
            return [t["checksum"] for t in json.loads(done.stdout)["tables"]]

        one = made_tables("point", "0.0001")
        self.assertEqual(checksums(one),
                         checksums(made_tables("point", "0.0001")))
        self.assertNotEqual(
            checksums(one),
            checksums(made_tables("point", "0.0001", "--seed", 2)))
        self.assertEqual(sorted(os.listdir(one)), ["point"])


class Stalls(nibble_test.TestCase):
    """A server that does nothing for 100 ms of each second."""

    def measure(self, *options):
        server = StaticServer(self, "--profile", "point", "--stall-ms", "100")
        report = bench("--server", server.address, "--profile", "point",
                       "--arrivals", "constant", "--rate", 500,
                       "--duration", 2, "--warm-up", 1, "--request-mib", 1,
                       *options)
        return report["steps"][0]

    def test_open_loop_shows_the_stall(self):
        # One request at a time: while the server stalls one is on its way, and
        # the 49 that come due meanwhile wait behind it.
        step = self.measure("--connections", 1, "--depth", 1)
        self.assertEqual(step["errors"], {})
        self.assertEqual(step["requests"], 1000)
        # A tenth of all requests is due while it stalls, evenly over 100 ms.
        latency = step["latency_us"]
        self.assertGreater(latency["p95"], 30000)
        self.assertGreater(latency["p99"], 70000)
        self.assertLess(latency["p50"], 30000)
        # Service time has seen the two or three that were on their way, and
        # hides all that waited.
        service = step["service_us"]
        self.assertGreater(service["max"], 90000)
        self.assertLess(service["p99"], latency["p99"] / 2)
        self.assertGreaterEqual(step["late_held"], 60)
        self.assertGreaterEqual(step["late_sends"], step["late_held"])

    def test_sockets_that_are_full_are_not_the_clients_fault(self):
        # There are slots enough; 256 MB a stall do not fit into a socket. It is
        # most of the time, so that few are late where the client itself had
        # to wait for a processor.
        server = StaticServer(self, "--profile", "point", "--stall-ms", "800")
        for _ in range(4):  # another run where something else held it up
            step = bench("--server", server.address, "--tables", "t0:1000000",
                         "--connections", 1, "--depth", 1024, "--rate", 40,
                         "--arrivals", "constant", "--duration", 1,
                         "--warm-up", "0.1", "--request-mib", 1,
                         check=False)["steps"][0]
            self.assertGreater(step["late_held"], 4)
            if step["late_sends"] - step["late_held"] < step["late_held"]:
                return
        self.fail("%(late_sends)d late, %(late_held)d held" % step)

    def test_latency_is_delay_and_service(self):
        # Every request is sent when due, so that service time shows it too.
        step = self.measure("--connections", 4)
        self.assertGreater(step["latency_us"]["p99"], 70000)
        self.assertGreater(step["service_us"]["p99"], 60000)
        self.assertEqual(step["late_held"], 0)
        total = step["service_us"]["mean"] + step["send_delay_us"]["mean"]
        self.assertAlmostEqual(step["latency_us"]["mean"], total,
                               delta=total * 0.01)


class Loads(nibble_test.TestCase):
    def setUp(self):
        self.path = nibble_test.table(nibble_test.random_rows(100, 8))
        self.server = self.serve({"words": self.path})
        self.arguments = ("--server", self.server.address, "--tables",
                          "words:4")

    def test_a_line_each_second_on_a_terminal(self):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "bench", *self.arguments, "--rate", "200",
             "--duration", "2.2", "--warm-up", "0.1", "--request-mib", "1"],
            stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(master, 4096):
                shown += part
        os.close(master)
        self.assertEqual(process.wait(), 0)
        seconds = re.findall(r"(\d+) s: [\d,]+ of 200 requests/s, "
                             r"[\d.e+-]+ ms on average, 0 errors",
                             shown.decode())
        self.assertEqual(seconds[:2], ["1", "2"], shown)

    def test_ramp_svg_output_compare(self):
        a = nibble_test.scratch_path(".json")
        svg = nibble_test.scratch_path(".svg")
        done = nibble("bench", *self.arguments, "--ramp", "100:400:3",
                      "--output", a, "--svg", svg, *SMALL)
        self.assertIn(" of 200 offered", done.stdout)
        with open(a) as text:
            report = json.load(text)
        rates = [step["offered_per_s"] for step in report["steps"]]
        for rate, right in zip(rates, (100, 200, 400), strict=True):
            self.assertAlmostEqual(rate, right, delta=1e-3)
        drawn = xml.dom.minidom.parse(svg)
        lines = [p for p in drawn.getElementsByTagName("path")
                 if p.getAttribute("class").startswith("line ")]
        self.assertEqual(len(lines), 6)
        texts = [t.firstChild.data for t in drawn.getElementsByTagName("text")]
        self.assertEqual([texts.count(p) for p in ("p50", "p99", "p99.9")],
                         [1, 1, 1])
        b = nibble_test.scratch_path(".json")
        nibble("bench", *self.arguments, "--ramp", "100:400:3", "--seed", 2,
               "--output", b, *SMALL)
        compared = nibble("bench", "--compare", a, b).stdout
        self.assertIn("differs     seed: 1 and 2", compared)
        self.assertEqual(compared.count("latency p99.9"), 3)
        self.assertEqual(compared.count("  offered "), 3)
        self.assertEqual(compared.count("  not sent "), 3)
        self.assertEqual(report["parameters"]["ramp"], "100:400:3")
        both = json.loads(nibble("bench", "--compare", a, b, "--json").stdout)
        self.assertEqual(
            both["steps"][2]["rate"]["a"],
            float("%.9g" % report["steps"][2]["achieved_per_s"]))

    def test_compare_of_what_is_no_report(self):
        path = nibble_test.scratch_path(".json")
        for text in ("", "[]", "{}", '{"report": "nibble bench"}',
                     '{"report": 7, "steps": []}'):
            with open(path, "w") as out:
                out.write(text)
            done = nibble("bench", "--compare", path, path, check=False)
            self.assertEqual(done.returncode, 1, text)
            self.assertIn(path, done.stderr)
        # What puts figures in doubt is shown.
        with open(path, "w") as out:
            json.dump({"report": "nibble bench", "model": "m",
                       "ended_early": True, "parameters": {"rate": "5"},
                       "steps": [{"errors": {"timeout": 3}, "late_sends": 2,
                                  "warning": "a client that is busy"}]}, out)
        calm = nibble_test.scratch_path(".json")
        with open(calm, "w") as out:
            json.dump({"report": "nibble bench", "model": "n",
                       "ended_early": False, "parameters": {"rate": "6"},
                       "steps": [{"errors": {}, "warning": None}]}, out)
        told = nibble("bench", "--compare", path, calm).stdout
        for line in ('errors of A   {"timeout":3}',
                     "warning of A  a client that is busy", "late sends",
                     'model: "m" and "n"', "ended_early: true and false",
                     'rate: "5" and "6"'):
            self.assertIn(line, told)
        self.assertNotIn(" of B ", told)
        step = json.loads(nibble("bench", "--compare", path, calm,
                                 "--json").stdout)["steps"][0]
        self.assertEqual(step["errors"], {"a": {"timeout": 3}, "b": {}})
        # What is missing, or of another type, is not a number.
        with open(path, "w") as out:
            out.write('{"report": "nibble bench", "steps": [7, {"latency_us": '
                      '[]}], "parameters": 3, "machine": {"a": {"b": 1}}}')
        self.assertRegex(nibble("bench", "--compare", path, path).stdout,
                         r"latency p50 +- +- +us")
        other = nibble_test.scratch_path(".json")
        with open(other, "w") as out:
            out.write('{"report": "nibble bench", "steps": [{}]}')
        self.assertIn("steps: 2 and 1",
                      nibble("bench", "--compare", path, other).stdout)

    def test_traces_of_no_ids(self):
        path = nibble_test.scratch_path(".txt")
        for data, says in ((b"", "no ids"), (b" \n\t", "no ids"),
                           (b"1 2 x", "item 3, 'x'"),
                           (b"18446744073709551616", "below 2^64"),
                           (b"-1", "item 1"), (b"1,,2", "item 2, ''"),
                           (b"1\x002", "item 1"), (b"\x7fELF\x02", "?ELF?")):
            with open(path, "wb") as out:
                out.write(data)
            done = nibble("bench", *self.arguments, "--ids", "trace:" + path,
                          *SMALL, check=False)
            self.assertEqual(done.returncode, 1, data)
            self.assertIn(path, done.stderr)
            self.assertIn(says, done.stderr)
        for rate in ("nan", "inf", "1e3", "", " 5", "0", "99999999999999999999"):
            done = nibble("bench", *self.arguments, "--rate", rate, check=False)
            self.assertEqual(done.returncode, 2, rate)
            self.assertIn("--rate", done.stderr)

    def test_search_for_a_rate(self):
        # Whatever the time allowed, a rate is held only if it is carried.
        report = bench(*self.arguments, "--slo", "p50=50s", "--rate", 20000,
                       "--duration", "0.05", "--warm-up", 0,
                       "--request-mib", 1)
        steps = report["steps"]
        self.assertFalse(all(step["meets_slo"] for step in steps))
        self.assertTrue(all("meets_slo" in step for step in steps))
        held = [s["offered_per_s"] for s in steps if s["meets_slo"]]
        self.assertEqual(report["highest_per_s"], max(held))
        never = bench(*self.arguments, "--slo", "p99=0.001us", "--rate", 900,
                      "--duration", "0.3", "--warm-up", 0, check=False)
        self.assertEqual(never["status"], 1)
        self.assertIsNone(never["highest_per_s"])
        # Of 0.3 s at less than 333/s, none of the requests is beyond p99.
        self.assertEqual([s["offered_per_s"] for s in never["steps"]],
                         [900, 450])
        self.assertIn("holds at no rate", never["stderr"])

    def test_a_client_that_is_the_limit(self):
        """It shares a processor with another that never rests."""
        server = StaticServer(self, "--profile", "point")
        core = min(os.sched_getaffinity(0))

        def pin():
            os.sched_setaffinity(0, {core})

        rival = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                 preexec_fn=pin)
        self.addCleanup(rival.wait)
        self.addCleanup(rival.kill)
        load = ("bench", "--server", server.address, "--profile", "point",
                "--depth", 64, "--warm-up", "0.1", "--request-mib", 1,
                "--duration", "0.5")
        told = nibble_test.run("taskset", "-c", core, nibble_test.NIBBLE, *load)
        self.assertIn("  warning     the client waited for a core", told.stdout)
        # The server would hold more: the search does not say otherwise.
        load += ("--slo", "p50=10s", "--rate", 200000)
        told = nibble_test.run("taskset", "-c", core, nibble_test.NIBBLE, *load,
                               "--json", check=False)
        report = json.loads(told.stdout)
        self.assertTrue(report["limited_by_client"], told.stdout)
        for step in report["steps"]:
            self.assertNotEqual(step["meets_slo"], step["limited_by_client"])
            if step["limited_by_client"]:
                self.assertIn("client", step["warning"])

    def test_errors_are_told_by_code(self):
        tight = self.serve({"words": self.path}, "--max-ids", 3)
        report = bench("--server", tight.address, "--tables", "words:4",
                       *SMALL, check=False)
        step = report["steps"][0]
        self.assertEqual(report["status"], 1)
        self.assertEqual(step["replies"], 0)
        self.assertEqual(list(step["errors"]), ["RESOURCE_EXHAUSTED"])
        self.assertIn("RESOURCE_EXHAUSTED", step["first_error"])

    def test_a_server_that_ends(self):
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "bench", *self.arguments, "--duration", "2",
             "--rate", "500", "--warm-up", "0", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        peer = self.connect(self.server)
        nibble_test.wait_for(lambda: any(
            m.name == "pool" and m.requests > 20
            for m in peer.status().methods), "the load has begun")
        self.server.terminate()
        self.server.wait()
        out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
        step = json.loads(out)["steps"][0]
        self.assertEqual(process.returncode, 1, err)
        self.assertIn("connection", step["errors"])
        self.assertGreater(step["replies"], 0)

    def test_a_run_outlives_its_server(self):
        for options in ((), ("--rate", "500")):
            server = nibble_test.Server({"words": self.path})
            self.addCleanup(server.process.wait)
            self.addCleanup(server.process.kill)
            process = subprocess.Popen(
                [nibble_test.NIBBLE, "bench", "--server", server.address,
                 "--tables", "words:4", "--duration", "1.5", "--warm-up", "0",
                 "--request-mib", "1", "--json", *options],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(process.kill)
            with contextlib.closing(server.connect()) as peer:
                nibble_test.wait_for(lambda: any(
                    m.name == "pool" and m.requests > 0
                    for m in peer.status().methods), "the load has begun")
            server.process.kill()
            server.process.wait()
            out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
            report = json.loads(out)
            self.assertEqual(process.returncode, 1, err)
            self.assertEqual(list(report["steps"][0]["errors"]),
                             ["connection"])
            self.assertFalse(report["ended_early"])
            self.assertRegex(err, r"\d errors?$")

    def interrupted(self, *options):
        """The report, standard error; after SIGINT under load."""
        server = self.serve({"words": self.path})
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "bench", "--server", server.address,
             "--tables", "words:4", "--duration", "3600", "--warm-up", "0",
             "--request-mib", "1", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        with contextlib.closing(server.connect()) as peer:
            nibble_test.wait_for(lambda: any(
                m.name == "pool" and m.requests > 20
                for m in peer.status().methods), "the load has begun")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn("ended early by a signal", err)
        return out

    def test_a_signal_ends_it_with_a_report(self):
        self.assertIn("latency", self.interrupted())
        for options in (("--rate", "500"), ("--ramp", "500:1000:3")):
            report = json.loads(self.interrupted("--json", *options))
            self.assertTrue(report["ended_early"])
            self.assertEqual(len(report["steps"]), 1)
            self.assertGreater(report["steps"][0]["replies"], 20)

    def test_a_search_that_is_ended_has_found_nothing(self):
        search = ("--slo", "p99=50s", "--rate", "500")
        report = json.loads(self.interrupted("--json", *search))
        self.assertIsNone(report["highest_per_s"])
        self.assertFalse(report["steps"][0]["meets_slo"])
        self.assertIn("ended before it held", self.interrupted(*search))

    def test_every_parameter_is_in_the_report(self):
        given = {"samples": 2, "mode": "max", "dtype": "fp16", "model": None,
                 "ids": "hot:0.1:0.9", "seed": 7, "request-mib": 2,
                 "rate": "300", "arrivals": "constant", "connections": 3,
                 "depth": 5, "threads": 2, "duration": "0.2", "warm-up": "0.1",
                 "timeout-ms": 9000,
                 "output": nibble_test.scratch_path(".json")}
        report = bench(*self.arguments, "--verify", "words=" + self.path,
                       *(o for name, value in given.items() if value is not None
                         for o in ("--" + name, value)))
        told = nibble("bench", *self.arguments, "--verify",
                      "words=" + self.path, "--seed", 7, *SMALL).stdout
        self.assertIn(
            "given       words=%s --tables words:4 --seed 7 --request-mib 1 "
            "--duration 0.3 --warm-up 0.1 --verify --server %s\n" % (
                self.path, self.server.address), told)
        # What a shell would read otherwise, and more than a line.
        odd = nibble_test.scratch_path(" it's $HOME " + 30 * "long " + ".json")
        told = nibble("bench", *self.arguments, "--output", odd, *SMALL).stdout
        asked = shlex.split(told.partition("\n")[0])
        self.assertEqual(asked[asked.index("--output") + 1], odd)
        options = report["options"]
        for name, value in given.items():
            self.assertEqual(options[name], value, name)
        self.assertEqual(options["server"], self.server.address)
        self.assertEqual(options["files"], ["words=" + self.path])
        self.assertEqual((options["verify"], options["lookup"]), (True, False))
        names = set(re.findall(r"^  --([a-z-]+)", nibble("bench",
                                                         "--help").stdout,
                               re.MULTILINE))
        self.assertGreater(len(names), 25)
        # What is done instead of a load has no report.
        self.assertEqual(names - set(options) - {"help"},
                         {"compare", "make-tables", "scale", "codec"})

    def test_wrong_usage(self):
        for arguments, says in (
                ((), "one of --profile and --tables"),
                (("--profile", "x"), "--profile"),
                (("--tables", "a:1", "--rate", "-1"), "--rate"),
                (("--tables", "a:1", "--ramp", "1:2"), "--ramp"),
                (("--tables", "a:1", "--ramp", "5:2:3"), "--ramp"),
                (("--tables", "a:1", "--server", "nowhere"), "--server: "),
                (("--tables", "a:1", "--slo", "p99"), "--slo"),
                (("--tables", "a:1", "--slo", "p99=1s", "--rate", "0.5"),
                 "--rate of at least 10, or a longer --duration"),
                (("--tables", "a:1", "--slo", "p50=1s", "--rate", "0.5"),
                 "--rate of at least 1, or a longer --duration"),
                (("--tables", "a:1", "--slo", "p101=1s"), "--slo"),
                (("--tables", "a:1", "--slo", "p99=1h"), "--slo"),
                (("--tables", "a:1", "--ids", "all"), "--ids"),
                (("--tables", "a:1", "--verify"), "--verify needs"),
                (("--tables", "words"), "--tables: 'words' is not NAME:IDS"),
                (("--tables", "a:0"), "--tables: 'a:0' is not NAME:IDS"),
                (("--tables", "words:1,"), "is not NAME:IDS"),
                (("--tables", "words:99999999999"), "is not NAME:IDS"),
                (("--tables", "a:1", "a=b"), "files are for --verify"),
                (("--tables", "a:1", "--threads", 17), "--threads"),
                (("--tables", "a:1", "--dtype", "packed"), "--lookup"),
                (("--tables", "a:1", "--during", "reload"), "needs --repo"),
                (("--tables", "a:1", "--scale", "2"),
                 "--scale goes with --make-tables"),
                (("--tables", "a:1", "--codec", "q8"),
                 "--codec goes with --make-tables"),
                (("--tables", "a:1", "--every", "1"),
                 "--every goes with --during"),
                (("--tables", "a:1", "--rate", "1000", "--ramp", "1:9:3"),
                 "--rate does not go with --ramp"),
                (("--tables", "a:1", "--lookup", "--mode", "sum"),
                 "--mode does not go with --lookup"),
                (("--compare", "a"), "two reports"),
                (("--make-tables", "rm1", "--repo", "r", "--codec",
                  "q4-shared"), "--codec: no 'q4-shared', there is q4"),
                (("--make-tables", "rm1"), "needs --repo")):
            done = nibble("bench", *arguments, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(says, done.stderr)

    def test_a_server_closes_what_it_owes_nothing(self):
        repo = made_tables("point", "0.0001")
        server = self.serve({}, "--repo", repo, "--idle-timeout", "0.3")
        report = bench("--server", server.address, "--profile", "point",
                       "--arrivals", "constant", "--rate", "0.5",
                       "--duration", "2.5", "--warm-up", "0",
                       "--request-mib", "1")
        step, = report["steps"]
        self.assertEqual(step["errors"], {})
        self.assertGreater(step["requests"], 0)
        self.assertGreater(step["reconnects"], 0)

    def test_what_cannot_be_asked(self):
        for arguments, says in (
                (("--tables", "other:1"), "no table 'other'"),
                (("--tables", "words:134217728", "--samples", 2), "ids"),
                (("--tables", "words:1", "--model", "m"), "no model 'm'"),
                (("--profile", "point"), "no table 't0'"),
                (("--tables", "words:1", "--ids", "trace:/dev/null"),
                 "no ids"),
                (("--tables", "words:1", "--duration", 3600, "--output",
                  "/nodir/x.json"), "/nodir/x.json"),
                (("--tables", "words:1", "--duration", 3600, "--svg",
                  "/nodir/x.svg"), "/nodir/x.svg"),
                (("--tables", "words:1", "--duration", 3600, "--svg", "/tmp"),
                 "/tmp"),
                (("--tables", "words:1", "--verify", "words=/dev/null"),
                 "/dev/null")):
            done = nibble("bench", "--server", self.server.address, *arguments,
                          check=False)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(says, done.stderr)


class Publishing(nibble_test.TestCase):
    def test_a_signal_leaves_no_tables(self):
        repo = nibble_test.scratch_path(".repo")
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "bench", "--make-tables", "rm2", "--repo",
             repo], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        nibble_test.wait_for(
            lambda: os.path.isdir(repo) and
            any(name.startswith(".bench-") for name in os.listdir(repo)),
            "tables are being made")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=nibble_test.DEADLINE_S)
        self.assertEqual(process.returncode, 1, error)
        self.assertIn("ended early by a signal", error)
        self.assertEqual([name for name in os.listdir(repo)
                          if name.startswith(".bench-")], [])

    def served(self, address, model):
        with contextlib.closing(nibble_test.Connection(address)) as peer:
            return {m.name: m.version for m in peer.status().models}[model]

    def test_versions_are_published_meanwhile(self):
        repo = made_tables("point", "0.0001")
        address = self.serve({}, "--repo", repo).address
        arguments = ("--server", address, "--profile", "point", "--verify",
                     "--repo", repo, "--during", "reload", "--every", "0.05",
                     "--rate", 200, "--duration", "0.6", "--request-mib", 1)
        report = bench(*arguments)
        self.assertEqual(report["steps"][0]["errors"], {})
        self.assertGreater(report["published"], 1)
        self.assertGreater(report["steps"][0]["version_most"], 1)
        # All is as it was.
        self.assertEqual(report["served_after"], 1)
        self.assertEqual(self.served(address, "point"), 1)
        self.assertEqual(versions_of(repo, "point"), [1])
        with contextlib.closing(nibble_test.Connection(address)) as peer:
            self.assertEqual([m.reload.failures for m in peer.status().models], [0])
        told = nibble("bench", *arguments).stdout
        self.assertRegex(told, r"\n\d+ versions published meanwhile, the last "
                         r"was \d+; deleted again, version 1 is served\n$")

    def test_a_repository_that_is_not_served(self):
        repo = made_tables("point", "0.0001")
        address = self.serve({}, "--repo", repo).address
        other = made_tables("point", "0.0001")
        done = nibble("bench", "--server", address, "--profile", "point",
                      "--repo", other, "--during", "reload", *SMALL,
                      check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("the server does not serve what was published to " +
                      other + ": version 2", done.stderr)
        self.assertEqual(versions_of(other, "point"), [1])
        self.assertEqual(os.listdir(other), ["point"])

    def test_codecs_that_are_trained_are_refused_before_the_load(self):
        repo = nibble_test.scratch_path(".repo")
        os.mkdir(repo)
        nibble("publish", "--repo", repo, "--model", "m",
               "a=" + nibble_test.table(nibble_test.random_rows(300, 8),
                                        "--codec", "q4-trellis"))
        address = self.serve({}, "--repo", repo).address
        done = nibble("bench", "--server", address, "--tables", "a:1",
                      "--repo", repo, "--during", "reload", "--duration",
                      "3600", "--request-mib", 1, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("table 'a': no tables are made of codec q4-trellis",
                      done.stderr)
        self.assertEqual(versions_of(repo, "m"), [1])

    def test_versions_that_are_not_named_any_more_are_closed(self):
        repo = made_tables("point", "0.0001")
        model = os.path.join(repo, "point")
        address = self.serve({}, "--repo", repo).address
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "bench", "--server", address, "--profile",
             "point", "--verify", "--repo", repo, "--during", "reload",
             "--every", "0.02", "--rate", "500", "--duration", "3600",
             "--request-mib", "1", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        nibble_test.wait_for(
            lambda: any(v.isdigit() and int(v) > 40 for v in os.listdir(model)),
            "versions are published")
        with open("/proc/%d/maps" % process.pid) as maps:
            mapped = set(re.findall(r"/point/([^/]+)/", maps.read()))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
        report = json.loads(out)
        self.assertEqual(report["steps"][0]["errors"], {}, err)
        self.assertGreater(report["steps"][0]["version_most"], 20)
        self.assertGreater(len(mapped), 0)
        self.assertLess(len(mapped), 20, mapped)

    def test_versions_that_cannot_be_checked_are_no_mismatch(self):
        repo = made_tables("point", "0.0001")
        other = made_tables("point", "0.0001")
        address = self.serve({}, "--repo", repo).address
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "bench", "--server", address, "--profile",
             "point", "--verify", "--repo", other, "--rate", "200",
             "--duration", "3600", "--request-mib", "1", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        with contextlib.closing(nibble_test.Connection(address)) as peer:
            nibble_test.wait_for(lambda: requests_of(peer) > 20,
                                 "the load has begun")
            made_tables("point", "0.0001", repo=repo)
            nibble_test.wait_for(
                lambda: peer.status().models[0].version == 2, "a reload")
            before = requests_of(peer)
            nibble_test.wait_for(lambda: requests_of(peer) > before + 20,
                                 "more requests")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
        step = json.loads(out)["steps"][0]
        self.assertEqual(list(step["errors"]), ["cannot check"], err)
        self.assertGreater(step["verified"], 0)
        self.assertIn("version 2", step["first_error"])
        # One that is not there to begin with is told before the load.
        done = nibble("bench", "--server", address, "--profile", "point",
                      "--verify", "--repo", other, *SMALL, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("point/2", done.stderr)

    def test_versions_of_others_stay_and_codecs_too(self):
        repo = nibble_test.scratch_path(".repo")
        os.mkdir(repo)
        codecs = {"a": "q4", "b": "q8", "c": "q4"}
        files = [f"{name}=" + nibble_test.table(
            nibble_test.random_rows(50, 8), "--codec", codec)
            for name, codec in codecs.items()]
        for _ in range(6):
            nibble("publish", "--repo", repo, "--model", "m", *files)
        address = self.serve({}, "--repo", repo).address
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "bench", "--server", address, "--tables",
             "a:1", "--repo", repo, "--during", "reload", "--every", "0.05",
             "--rate", "50", "--duration", "3600", "--request-mib", "1",
             "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)

        def last_four():
            """True: while it runs there are these, or one of them more."""
            versions = versions_of(repo, "m")
            return (versions[:6] == [*range(1, 7)] and versions[-1] > 12 and
                    versions[6:] == [*range(versions[-1] - 3,
                                            versions[-1] + 1)])

        nibble_test.wait_for(last_four, "the last four are there")

        def codecs_of_last():
            try:
                path = os.path.join(repo, "m", str(versions_of(repo, "m")[-1]),
                                    "manifest.json")
                with open(path) as text:
                    return {t["name"]: t["codec"]
                            for t in json.load(text)["tables"]}
            except FileNotFoundError:  # deleted meanwhile
                return None

        nibble_test.wait_for(lambda: codecs_of_last() == codecs,
                             "tables of the same codecs")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=nibble_test.DEADLINE_S)
        report = json.loads(out)
        self.assertGreater(report["published"], 6, err)
        self.assertEqual(report["served_after"], 6)
        self.assertEqual(self.served(address, "m"), 6)
        self.assertEqual(versions_of(repo, "m"), [*range(1, 7)])


def versions_of(repo, model):
    return sorted(int(v) for v in os.listdir(os.path.join(repo, model))
                  if v.isdigit())


def requests_of(peer):
    """Lookups that a server has answered."""
    return sum(method.requests for method in peer.status().methods
               if method.name == "lookup")


class LeastClient(nibble_test.TestCase):
    def test_it_asks(self):
        for profile, dtype in (("point", "fp32"), ("ranking", "fp32"),
                               ("rows", "packed")):
            server = StaticServer(self, "--profile", profile, "--dtype", dtype)
            for depth in (1, 64):
                told = nibble_test.run(
                    RAW, "--server", server.address, "--profile", profile,
                    "--dtype", dtype, "--connections", 2, "--depth", depth,
                    "--ms", 50).stdout
                self.assertRegex(told, r"^[1-9]\d* requests/s$")


class Channels(nibble_test.TestCase):
    def test_calls_as_fast_as_they_are_answered(self):
        for profile in ("point", "ranking"):
            server = StaticServer(self, "--profile", profile)
            told = nibble_test.run(LOAD, "--server", server.address,
                                   "--profile", profile, "--ms", 100).stdout
            self.assertRegex(told, r"%s, 64 deep over 4 connections: [1-9]" %
                             profile)

    def test_no_call_fails_while_a_server_is_killed_and_restarted(self):
        repo = made_tables("point", "0.0005")
        address = "unix:" + nibble_test.scratch_path(".sock")

        def start():
            server = nibble_test.Server({}, "--repo", repo, listen=(address,))
            self.addCleanup(server.process.wait)
            self.addCleanup(server.process.kill)
            return server

        server = start()
        load = subprocess.Popen(
            [LOAD, "--server", address, "--profile", "point", "--rows", "5000",
             "--ms", "2500"], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.addCleanup(load.communicate)
        self.addCleanup(load.kill)
        for _ in range(3):
            with contextlib.closing(server.connect()) as peer:
                nibble_test.wait_for(lambda: requests_of(peer) > 1000 or
                                     load.poll() is not None,
                                     "calls are answered")
            server.process.kill()
            server.process.wait()
            server = start()
        told, errors = load.communicate(timeout=nibble_test.DEADLINE_S)
        self.assertEqual((load.returncode, errors), (0, ""), told)
        self.assertRegex(told, r": [1-9]")


if __name__ == "__main__":
    nibble_test.main()
