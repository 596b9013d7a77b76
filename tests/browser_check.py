#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens the server's page in headless Chromium while requests are answered and
a version takes over, and looks at what it shows. `make check-browser` runs it;
a picture of the page is left in the build folder."""

import html
import os
import re
import shutil
import subprocess
import sys
import threading
import unittest

import nibble_test
from nibble_test import scratch_path, wait_for
from repo_case import RepoCase

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOOKS_MS = 7000  # the page looks once a second


def cells(dom, table):
    """Rows of a table of the page, as texts."""
    body = re.search(r'<table id="%s">(.*?)</table>' % table, dom, re.S)
    return [[html.unescape(re.sub(r"<.*?>", "", cell)) for cell in
             re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
            for row in re.findall(r"<tr>(.*?)</tr>", body.group(1), re.S)]


class BrowserTest(RepoCase):
    def browse(self, *options):
        return subprocess.run(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--hide-scrollbars", "--user-data-dir=" + scratch_path(".chrome"),
             "--window-size=1200,1300",
             "--virtual-time-budget=%d" % LOOKS_MS, *options,
             "http://%s/" % self.admin],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=120, check=True).stdout

    def keep_busy(self, server):
        """Asks until the test ends."""
        stop = threading.Event()
        peer = self.connect(server)

        def ask():
            while not stop.is_set():
                peer.lookup("t", [1, 2, 3, 1000])
                peer.call(nibble_test.LOOKUP, nibble_test.pb.LookupRequest(
                    model="no such model"))
        thread = threading.Thread(target=ask)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)

    def test_it_shows_what_happens(self):
        self.publish(0)
        server = self.serve_repo("--admin", "127.0.0.1:0", loops=2)
        self.admin = re.search(r"event=admin address=(\S+)",
                               server.log()).group(1)
        self.publish(1)
        wait_for(lambda: self.serving(server)[0] == 2, "version 2")
        self.keep_busy(server)
        dom = self.browse("--dump-dom")
        looks = re.search(r'data-looks="(\d+)"', dom)
        self.assertIsNotNone(looks, "the script failed")
        self.assertGreater(int(looks.group(1)), 2)
        self.assertIn('id="state" class="good">ready', dom)
        methods = {row[0]: row for row in cells(dom, "methods")}
        self.assertNotEqual(methods["lookup"][1], "0/s")
        self.assertRegex(methods["lookup"][4], r"(µs|ms|s)$")
        self.assertIn("NOT_FOUND", methods["lookup"][8])
        self.assertEqual(methods["pool"][1], "0/s")
        self.assertEqual(cells(dom, "models")[1][:4],
                         ["m", "2", "latest", "2, 1"])
        table = cells(dom, "tables")[1]
        self.assertEqual(table[:2], ["t", "m"])
        self.assertNotEqual(table[8], "0/s")  # unseen
        reloads = cells(dom, "reloads")[1:]
        self.assertEqual([row[2:4] for row in reloads],
                         [["2", "loaded"], ["1", "loaded"]])
        self.assertEqual(len(cells(dom, "loops")), 3)
        self.assertIn("requests that wait", dom)
        picture = os.path.join(nibble_test.BUILD, "page.png")
        self.browse("--screenshot=" + os.path.abspath(picture))
        self.assertGreater(os.path.getsize(picture), 20000)


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit("check-browser: no chromium (Debian package chromium)")
    nibble_test.main()
