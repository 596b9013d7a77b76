# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with a version, the one before it is served on, and the
reason can be read."""

import itertools
import json
import os
import shutil
import struct
import urllib.request

import numpy

import nibble_test
from nibble_test import nibble, run, scratch_path, wait_for
from repo_case import DIM, RepoCase, damage

SECTIONS = {1: "row", 2: "metadata", 3: "parameters", 5: "key index",
            6: "unseen", 7: "protected"}


def sections(path):
    """(name, offset, length) of each section of a table file: FORMAT.md."""
    with open(path, "rb") as file:
        header = file.read(4096)
    n, = struct.unpack_from("<I", header, 60)
    found = []
    for i in range(n):
        kind, _, offset, length = struct.unpack_from("<IIQQ", header,
                                                     80 + 32 * i)
        found.append((SECTIONS[kind], offset, length))
    return found


class BrokenTest(RepoCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Together they have every kind of section.
        rows = nibble_test.random_rows(300, DIM, seed=9)
        keys, weights = scratch_path(".npy"), scratch_path(".npy")
        numpy.save(keys, numpy.arange(300, dtype="u8") * 7919)
        numpy.save(weights, numpy.arange(300.0))
        cls.scaled = nibble_test.table(rows, "--columns", "scale")
        cls.keyed = nibble_test.table(rows, "--keys", keys, "--unseen", "row:1")
        cls.protected = nibble_test.table(rows, "--protect", weights + ":0.1")

    def setUp(self):
        super().setUp()
        self.publish(0, names=("t",))
        nibble("publish", "--repo", self.repo, "--model", "m",
               "t=" + self.tables[1], "u=" + self.scaled,
               "v=" + self.keyed, "w=" + self.protected)
        self.whole = scratch_path(".version")
        os.rename(self.path(2), self.whole)
        self.numbers = itertools.count(2)
        self.server = self.serve_repo("--reload-poll", 0, loops=2, denied=True)
        self.peer = self.connect(self.server)

    def reload(self):
        return self.peer.status().models[0].reload

    def refused(self, spoil, *words):
        """A copy of a whole version that spoil(directory) has been at: it is
        not served, its reason holds the words, and nothing else changes."""
        version = next(self.numbers)
        path = self.path(version)
        hidden = self.path(".v%d" % version)
        before = self.reload().failures
        shutil.copytree(self.whole, hidden)
        for name in os.listdir(hidden):
            os.chmod(os.path.join(hidden, name), 0o600)
        spoil(hidden)
        os.rename(hidden, path)
        wait_for(lambda: self.reload().failures > before,
                 "version %d fails" % version)
        report = self.reload()
        self.assertEqual((report.result, report.version, report.loads),
                         ("failed", version, 1), report.reason)
        for word in ("m/%d" % version,) + words:
            self.assertIn(word, report.reason)
        self.expect(self.server, 1, 0)
        self.assertIn("event=reload-failed model=m version=%d" % version,
                      self.server.log())
        shown = nibble("status", "--server", self.server.address, "--json")
        self.assertEqual(json.loads(shown.stdout)["models"][0]["reload"]
                         ["reason"], report.reason)
        os.rename(path, scratch_path(".broken"))

    def in_file(self, name, change):
        def spoil(directory):
            change(os.path.join(directory, name))
        return spoil

    def replaced_by(self, target):
        """A file whose name is taken by a link."""
        def change(path):
            os.unlink(path)
            os.symlink(target, path)
        return change

    def test_the_copy_is_whole(self):
        shutil.copytree(self.whole, self.path(".two"))
        os.rename(self.path(".two"), self.path(2))
        wait_for(lambda: self.serving(self.server)[0] == 2, "it is served")

    def test_files(self):
        for name in ("u.nbt", "manifest.json"):
            self.refused(self.in_file(name, os.unlink),
                         name + ": No such file")
            self.refused(self.in_file(name, self.replaced_by(name)),
                         name + ": a symbolic link")
            self.refused(self.in_file(name, self.replaced_by(
                os.path.join(self.whole, name))), name + ": a symbolic link")

            def to_directory(path):
                os.unlink(path)
                os.mkdir(path)
            self.refused(self.in_file(name, to_directory),
                         name + ": not a regular file")

            def to_fifo(path):
                os.unlink(path)
                os.mkfifo(path)
            self.refused(self.in_file(name, to_fifo),
                         name + ": not a regular file")

    def test_permission_denied(self):
        if run("cat", "/proc/self/mem", check=False, denied=True).returncode \
                == 0:
            self.skipTest("nothing is denied here")
        for name in ("u.nbt", "manifest.json"):
            self.refused(self.in_file(name, lambda p: os.chmod(p, 0)),
                         name + ": ", "Permission denied")
        self.refused(lambda directory: os.chmod(directory, 0o600),
                     "Permission denied")

    def test_sizes(self):
        size = os.path.getsize(self.scaled)
        for length in (0, 1, 100, 4096, size - 1):
            self.refused(self.in_file(
                "u.nbt", lambda p: os.truncate(p, length)), "u.nbt: ")
        self.refused(self.in_file(
            "u.nbt", lambda p: os.truncate(p, size + 1)), "u.nbt: ")

    def test_flipped_bits(self):
        path = os.path.join(self.whole, "u.nbt")
        found = sections(path)
        for at in (0, 9, 20, 33, 49, 82):  # of the header
            self.refused(self.in_file("u.nbt", lambda p: damage(p, at)),
                         "u.nbt: ")
        self.refused(self.in_file("u.nbt", lambda p: damage(p, 4095)),
                     "u.nbt: ", "between sections")
        for table in ("v.nbt", "w.nbt"):
            found += sections(os.path.join(self.whole, table))
        self.assertEqual({name for name, _, _ in found},
                         set(SECTIONS.values()))
        for table in ("u.nbt", "v.nbt", "w.nbt"):
            for name, offset, length in sections(
                    os.path.join(self.whole, table)):
                for at in (offset, offset + length - 1):
                    self.refused(self.in_file(table, lambda p: damage(p, at)),
                                 table + ": ", name)

    def test_another_table(self):
        for other in (self.tables[2], self.tables[1]):
            self.refused(self.in_file(
                "u.nbt", lambda p: shutil.copy(other, p)),
                "u.nbt: ", "the manifest says")

    def with_manifest(self, change):
        def spoil(directory):
            path = os.path.join(directory, "manifest.json")
            with open(path) as file:
                manifest = json.load(file)
            text = change(manifest)
            with open(path, "w") as file:
                file.write(text if isinstance(text, str)
                           else json.dumps(manifest))
        return spoil

    def test_lies(self):
        for field, lie in (("bytes", 1), ("rows", 1), ("dim", 1),
                           ("codec", "q8"), ("checksum", "0" * 16)):
            def change(manifest):
                table = manifest["tables"][1]
                table[field] = (lie if isinstance(lie, str)
                                else table[field] + lie)
            self.refused(self.with_manifest(change), "u.nbt: %s: " % field,
                         "the manifest says")

    def test_manifests(self):
        def tables(change):
            return lambda manifest: change(manifest["tables"]) and None
        for change, word in (
                (lambda m: "", ""),
                (lambda m: "{", ""),
                (lambda m: "[]", ""),
                (lambda m: json.dumps(m)[:-1], ""),
                (lambda m: json.dumps(m) + " " * (4 << 20), "over 4194304"),
                (lambda m: m.update(format=2), "format"),
                (lambda m: m.update(tables=[]), "tables"),
                (tables(lambda t: t.reverse()), "tables[1].name"),
                (tables(lambda t: t[1].update(file="../u.nbt")),
                 "tables[1].file"),
                (tables(lambda t: t[1].update(file="/dev/zero")),
                 "tables[1].file"),
                (tables(lambda t: t[1].update(rows=-1)), "tables[1].rows"),
                (tables(lambda t: t[1].pop("checksum")),
                 "tables[1].checksum"),
                (tables(lambda t: t[1].update(name="t")), "tables[1].name")):
            self.refused(self.with_manifest(change), "manifest.json", word)

    def test_what_is_no_version(self):
        os.symlink("9", self.path(9))
        os.symlink(self.whole, self.path(8))
        with open(self.path(7), "w"):
            pass
        os.mkdir(self.path("06"))
        os.symlink("n", os.path.join(self.repo, "n"))
        shutil.copytree(self.whole, self.path(".two"))
        os.rename(self.path(".two"), self.path(2))
        wait_for(lambda: self.serving(self.server)[0] == 2, "2 is served")
        self.assertEqual((self.reload().failures, self.reload().reason),
                         (0, ""))
        self.assertEqual(len(self.peer.status().models), 1)

    def test_pins(self):
        serving = self.path("SERVING")
        failures = 0
        for make, word in (
                (lambda p: os.symlink("SERVING", p), "SERVING"),
                (lambda p: os.mkdir(p), "SERVING"),
                (lambda p: open(p, "w").close(), "SERVING"),
                (lambda p: os.mkfifo(p), "SERVING"),
                (lambda p: shutil.copy(self.scaled, p), "SERVING")):
            hidden = self.path(".pin")
            make(hidden)
            os.rename(hidden, serving)
            failures += 1
            wait_for(lambda: self.reload().failures >= failures, "it fails")
            self.assertEqual(self.reload().failures, failures)
            self.assertIn(word, self.reload().reason)
            self.expect(self.server, 1, 0)
            os.rename(serving, scratch_path(".pin"))

    def test_gone_is_no_failure(self):
        """What is wrong is said as long as it is, and not after."""
        os.mkdir(self.path(2))
        wait_for(lambda: self.reload().result == "failed", "2 fails")
        loads = self.reload().loads
        self.publish(1)
        wait_for(lambda: self.serving(self.server)[0] == 3, "3 is served")
        os.mkdir(self.path(4))
        wait_for(lambda: self.reload().result == "failed", "4 fails")
        os.rmdir(self.path(4))
        wait_for(lambda: self.reload().result == "switched", "4 is gone")
        report = self.reload()
        self.assertEqual((report.version, report.reason, report.loads,
                          report.failures), (3, "", loads + 1, 2))
        wait_for(lambda: "event=reload model=m version=3 result=switched" in
                 self.server.log(), "that is logged, after it is served")

    def test_tried_once_each(self):
        """A broken version costs a read, not one at every look."""
        shutil.copytree(self.whole, self.path(".broken"))
        os.chmod(self.path(".broken", "u.nbt"), 0o600)
        damage(self.path(".broken", "u.nbt"), 4096)
        os.rename(self.path(".broken"), self.path(99))
        wait_for(lambda: self.reload().failures == 1, "99 fails")
        for version in range(2, 12):
            shutil.copytree(self.whole, self.path(".next"))
            os.rename(self.path(".next"), self.path(version))
            wait_for(lambda: self.serving(self.server)[0] == version,
                     "%d is served" % version)
        self.assertEqual(self.reload().failures, 1)
        self.assertEqual(self.server.log().count("99/u.nbt: checksum"), 2)


class NameTest(RepoCase):
    def test_a_long_reason_is_shown_whole(self):
        model = "m" * 100
        self.publish(0, model=model)
        server = self.serve_repo()
        os.mkdir(self.path(2, model=model))

        def told():
            return "manifest.json: No such file" in nibble(
                "status", "--server", server.address).stdout
        wait_for(told, "the reason stands there to its end")

    def test_a_path_that_is_not_utf8(self):
        """A reason with it can be read by all who may ask for it."""
        self.repo = scratch_path(".\udcff.repo")
        os.mkdir(self.repo)
        self.publish(0)
        server = self.serve_repo("--admin", "127.0.0.1:0", "--log-format",
                                 "json")
        self.publish(1)
        wait_for(lambda: self.serving(server)[0] == 2, "2 is served")
        os.mkdir(self.path(3))
        peer = self.connect(server)

        def failed():
            report, = [model.reload for model in peer.status().models]
            return report.result == "failed" and report
        reason = wait_for(failed, "3 fails").reason
        self.assertIn(".?.repo/m/3/manifest.json: No such file", reason)
        lines = []
        with open(server.log_path, encoding="utf-8") as log:
            lines = [json.loads(line) for line in log]
        admin, = [line for line in lines if line["event"] == "admin"]
        self.assertIn("reload-failed", [line["event"] for line in lines])
        with urllib.request.urlopen("http://%s/status" %
                                    admin["address"]) as reply:
            shown = json.loads(reply.read())
        self.assertEqual(shown["models"][0]["reload"]["reason"], reason)
        shown = nibble("status", "--server", server.address, "--json").stdout
        self.assertEqual(json.loads(shown)["models"][0]["reload"]["reason"],
                         reason)


if __name__ == "__main__":
    nibble_test.main()
