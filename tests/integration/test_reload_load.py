# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Reloads under load: no request fails, no reply mixes versions, nothing is
left behind.

A closed loop on two connections and an open loop at half of what that alone
can do, each reply held bit for bit against the version it names, while one
version after the other is published, of two that differ in every row. Each
load sees 20 of them at least, or $NB_RELOADS:

    NB_RELOADS=200 make run-tests ONLY=reload_load
"""

import json
import os
import re
import subprocess

import numpy

import nibble_test
from nibble_test import BUILD, LOOKUP, NIBBLE, nibble, scratch_path, wait_for
from proto import nibble_pb2 as pb

RELOADS = int(os.environ.get("NB_RELOADS", "20"))
SECONDS = max(3, RELOADS // 10)  # of a load; there are more if need be
SHAPES = {"wide": (40000, 64), "keyed": (40000, 64), "small": (300, 7)}
ASKED = ("--tables", "wide:20,keyed:20,small:5", "--samples", 4,
         "--request-mib", 2, "--timeout-ms", 60000)
# What may come and go with buffers: less than one version would have left, or
# 100 KiB from each of 20.
RESIDENT_SLACK = 2 << 20
ANONYMOUS_SLACK = 4  # mappings, which are buffers too
SANITIZED = os.path.basename(BUILD) in ("asan", "tsan")


class LoadTest(nibble_test.TestCase):
    def setUp(self):
        self.repo = scratch_path(".repo")
        os.mkdir(self.repo)
        keys = scratch_path(".npy")  # all ids that the load asks for
        numpy.save(keys, numpy.random.default_rng(3).permutation(
            SHAPES["keyed"][0]).astype("u8"))
        self.kinds = [{name: nibble_test.table(
            nibble_test.random_rows(*shape, seed=seed),
            *(("--keys", keys) if name == "keyed" else ()))
            for name, shape in SHAPES.items()} for seed in (1, 2)]
        self.assertGreater(sum(os.path.getsize(path) for path in
                               self.kinds[0].values()),
                           1.4 * RESIDENT_SLACK)
        for name in SHAPES:
            a, b = [nibble_test.exported(kind[name]) for kind in self.kinds]
            self.assertTrue((a != b).any(axis=1).all())
        self.n_published = 0
        for _ in range(2):
            self.publish()
        self.server = self.serve({}, "--repo", self.repo, "--reload-poll", 0,
                                 loops=2)
        self.peers = [self.connect(self.server) for _ in range(4)]

    def publish(self):
        kind = self.kinds[self.n_published % 2]
        nibble("publish", "--repo", self.repo, "--model", "m",
               *["%s=%s" % item for item in kind.items()])
        self.n_published += 1

    def ask(self, peer, version=0):
        request = pb.LookupRequest(version=version)
        request.features.add(table="small", ids=[1])
        return peer.call(LOOKUP, request).blocks().version

    def reload(self):
        """Publishes, and waits until it is served; meanwhile, whatever version
        one connection is told of, the next may ask for."""
        self.publish()

        def served():
            for i, peer in enumerate(self.peers):
                version = self.ask(peer)
                self.assertIn(version, (self.n_published - 1,
                                        self.n_published))
                other = self.peers[(i + 1) % len(self.peers)]
                self.assertEqual(self.ask(other, version), version)
            return version == self.n_published
        wait_for(served, "version %d is served" % self.n_published)

    def bench(self, *options):
        return subprocess.Popen(
            [NIBBLE, "bench", "--server", self.server.address, "--verify",
             "--repo", self.repo, "--json"] +
            [str(o) for o in ASKED + options], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def report(self, process):
        out, error = process.communicate(
            timeout=nibble_test.DEADLINE_S + 4 * SECONDS)
        self.assertEqual(process.returncode, 0, error + out)
        step, = json.loads(out)["steps"]
        self.assertEqual((step["errors"], step["reconnects"]), ({}, 0))
        self.assertGreaterEqual(step["verified"], step["replies"])
        self.assertGreater(step["replies"], 0)
        return step

    def maps(self):
        """Mappings: of files, of no file, and of tables."""
        with open("/proc/%d/maps" % self.server.process.pid) as lines:
            text = lines.read()
        files = len(re.findall(r" [1-9]\d* +/", text))
        return (files, text.count("\n") - files,
                len(re.findall(r"\.nbt\b", text)))

    def settled(self):
        """What is held once every reply is sent and what is old is freed."""
        wait_for(lambda: self.maps()[2] == 2 * len(SHAPES),
                 "two versions are mapped")
        wait_for(lambda: self.peers[0].status().connections ==
                 len(self.peers), "the connections of the load are closed")
        return (self.server.n_descriptors(), *self.maps()[:2],
                self.server.resident_bytes())

    def reload_under_load(self, reloads, seconds, rate):
        """One version after the other is served, until each of two loads has
        seen so many changes, which are returned, and replies verified."""
        seen, verified = 0, 0
        while seen < reloads:
            loads = [self.bench("--duration", seconds, "--warm-up", 0.1,
                                *options)
                     for options in (("--connections", 2),
                                     ("--connections", 4, "--rate", rate))]
            while any(load.poll() is None for load in loads):
                self.reload()
            reports = [self.report(load) for load in loads]
            seen += min(step["version_most"] - step["version_least"]
                        for step in reports)
            verified += sum(step["verified"] for step in reports)
        return seen, verified

    def test_reloads_under_load(self):
        alone = self.report(self.bench("--connections", 2, "--duration", 0.5,
                                       "--warm-up", 0.1))
        rate = max(1, int(alone["achieved_per_s"] / 2))
        self.reload_under_load(4, 0.5, rate)  # what it takes, it has then
        before = self.settled()
        seen, verified = self.reload_under_load(RELOADS, SECONDS, rate)
        # A look at the repository has some for a moment, then or now.
        wait_for(lambda: self.settled()[0] <= before[0],
                 "no descriptor is left behind")
        after = self.settled()
        model, = self.peers[0].status().models
        self.assertEqual((model.reload.failures, model.reload.loads),
                         (0, self.n_published - 1))
        self.assertEqual(sum(m.errors for m in
                             self.peers[0].status().methods), 0)
        if os.environ.get("NB_RELOADS"):
            print("measured: %d reloads seen by both loads, %d replies verified"
                  % (seen, verified))
            print("measured: descriptors, mappings of files and others, "
                  "resident bytes: %s before, %s after" % (before, after))
        if not SANITIZED:  # a sanitizer maps and keeps memory of its own
            self.assertEqual(after[1], before[1])
            self.assertLessEqual(after[2], before[2] + ANONYMOUS_SLACK)
            self.assertLess(after[3], before[3] + RESIDENT_SLACK)


if __name__ == "__main__":
    nibble_test.main()
