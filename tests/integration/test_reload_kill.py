# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a publisher and of the server that loads what it publishes, at
points spread over both. What is started after it serves the last version that
is complete, and the next publish works; some of the points are before the
version is there, some while the server reads it. (test_publish_kill.c kills
publishers at every system call.)"""

import os
import random
import signal
import subprocess
import time

import nibble_test
from nibble_test import NIBBLE, nibble, wait_for
from repo_case import RepoCase

N_POINTS = 50


class KillTest(RepoCase):
    def start(self):
        return nibble_test.Server({}, "--repo", self.repo, "--reload-poll", 0,
                                  "--reload-rate", "1MiB")

    def begin_publish(self, version):
        """Version n is made of table n % 2, so that its number tells what it
        must hold."""
        return subprocess.Popen(
            [NIBBLE, "publish", "--repo", self.repo, "--model", "m", "--keep",
             "2", "t=" + self.big[version % 2]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def highest(self):
        return max(int(v) for v in self.versions() if v.isdigit())

    def serves(self, server, version):
        """The server answers from that version, as it was published."""
        got, values = self.serving(server)
        self.assertEqual((got, values),
                         (version, self.rows[version % 2][:40].tobytes()))

    def has_opened(self, server, version):
        """What is mapped is open, though it may not be served yet."""
        with open("/proc/%d/maps" % server.process.pid) as lines:
            return self.path(version, "t.nbt") in lines.read()

    def has_served(self, server, version):
        return "model=m version=%d result=loaded" % version in server.log()

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()

    def setUp(self):
        super().setUp()
        # Large enough for a load to take over a hundred ms at that rate.
        rows = [nibble_test.random_rows(6000, 16, seed=i) for i in (8, 9)]
        self.big = [nibble_test.table(r) for r in rows]
        self.rows = [nibble_test.exported(path) for path in self.big]

    def test_both_are_killed_anywhere(self):
        seed = int(os.environ.get("NB_TEST_SEED", "1"), 0)
        print("NB_TEST_SEED=%d" % seed)
        draw = random.Random(seed)
        self.assertEqual(self.begin_publish(1).wait(), 0)
        server = self.start()
        self.addCleanup(lambda: server.stop())
        began = time.monotonic()
        self.assertEqual(self.begin_publish(2).wait(), 0)
        wait_for(lambda: self.serving(server)[0] == 2, "2 is served")
        limit_s = time.monotonic() - began
        outcomes = {"not published": 0, "published": 0, "loading": 0}
        for _ in range(N_POINTS):
            last = self.highest()
            began = time.monotonic()
            publisher = self.begin_publish(last + 1)
            point_s = draw.random() * limit_s
            while time.monotonic() - began < point_s:
                pass
            self.kill(publisher)
            opened = self.has_opened(server, last + 1)
            self.kill(server.process)
            outcomes["loading"] += opened and not self.has_served(server,
                                                                  last + 1)
            now = self.highest()
            self.assertIn(now, (last, last + 1))
            # However fast the machine is just now: some points are before the
            # version is there, and more of them after, while it is loaded.
            outcomes["published" if now > last else "not published"] += 1
            limit_s *= 0.9 if now > last else 1.3
            nibble("verify", self.path(now))
            server = self.start()
            self.serves(server, now)
        print("killed: %s" % outcomes)
        self.assertTrue(all(outcomes.values()), outcomes)
        last = self.highest()
        self.assertEqual(self.begin_publish(last + 1).wait(), 0)
        wait_for(lambda: self.serving(server)[0] == last + 1, "it is served")
        self.serves(server, last + 1)
        self.assertEqual(self.versions(), sorted([str(last), str(last + 1)]))


if __name__ == "__main__":
    nibble_test.main()
