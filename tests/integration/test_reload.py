# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What a server does while its repository changes."""

import json
import os
import re
import resource
import shutil
import signal

import nibble_test
from nibble_test import (LOOKUP, NOT_FOUND, UNAVAILABLE, frame, nibble,
                         scratch_path, wait_for)
from proto import nibble_pb2 as pb
from repo_case import RepoCase, damage


def memory_bounds():
    """Bytes that the machine has, and that control groups (v2) allow."""
    with open("/proc/meminfo") as file:
        yield int(re.search(r"MemTotal: *(\d+) kB", file.read()).group(1)) << 10
    with open("/proc/self/cgroup") as file:
        group = re.search(r"^0::/(.*)$", file.read(), re.M)
    names = group.group(1).split("/") if group else []
    for n in range(len(names) + 1):
        for limit in ("memory.max", "memory.high"):
            path = os.path.join("/sys/fs/cgroup", *names[:n], limit)
            if os.path.exists(path):
                with open(path) as file:
                    text = file.read().strip()
                yield int(text) if text != "max" else 1 << 64


class ReloadTest(RepoCase):
    def start(self, *options, **named):
        """A server that looks at the repository when told of a change, and
        when told to, but not by itself."""
        self.server = self.serve_repo("--reload-poll", 0, *options, **named)
        self.peer = self.connect(self.server)
        return self.server

    def model(self, name="m"):
        models = [m for m in self.peer.status().models if m.name == name]
        return models[0] if models else pb.ModelStatus()

    def await_version(self, version, name="m"):
        wait_for(lambda: self.model(name).version == version,
                 "version %d is served" % version)
        return self.model(name)

    def await_failure(self, n=1, name="m"):
        wait_for(lambda: self.model(name).reload.failures >= n,
                 "a version fails")
        return self.model(name)

    def ask(self, version=0, model=""):
        request = pb.LookupRequest(version=version, model=model)
        request.features.add(table="t", ids=range(40))
        return self.peer.call(LOOKUP, request)

    def answers(self, version, i, model=""):
        """A request for that version is answered with the rows of table i."""
        got = self.ask(version, model).blocks()
        self.assertEqual((got.version, got.blocks[0].values),
                         (version, self.rows[i][:40].tobytes()))

    # ---- versions ---------------------------------------------------------

    def test_versions_come(self):
        self.publish(0)
        self.start(loops=2)
        for i in range(1, 4):
            self.publish(i)
            model = self.await_version(i + 1)
            self.expect(self.server, i + 1, i)
            self.answers(i, i - 1)
            self.assertEqual(list(model.loaded), [i + 1, i])
            self.assertEqual(model.tables[0].rows, 40 + i)
            report = model.reload
            self.assertEqual((report.result, report.version, report.reason,
                              report.loads, report.failures),
                             ("loaded", i + 1, "", i + 1, 0))
        self.assert_error(self.ask(2), NOT_FOUND,
                          "version: 2 is not loaded, 4 is served")
        wait_for(lambda: "event=reload model=m version=4 result=loaded "
                 "choice=latest" in self.server.log(), "that is logged")

    def test_as_many_are_kept_as_asked_for(self):
        for kept, loaded in ((1, [3]), (3, [3, 2, 1])):
            self.repo = scratch_path(".repo")
            os.mkdir(self.repo)
            self.publish(0)
            self.start("--keep-loaded", kept)
            for i in (1, 2):
                self.publish(i)
                model = self.await_version(i + 1)
            self.assertEqual(list(model.loaded), loaded)

    def test_memory_bounds_what_is_kept(self):
        self.publish(0)
        self.start("--keep-memory", 1)
        self.publish(1)
        self.assertEqual(list(self.await_version(2).loaded), [2])
        self.assert_error(self.ask(1), NOT_FOUND, "version: 1 is not loaded")

    def test_memory_is_bounded_by_the_machine(self):
        """And by the control groups; an option says otherwise."""
        self.publish(0)
        bound = min(memory_bounds())
        for options, least, most in (((), 1, bound),
                                     (("--keep-memory", "3"), 3, 3)):
            self.start(*options)
            bytes_kept = int(re.search(r"event=keep-memory bytes=(\d+)\n",
                                       self.server.log()).group(1))
            self.assertLessEqual(least, bytes_kept)
            self.assertLessEqual(bytes_kept, most)

    def test_pipelined_requests_for_two_versions(self):
        self.publish(0)
        self.start()
        self.publish(1)
        self.await_version(2)
        asked = [1 + i % 2 for i in range(64)]
        requests = []
        for version in asked:
            request = pb.LookupRequest(version=version)
            request.features.add(table="t", ids=range(40))
            requests.append(frame(LOOKUP, request))
        self.peer.send(b"".join(requests))
        for version in asked:
            got = self.peer.receive().blocks()
            self.assertEqual(
                (got.version, got.blocks[0].values),
                (version, self.rows[version - 1][:40].tobytes()))

    def test_rollback_is_a_pin(self):
        for i in range(2):
            self.publish(i)
        self.start()
        self.assertEqual(self.await_version(2).choice, "latest")
        self.publish(2)
        self.await_version(3)
        self.pin("--version", "1")  # is not loaded any more
        model = self.await_version(1)
        self.assertEqual((model.choice, list(model.loaded)),
                         ("pinned", [1, 3]))
        self.assertEqual((model.reload.result, model.reload.loads),
                         ("loaded", 3))
        self.pin("--version", "3")
        model = self.await_version(3)
        self.assertEqual((model.reload.result, model.reload.loads),
                         ("switched", 3))
        self.answers(1, 0)
        self.expect(self.server, 3, 2)
        self.pin("--latest")
        wait_for(lambda: self.model().choice == "latest", "the pin is gone")
        self.pin("--version", "1")
        self.await_version(1)
        self.pin("--latest")
        self.assertEqual(self.await_version(3).choice, "latest")

    def test_another_under_the_same_number(self):
        self.publish(0)
        self.start()
        self.publish(1, "--version", "7")
        self.await_version(7)
        shutil.rmtree(self.path(7))
        self.await_version(1)
        self.publish(2, "--version", "7")
        self.await_version(7)
        self.expect(self.server, 7, 2)
        # Also with nothing in between.
        self.publish(3, "--version", "8")
        self.await_version(8)
        os.rename(self.path(7), self.path(".seven"))
        os.rename(self.path(8), self.path(7))
        wait_for(lambda: self.serving(self.server)[1] ==
                 self.rows[3][:40].tobytes() and self.model().version == 7,
                 "what was version 8 is served as 7")

    def test_unseen_ids_are_counted_over_versions(self):
        self.publish(0)
        self.start()
        request = pb.LookupRequest()
        request.features.add(table="t", ids=[0, 1000, 2000])
        self.assertEqual(self.peer.call(LOOKUP, request).blocks()
                         .blocks[0].unseen, 2)
        self.assertEqual(self.model().tables[0].unseen, 2)
        self.publish(1)
        self.assertEqual(self.await_version(2).tables[0].unseen, 2)
        self.peer.call(LOOKUP, request)
        self.assertEqual(self.model().tables[0].unseen, 4)

    # ---- models -----------------------------------------------------------

    def test_models_come_and_go(self):
        self.start(loops=2)
        self.assert_error(self.ask(), NOT_FOUND, "nothing is served yet")
        self.publish(0, model="one")
        self.await_version(1, "one")
        self.answers(1, 0)  # the only one needs no name
        self.publish(1, model="two")
        self.await_version(1, "two")
        self.answers(1, 1, "two")
        self.assert_error(self.ask(), NOT_FOUND, "more than one: one, two")
        shutil.rmtree(os.path.join(self.repo, "one"))
        wait_for(lambda: not self.model("one").version, "one is retired")
        self.assert_error(self.ask(model="one"), NOT_FOUND, "no model 'one'")
        self.answers(1, 1)
        self.assertIn("event=retire-model model=one", self.server.log())
        self.publish(2, model="one")
        self.await_version(1, "one")
        self.answers(1, 2, "one")

    def test_a_model_without_a_version_is_not_served(self):
        self.publish(0, model="good")
        self.start()
        self.publish(1, model="bad")
        self.await_version(1, "bad")
        os.rename(os.path.join(self.repo, "bad"), scratch_path(".bad"))
        wait_for(lambda: not self.model("bad").version, "bad is retired")
        os.makedirs(self.path(1, model="bad"))
        self.await_failure(name="bad")
        self.assert_error(self.ask(model="bad"), UNAVAILABLE,
                          "no version of 'bad' is loaded", "1/manifest.json")
        self.answers(1, 0)  # still the only one served
        self.publish(2, model="bad")
        self.await_version(2, "bad")
        self.answers(2, 2, "bad")

    def test_a_model_of_many_tables(self):
        """A status of it takes more memory than there was one to be for."""
        self.start("--max-frame-bytes", 64, "--max-features", 1)
        self.publish(0)
        self.await_version(1)
        # Version 2 has the table 900 times, which is faster than publishing.
        names = ["t%03d" % i for i in range(900)]
        shutil.copytree(self.path(1), self.path(".two"))
        manifest = self.path(".two", "manifest.json")
        with open(manifest) as file:
            content = json.load(file)
        content["tables"] = [dict(content["tables"][0], name=name,
                                  file=name + ".nbt") for name in names]
        for name in names:
            os.link(self.path(".two", "t.nbt"),
                    self.path(".two", name + ".nbt"))
        os.chmod(manifest, 0o600)
        with open(manifest, "w") as file:
            json.dump(content, file)
        os.rename(self.path(".two"), self.path(2))
        self.assertEqual([t.name for t in self.await_version(2).tables], names)

    def test_only_the_models_that_are_named(self):
        self.publish(0, model="one")
        self.start("--model", "one")
        self.publish(1, model="two")
        self.publish(1, model="one")
        self.await_version(2, "one")
        self.assertEqual(self.model("two").name, "")
        # It was to be served: it is, while it is there to be mapped.
        # At once: half removed, it is said to have no version.
        os.rename(os.path.join(self.repo, "one"), nibble_test.scratch_path())
        self.assertIn("No such file", self.await_failure(name="one")
                      .reload.reason)
        self.answers(2, 1)

    # ---- orders -----------------------------------------------------------

    def test_sighup_tries_again(self):
        self.publish(0)
        self.start()
        self.pin("--version", "1")
        self.await_version(1)
        self.publish(1)
        damage(self.path(2, "t.nbt"), 4096)
        self.pin("--latest")
        # Not told of by the watch: the file of a table is only mended.
        before = self.await_failure().reload.failures
        damage(self.path(2, "t.nbt"), 4096)
        self.server.terminate(signal.SIGHUP)
        self.await_version(2)
        self.assertEqual(self.model().reload.failures, before)
        self.assertIn("event=reload-asked signal=SIGHUP reloads=repo",
                      self.server.log())

    def test_sighup_without_a_repository(self):
        server = self.serve({"t": self.tables[0]})
        peer = self.connect(server)
        server.terminate(signal.SIGHUP)
        wait_for(lambda: "event=reload-asked signal=SIGHUP reloads=nothing"
                 in server.log(), "SIGHUP is seen")
        peer.ping()

    def test_the_end_does_not_wait_for_a_load(self):
        self.publish(0)
        big = nibble_test.table(nibble_test.random_rows(30000, 16))
        self.start("--reload-rate", 1)
        nibble("publish", "--repo", self.repo, "--model", "m", "t=" + big)
        self.answers(1, 0)
        self.server.stop()
        self.assertNotIn("version=2 result=loaded", self.server.log())

    # ---- what is shown ----------------------------------------------------

    def shown(self, *options):
        return nibble("status", "--server", self.server.address,
                      *options).stdout

    def test_status_tells(self):
        self.publish(0)
        self.start()
        self.publish(1)
        self.await_version(2)
        os.makedirs(self.path(3))
        self.await_failure()
        text = self.shown()
        self.assertIn("model m, version 2, 1 table (latest)", text)
        self.assertIn("  loaded      2, 1\n", text)
        self.assertRegex(text, r"  last reload failed, version 3, 20\d\d-"
                               r"\d\d-\d\d \d\d:\d\d:\d\d UTC, took .*; 2 "
                               r"loads since the start, 1 failure\n")
        self.assertRegex(text, r"  reason      .*3/manifest.json: No such")
        self.assertRegex(text, r"  t +41 x 16 .* map ")
        model, = json.loads(self.shown("--json"))["models"]
        self.assertEqual(model["loaded"], [2, 1])
        self.assertEqual(model["tables"][0]["residency"], "map")
        report = model["reload"]
        self.assertIn("3/manifest.json: No such", report.pop("reason"))
        self.assertGreater(report.pop("at_unix_ms"), 1600000000000)
        self.assertGreaterEqual(report.pop("took_ms"), 0)
        self.assertEqual(report, {"result": "failed", "version": 3,
                                  "loads": 2, "failures": 1})

    def test_publishing_to_a_full_disk(self):
        self.publish(0)
        self.start()
        for limit in (100, os.path.getsize(self.tables[1]) - 1):
            self.publish_fails("t=" + self.tables[1],
                               words=["t.nbt: cannot write: File too large"],
                               limit=(resource.RLIMIT_FSIZE, limit))
        self.publish(1)
        self.assertEqual(self.await_version(2).reload.failures, 0)


if __name__ == "__main__":
    nibble_test.main()
