# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""publish and pin, inspect and verify of versions, and nibbled --repo."""

import json
import os
import resource
import shutil
import subprocess
import unittest

import nibble_test
from nibble_test import (LOOKUP, NIBBLE, NIBBLED, NOT_FOUND, STATUS,
                         UNAVAILABLE, nibble, run, scratch_path)
from proto import nibble_pb2 as pb
from repo_case import RepoCase, damage, tree


class RepoTest(RepoCase):
    # ---- publish ----------------------------------------------------------

    def test_a_repository_that_is_not_there(self):
        missing = self.repo + "/none"
        for options in ([], ["--dry-run"]):
            self.fails("publish", "--repo", missing, "--model", "m",
                       "t=" + self.tables[0], *options,
                       words=[missing + ": no such directory", "mkdir"])
        self.assertFalse(os.path.exists(missing))

    def test_publish_and_what_it_says(self):
        first = self.publish(0, names=("user", "item"))
        self.assertEqual(first["version"], 1)
        self.assertEqual([t["name"] for t in first["tables"]],
                         ["item", "user"])
        self.assertEqual(first["tables"][0]["rows"], 40)
        self.assertEqual(first["tables"][0]["file"], "item.nbt")
        self.assertEqual(first["file_bytes"],
                         2 * os.path.getsize(self.tables[0]))
        self.assertFalse(first["dry_run"])
        with open(self.path(1, "manifest.json")) as file:
            manifest = json.load(file)
        self.assertEqual([t["name"] for t in manifest["tables"]],
                         ["item", "user"])
        self.assertEqual(set(manifest["tables"][0]),
                         {"name", "file", "bytes", "rows", "dim", "codec",
                          "checksum"})
        with open(self.tables[0], "rb") as a, \
                open(self.path(1, "user.nbt"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        # The same tables make the same manifest.
        self.publish(0, names=("item", "user"))
        with open(self.path(1, "manifest.json"), "rb") as a, \
                open(self.path(2, "manifest.json"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        done = nibble("publish", "--repo", self.repo, "--model", "m",
                      "--keep", "1", "t=" + self.tables[1])
        for words in ("published %s/3: 1 table, 41 rows" % self.path(),
                      "deleted version 1\n", "deleted version 2\n"):
            self.assertIn(words, done.stdout)
        self.assertEqual(done.stderr, "")

    def test_dry_run_changes_nothing(self):
        plan = self.publish(0, "--dry-run")
        self.assertEqual((plan["version"], plan["dry_run"]), (1, True))
        self.assertEqual(os.listdir(self.repo), [])
        self.publish(0)
        self.publish(1)
        before = tree(self.repo)
        plan = self.publish(2, "--dry-run", "--keep", "2")
        self.assertEqual((plan["version"], plan["deleted"]), (3, [1]))
        self.assertEqual(tree(self.repo), before)
        self.publish_fails("--dry-run", "--version", "2",
                           "t=" + self.tables[0],
                           words=["version 2 is there already, the next "
                                  "free is 3"])
        self.publish_fails("--dry-run", "t=/no/such/file",
                           words=["/no/such/file"])

    def test_dry_run_where_one_may_not_write(self):
        """The plan fails where publishing would, and says the same."""
        table = "t=" + self.tables[0]
        self.publish(0)
        for path, model in ((self.path(), "m"), (self.repo, "n")):
            os.chmod(path, 0o555)
            try:
                for options in ((), ("--dry-run",)):
                    self.fails("publish", "--repo", self.repo, "--model", model,
                               *options, table, denied=True,
                               words=[path, "Permission denied"])
            finally:
                os.chmod(path, 0o755)
        self.publish(1, "--dry-run")

    def test_dry_run_where_the_number_is_taken(self):
        """By what is no version: the plan is what publishing does."""
        table = "t=" + self.tables[0]
        self.publish(0)
        with open(self.path(2), "w"):
            pass
        os.symlink("nowhere", self.path(3))
        for version in ("2", "3"):
            for options in ((), ("--dry-run",)):
                self.publish_fails("--version", version, *options, table,
                                   words=[self.path(version) +
                                          ": is there, and is no version"])
        plan = self.publish(1, "--dry-run", "--keep", "1")
        self.assertEqual((plan["version"], plan["deleted"]), (4, [1]))
        done = self.publish(1, "--keep", "1")
        self.assertEqual((done["version"], done["deleted"]), (4, [1]))

    def test_publish_refusals(self):
        good = "t=" + self.tables[0]
        bad = scratch_path(".nbt")
        shutil.copy(self.tables[0], bad)
        damage(bad, -1)
        self.publish_fails("t=" + bad, words=[bad])
        self.publish_fails(good, "u=" + bad, words=[bad])
        self.publish_fails("t=" + os.path.dirname(bad),
                           words=["is a directory"])
        self.publish_fails(".t=" + self.tables[0], words=["table '.t'"])
        self.publish_fails("a/b=" + self.tables[0], words=["table 'a/b'"])
        for name in ("..", ".m", "a/b", ""):
            done = nibble("publish", "--repo", self.repo, "--model", name, good,
                          check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("--model: '%s'" % name, done.stderr)
        self.fails("publish", "--repo", "/no/such/repo", "--model", "m", good,
                   words=["/no/such/repo", "mkdir"])
        os.symlink("loop", os.path.join(self.repo, "loop"))
        self.fails("publish", "--repo", self.repo, "--model", "loop", good,
                   words=["/loop: ", "cannot open"])
        self.fails("publish", "--repo", os.path.join(self.repo, "loop"),
                   "--model", "m", good, words=["symbolic links"])

    @unittest.skipIf(os.path.basename(nibble_test.BUILD) == "tsan",
                     "its runtime writes a file before main() may ask not to "
                     "be ended by the limit")
    def test_disk_full(self):
        self.publish(0)
        size = os.path.getsize(self.tables[1])
        for limit in (0, 100, size - 1):
            self.publish_fails("t=" + self.tables[1],
                               words=["t.nbt: cannot write: File too large"],
                               limit=(resource.RLIMIT_FSIZE, limit))
        self.assertEqual(self.publish(1)["version"], 2)

    def test_publishers_at_a_time(self):
        n = 8
        running = [subprocess.Popen(
            [NIBBLE, "publish", "--repo", self.repo, "--model", "m", "--json",
             "--keep", "3", "t=" + self.tables[i % 4]],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for i in range(n)]
        got = []
        for process in running:
            out, error = process.communicate(timeout=nibble_test.DEADLINE_S)
            self.assertEqual(process.returncode, 0, error)
            got.append(json.loads(out))
        self.assertEqual(sorted(report["version"] for report in got),
                         list(range(1, n + 1)))
        self.assertEqual(sorted(v for r in got for v in r["deleted"]),
                         list(range(1, n - 2)))
        self.assertEqual(self.versions(), ["6", "7", "8"])
        for version in self.versions():
            nibble("verify", self.path(version))

    def test_permission_denied(self):
        self.publish(0)
        os.chmod(self.path(), 0o500)
        self.addCleanup(os.chmod, self.path(), 0o700)
        self.publish_fails("t=" + self.tables[1],
                           words=[self.path(), "Permission denied"],
                           denied=True)

    # ---- pin --------------------------------------------------------------

    def test_pin(self):
        for i in range(3):
            self.publish(i)
        self.assertIn("pinned to version 1",
                      self.pin("--version", "1").stdout)
        with open(self.path("SERVING")) as file:
            self.assertEqual(file.read(), "1\n")
        self.assertEqual(self.publish(3, "--keep", "1")["deleted"], [2, 3])
        self.assertIn("not pinned", self.pin("--latest").stdout)
        self.assertEqual(self.versions(), ["1", "4"])
        self.fails("pin", "--repo", self.repo, "--model", "m", "--version",
                   "2", words=["there is no version 2, there is 1, 4\n"])
        self.fails("pin", "--repo", self.repo, "--model", "n", "--latest",
                   words=[": no model 'n', there is m\n"])
        self.fails("pin", "--repo", self.repo + "/no", "--model", "n",
                   "--latest", words=["/no", "No such file"])
        for name in ("b" * 60, "c" * 60):
            os.mkdir(os.path.join(self.repo, name))
        self.fails("pin", "--repo", self.repo, "--model", "n", "--latest",
                   words=["there is " + "b" * 60 + ", ccc", "c...\n"])
        for version in range(11, 17):
            os.mkdir(self.path(version))
        self.fails("pin", "--repo", self.repo, "--model", "m", "--version",
                   "2", words=["there is ..., 12, 13, 14, 15, 16\n"])
        damage(self.path(4, "t.nbt"), 4096)
        self.fails("pin", "--repo", self.repo, "--model", "m", "--version",
                   "4", words=["4/t.nbt: checksum mismatch in the row"])
        self.assertNotIn("SERVING", self.versions())

    # ---- inspect, verify --------------------------------------------------

    def test_inspect_and_verify_a_version(self):
        self.publish(1, names=("a", "b"))
        done = nibble("verify", self.path(1))
        self.assertIn("whole, 2 tables, 82 rows", done.stdout)
        text = nibble("inspect", self.path(1)).stdout
        for words in ("2 tables, 82 rows", "normalized l2 loss", "q4"):
            self.assertIn(words, text)
        report = json.loads(nibble("inspect", "--json", self.path(1)).stdout)
        self.assertEqual((report["rows"], len(report["tables"])), (82, 2))
        self.assertEqual(report["tables"][1]["name"], "b")
        self.assertGreater(report["tables"][1]["nl2"], 0)
        self.assertEqual(report["directory"], self.path(1))

    def test_verify_finds_every_flipped_bit(self):
        self.publish(0, names=("a", "b"))
        path = self.path(1, "b.nbt")
        with open(path, "rb") as file:
            whole = file.read()
        os.chmod(path, 0o600)
        places = list(range(0, 200, 7)) + list(range(4096, len(whole), 61))
        for at in places + [len(whole) - 1]:
            damage(path, at)
            self.fails("verify", self.path(1), words=["1/b.nbt: "])
            damage(path, at)
        nibble("verify", self.path(1))
        with open(path, "wb") as file:
            file.write(whole[:-1])
        self.fails("verify", self.path(1), words=["1/b.nbt: "])
        os.unlink(path)
        self.fails("verify", self.path(1), words=["1/b.nbt: No such file"])
        os.unlink(self.path(1, "manifest.json"))
        self.fails("verify", self.path(1), words=["1/manifest.json: No such"])
        self.fails("inspect", self.path(1), words=["1/manifest.json: No such"])

    # ---- the server -------------------------------------------------------

    def start_fails(self, *arguments, words=()):
        done = run(NIBBLED, "--repo", self.repo, "--listen", "127.0.0.1:0",
                   *arguments, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr.splitlines()[-1])

    def test_serves_every_model(self):
        for i in range(2):
            self.publish(i, model="one")
        self.publish(2, "--version", "9", model="two")
        server = self.serve_repo(loops=2)
        self.expect(server, 2, 1, model="one")
        self.expect(server, 9, 2, model="two")
        peer = self.connect(server)
        models = {m.name: m for m in peer.status().models}
        self.assertEqual({(m.name, m.version, m.choice, m.tables[0].rows)
                          for m in models.values()},
                         {("one", 2, "latest", 41), ("two", 9, "latest", 42)})
        got = peer.call(STATUS, pb.StatusRequest(model="two"))
        status = pb.StatusReply.FromString(got.body)
        self.assertEqual([m.name for m in status.models], ["two"])
        # Who names no model, or none there is, is told which there are.
        request = pb.LookupRequest()
        request.features.add(table="t", ids=[0])
        self.assert_error(peer.call(LOOKUP, request), NOT_FOUND, "model: ",
                          "one, two")
        request.model = "three"
        self.assert_error(peer.call(LOOKUP, request), NOT_FOUND,
                          "model: no model 'three', there is one, two")
        self.assert_error(peer.call(STATUS, pb.StatusRequest(model="x")),
                          NOT_FOUND, "model: no model 'x'")
        request.model, request.version = "two", 2
        self.assert_error(peer.call(LOOKUP, request), NOT_FOUND, "version: 2")
        log = server.log()
        self.assertIn("event=model name=one version=2 choice=latest tables=1",
                      log)
        self.assertIn("event=table name=t codec=q4 rows=42", log)
        shown = nibble("status", "--server", server.address).stdout
        self.assertIn("model two, version 9, 1 table (latest)", shown)
        shown = nibble("status", "--server", server.address, "--json").stdout
        self.assertEqual([m["choice"] for m in json.loads(shown)["models"]],
                         ["latest", "latest"])

    def test_serves_the_models_that_are_named(self):
        for model in ("a", "b", "c"):
            self.publish(0, model=model)
        server = self.serve_repo("--model", "c")
        self.expect(server, 1, 0)  # the only model needs no name
        self.assertEqual([m.name for m in self.connect(server).status().models],
                         ["c"])
        server = self.serve_repo(env={"NIBBLED_MODEL": "a,b"})
        self.expect(server, 1, 0, model="b")
        self.start_fails("--model", "d", words=["model d: ", "No such file"])
        done = run(NIBBLED, "--repo", self.repo, "--model", "d", "--listen",
                   "127.0.0.1:0", check=False)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)  # told once
        os.mkdir(self.path(model="e"))
        done = run(NIBBLED, "--repo", self.repo, "--model", "d", "--model",
                   "a", "--model", "e", "--model", "f", "--listen",
                   "127.0.0.1:0", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 3, done.stderr)
        for line, model, reason in zip(
                done.stderr.splitlines(), "def",
                ("No such file", "has no version", "No such file")):
            self.assertIn("model %s: " % model, line)
            self.assertIn(reason, line)

    def test_a_pin_is_served(self):
        for i in range(3):
            self.publish(i)
        self.pin("--version", "2")
        server = self.serve_repo()
        self.expect(server, 2, 1)
        self.assertEqual(self.connect(server).status().models[0].choice,
                         "pinned")
        self.pin("--latest")
        self.expect(self.serve_repo(), 3, 2)

    def test_falls_back_to_the_last_whole_version(self):
        for i in range(4):
            self.publish(i)
        damage(self.path(4, "t.nbt"), 4096)
        os.unlink(self.path(3, "t.nbt"))
        server = self.serve_repo()
        self.expect(server, 2, 1)
        for version, words in ((4, "checksum"), (3, "No such file")):
            self.assertRegex(server.log(),
                             r"level=error event=skip-version model=m "
                             r"version=%d reason=.*%s" % (version, words))
        # The rows are not read then.
        server = self.serve_repo("--verify", "header")
        self.assertEqual(self.serving(server)[0], 4)

    def test_a_broken_pin_is_not_replaced(self):
        self.publish(0)
        self.publish(1)
        self.pin("--version", "2")
        damage(self.path(2, "t.nbt"), 4096)
        self.start_fails("--model", "m", words=[
            "model m: pinned to version 2: ", "2/t.nbt"])
        # Of a repository served whole, a later version may help.
        peer = self.connect(self.serve_repo())
        request = pb.LookupRequest(model="m")
        request.features.add(table="t", ids=[0])
        self.assert_error(peer.call(LOOKUP, request), UNAVAILABLE,
                          "no version of 'm' is loaded: pinned to version 2")
        model, = peer.status().models
        self.assertEqual((model.version, list(model.loaded)), (0, []))
        self.assertIn("2/t.nbt", model.reload.reason)

    def test_a_broken_model_does_not_take_the_others_away(self):
        self.publish(0, model="bad")
        self.publish(1, model="good")
        os.unlink(self.path(1, "manifest.json", model="bad"))
        os.mkdir(os.path.join(self.repo, "empty"))
        server = self.serve_repo()
        self.expect(server, 1, 1)
        self.assertRegex(server.log(), "event=reload-failed model=bad .*reason=")
        self.assertNotIn("model=empty", server.log())
        self.start_fails("--model", "good", "--model", "bad",
                         words=["model bad: ", "1/manifest.json"])

    def test_a_pin_that_is_wrong_is_told_at_the_start(self):
        self.publish(0)
        for pin, version in (("banana", ""), ("7", " version=7")):
            with open(self.path("SERVING"), "w") as file:
                file.write(pin + "\n")
            server = self.serve_repo()
            log = server.log()
            self.assertRegex(log, "level=warn event=model name=m choice=pinned "
                                  "tables=0 reason=.")
            self.assertRegex(log, "level=error event=reload-failed model=m%s "
                                  "reason=" % version)
            self.assertNotIn("version=0 ", log)
            model, = self.connect(server).status().models
            self.assertEqual((model.version, model.choice), (0, "pinned"))
            self.assertEqual(model.reload.failures, 1)
        os.unlink(self.path("SERVING"))
        with open(self.path(1, "manifest.json"), "w"):
            pass
        self.assertIn("level=warn event=model name=m choice=latest tables=0",
                      self.serve_repo().log())

    def test_a_repository_without_models_is_told(self):
        server = self.serve_repo()
        self.assertIn('level=warn event=no-models repo=%s why="no model with '
                      'a version is there yet"' % self.repo, server.log())
        shown = nibble("status", "--server", server.address).stdout
        self.assertIn("\nmodels     none: no version of a model is loaded\n",
                      shown)
        self.publish(0)
        server = self.serve_repo()
        self.assertNotIn("no-models", server.log())
        self.assertNotIn("none:", nibble("status", "--server",
                                         server.address).stdout)

    def test_a_model_is_no_repository(self):
        self.publish(0)
        for repo in (self.path(), self.path() + "/"):
            server = self.serve({}, "--repo", repo)
            self.assertIn('event=no-models repo=%s why="it is a model: give '
                          'its parent, %s, as --repo"' %
                          (repo, os.path.realpath(self.repo)), server.log())

    def test_nothing_to_serve(self):
        peer = self.connect(self.serve_repo())
        request = pb.LookupRequest()
        self.assert_error(peer.call(LOOKUP, request), NOT_FOUND,
                          "nothing is served yet")
        self.assertEqual(list(peer.status().models), [])
        os.mkdir(self.path())
        self.start_fails("--model", "m", words=["model m: ", "no version"])
        os.rmdir(self.path())
        self.start_fails("--model", "m", words=["model m: ", "No such file"])
        elsewhere = os.path.join(self.repo, "none")
        done = run(NIBBLED, "--repo", elsewhere, "--listen", "127.0.0.1:0",
                   check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(elsewhere, done.stderr)

    def test_unfinished_and_unknown_are_left_alone(self):
        self.publish(0)
        for name in (".publish-1", ".deleted-1", "notes"):
            shutil.copytree(self.path(1), self.path(name))
        with open(os.path.join(self.repo, "README"), "w"):
            pass
        with open(self.path("7"), "w"):
            pass
        before = tree(self.repo)
        server = self.serve_repo()
        self.expect(server, 1, 0)
        self.assertEqual(tree(self.repo), before)

    def test_a_deleted_version_is_served_on(self):
        self.publish(0)
        server = self.serve_repo()
        self.publish(1, "--keep", "1")
        self.assertEqual(self.versions(), ["2"])
        nibble_test.wait_for(lambda: self.serving(server)[0] == 2,
                             "version 2 is served")
        request = pb.LookupRequest(version=1)
        request.features.add(table="t", ids=range(40))
        blocks = self.connect(server).call(LOOKUP, request).blocks()
        self.assertEqual((blocks.version, blocks.blocks[0].values),
                         (1, self.rows[0][:40].tobytes()))


if __name__ == "__main__":
    nibble_test.main()
