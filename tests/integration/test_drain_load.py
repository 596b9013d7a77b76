#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""A server drains while a channel asks it and another: no call fails."""

import os
import re
import signal
import subprocess

import nibble_test
from nibble_test import BUILD, SANITIZED, wait_for

LOAD = os.path.join(BUILD, "tests/bench/channel_load")
DEPTH = 64
CONNECTIONS = 4  # to each


def lookups_of(peer):
    """Lookups begun, and those answered with each code."""
    lookup, = [m for m in peer.status().methods if m.name == "lookup"]
    return lookup.requests, {c.name: c.requests for c in lookup.codes}


class DrainTest(nibble_test.TestCase):
    def test_no_call_fails(self):
        repo = nibble_test.scratch_path(".repo")
        nibble_test.nibble("bench", "--make-tables", "point", "--scale",
                           "0.0005", "--repo", repo)
        stays, goes = [self.serve({}, "--repo", repo, loops=2)
                       for _ in range(2)]
        peers = self.connect(stays), self.connect(goes)
        load = subprocess.Popen(
            [LOAD, "--server", stays.address, "--server", goes.address,
             "--profile", "point", "--rows", "5000", "--depth", str(DEPTH),
             "--connections", str(CONNECTIONS),
             "--ms", "10000" if SANITIZED else "3000"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(load.communicate)
        self.addCleanup(load.kill)
        wait_for(lambda: load.poll() is not None or
                 min(lookups_of(peer)[0] for peer in peers) > 1000,
                 "both are asked")
        # Stopped, it has requests that it has not read when it is told to end.
        goes.terminate(signal.SIGSTOP)
        wait_for(lambda: any(goes.receive_queues(nibble_test.TCP_OPEN)),
                 "requests have come")
        peers[1].close()
        goes.terminate()
        goes.terminate(signal.SIGCONT)
        goes.wait()
        self.assertIn("event=drain", goes.log())
        self.assertNotIn("reason", goes.log())
        self.assertIsNone(load.poll(), "the load ended before the drain")
        asked = lookups_of(peers[0])[0]
        wait_for(lambda: lookups_of(peers[0])[0] > asked + 1000,
                 "the other goes on")
        told, errors = load.communicate(timeout=nibble_test.DEADLINE_S)
        self.assertEqual((load.returncode, errors), (0, ""), told)
        # Only what was sent behind the end of a connection is asked again, of
        # the other; connections end one after another, and until the last has,
        # calls that are done with one are followed by others.
        retries = int(re.search(r"(\d+) retries", told).group(1))
        self.assertLessEqual(retries, CONNECTIONS * DEPTH)
        begun, codes = lookups_of(peers[0])
        self.assertEqual(codes, {"OK": begun})


if __name__ == "__main__":
    nibble_test.main()
