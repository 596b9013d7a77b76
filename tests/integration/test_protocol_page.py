# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The examples in hex of PROTOCOL.md, against the real server; and its lists
against the sources."""

import os
import re

import nibble_test

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


PAGE = text_of("proto/PROTOCOL.md")


def exchanges(block):
    """Runs of sent and received bytes, in turn."""
    found = []
    for line in block.splitlines():
        match = re.fullmatch(r"([<>])((?: [0-9a-f]{2})+) *(?:#.*)?", line)
        assert match, "not an example line: %r" % line
        mark, data = match.group(1), bytes.fromhex(match.group(2))
        if found and found[-1][0] == mark:
            found[-1][1] += data
        else:
            found.append([mark, bytearray(data)])
    return found


class Page(nibble_test.TestCase):
    def test_examples(self):
        rows = [[0, 15], [1, 16], [-15, 0], [0.5, 8]]
        server = self.serve({"t": nibble_test.table(rows)})
        peer = self.connect(server)
        blocks = re.findall(r"```hex\n(.*?)```", PAGE, re.S)
        self.assertEqual(len(blocks), 6)
        for block in blocks:
            for mark, data in exchanges(block):
                if mark == ">":
                    peer.send(data)
                else:
                    self.assertEqual(peer.read(len(data)).hex(" "),
                                     data.hex(" "))
        self.assertTrue(peer.at_end())  # the last example ends it

    def test_methods(self):
        methods = re.findall(r"^METHOD\((\d+), (\w+),", text_of(
            "proto/methods.def"), re.M)
        rows = re.findall(r"^\| (\d+) \| (\w+) \| `\w+Request`", PAGE, re.M)
        self.assertEqual([(i, name.lower()) for i, name in rows], methods)

    def test_codes(self):
        codes = re.findall(r"^CODE\((\d+), (\w+)\)", text_of(
            "proto/codes.def"), re.M)
        self.assertEqual(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", PAGE, re.M),
                         codes)

    def test_limits_are_options(self):
        help_text = nibble_test.run(nibble_test.NIBBLED, "--help").stdout
        flags = re.findall(r"`(--[a-z-]+)`", PAGE)
        self.assertGreater(len(flags), 10)
        for flag in flags:
            self.assertIn("  %s " % flag, help_text)

    def test_fields(self):
        schema = text_of("proto/nibble.proto")
        fields = set(re.findall(r"^  (?:repeated )?\w+ (\w+) = \d+;", schema,
                                re.M))
        self.assertGreater(len(fields), 30)
        for field in fields - set(re.findall(r"`(\w+)`", PAGE)):
            self.fail("PROTOCOL.md does not name the field " + field)


if __name__ == "__main__":
    nibble_test.main()
