# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The command line itself: help, wrong usage, exit status, one line of error."""

import os
import re
import subprocess
import unittest

import numpy

import nibble_test
from nibble_test import nibble, scratch_path

COMMANDS = ["quantize", "inspect", "verify", "eval", "export", "publish",
            "pin", "lookup", "pool", "status", "help", "version"]
# Enough of each command to get to the option that is wrong.
QUANTIZE = ["quantize", "--input", "in", "--output", "out"]
PUBLISH = ["publish", "--repo", "r", "--model", "m"]
COMPARE = ["eval", "--against", "a", "--compare"]
PIN = ["pin", "--repo", "r", "--model", "m"]
LOOKUP = ["lookup", "--table", "t"]
POOL = ["pool", "--table", "t"]

WRONG = [
    ([], "no command"),
    (["frobnicate"], "no command 'frobnicate'"),
    (["help", "frobnicate"], "no command 'frobnicate'"),
    (["help", "eval", "now"], "'now' is one operand too many"),
    (["help", "eval", "pin"], "'pin' is one operand too many"),
    (["version", "now"], "one operand too many"),
    (["inspect"], "no FILE.nbt"),
    (["inspect", "a", "b"], "one operand too many"),
    (["verify", "--fast", "a"], "no option '--fast'"),
    (["verify", "-x", "a"], "no option"),
    (["verify", "--help=x", "a"], "no option"),
    (PUBLISH, "no TABLE=FILE.nbt given"),
    (PUBLISH + ["user.nbt"], "'user.nbt' is not TABLE=FILE.nbt"),
    (PUBLISH + ["a=x", "=user.nbt"], "'=user.nbt' is not TABLE=FILE.nbt"),
    (PUBLISH + ["user="], "'user=' is not TABLE=FILE.nbt"),
    (PUBLISH + ["--version", "0", "a=x"], "--version: '0' is not a whole"),
    (PUBLISH + ["--keep", "0", "a=x"], "--keep: '0' is not a whole number"),
    (["publish", "--model", "m", "a=x"], "--repo is missing"),
    (["publish", "--repo", "r", "a=x"], "--model is missing"),
    (PIN, "one of --version and --latest, not none"),
    (PIN + ["--latest", "--version", "1"], "not both"),
    (PIN + ["--version", "x"], "--version: 'x' is not a whole number from 1"),
    (PIN + ["--latest", "m"], "one operand too many"),
    (PIN + ["--version", "1", "--version", "2"], "--version is given twice"),
    (["quantize", "in", "--output", "out"],
     "'in' is one operand too many: is it --input FILE?"),
    (["eval", "a"], "--against is missing"),
    (["eval", "a", "--against"], "--against needs a value"),
    (["export", "a", "--output", "b"], "--format is missing"),
    (["export", "a", "--output", "b", "--format", "hdf5"],
     "--format: no 'hdf5', there is npy"),
    (["quantize", "--output", "a"], "--input is missing"),
    (QUANTIZE + ["--codec", "q3"], "--codec: no 'q3', there is auto, q4"),
    (QUANTIZE + ["--search", "best"], "--search: no 'best', there is asym"),
    (QUANTIZE + ["--format", "csv"], "--format: no 'csv', there is auto, npy"),
    (QUANTIZE + ["--scales", "fp8"], "--scales: no 'fp8', there is auto, fp16"),
    (QUANTIZE + ["--codec", "fp32", "--scales", "fp16"],
     "--scales: codec fp32 is fp32 only"),
    (QUANTIZE + ["--codec", "q8", "--search", "asym"],
     "--search: codec q8 has no range to search for"),
    (QUANTIZE + ["--codebooks", "65536"], "--codebooks: '65536'"),
    (QUANTIZE + ["--codec", "auto", "--codebooks", "8"],
     "--codebooks: with --codec auto"),
    (QUANTIZE + ["--codec", "q4", "--codebooks", "5"],
     "--codebooks: codec q4 cannot have 5"),
    (QUANTIZE + ["--codec", "q4", "--keys", "text", "--protect", "w:0.5"],
     "--protect: not together with --keys"),
    (QUANTIZE + ["--format", "raw"], "--dim is missing"),
    (["eval", "a", "--against", "a", "--format", "raw"], "--dim is missing"),
    (COMPARE + ["bogus"], "--compare: no codec or search called 'bogus'"),
    (COMPARE + ["asym,q4/foo"], "--compare: no codec or search called 'q4/foo'"),
    (COMPARE + ["q8/asym"], "--compare: no codec or search called 'q8/asym'"),
    (COMPARE + ["asym,"], "--compare: no codec or search called ''"),
    (PUBLISH + ["w=x", "v=x", "w=y"], "table 'w' is given twice"),
    (["publish", "--repo", "r", "--model", "a/b", "w=x"], "--model: 'a/b'"),
    (["publish", "--repo", "r", "--model", "", "w=x"], "--model: ''"),
    (QUANTIZE + ["--nan", "ignore"], "--nan: no 'ignore', there is refuse"),
    (QUANTIZE + ["--unseen", "one"], "--unseen: 'one'"),
    (QUANTIZE + ["--unseen", "row:"], "--unseen: 'row:'"),
    (QUANTIZE + ["--unseen", "row:-1"], "zero, row:N or error"),
    (QUANTIZE + ["--threads", "2x"], "--threads: '2x' is not a whole number"),
    (QUANTIZE + ["--threads", "-1"], "--threads: '-1'"),
    (QUANTIZE + ["--threads", ""], "--threads: ''"),
    (QUANTIZE + ["--threads", "18446744073709551617"], "from 0 to 1024"),
    (LOOKUP, "one of --ids, --ids-file and --keys"),
    (LOOKUP + ["--ids", "1", "--ids-file", "f"], "one of --ids, --ids-file and --keys"),
    (LOOKUP + ["--ids", "1", "--keys", "f"], "one of --ids, --ids-file"),
    (LOOKUP + ["--keys", "a,,b"], "--keys: word 2 is empty"),
    (LOOKUP + ["--keys", ""], "--keys: word 1 is empty"),
    (LOOKUP + ["--keys", "a\\"], "after the last backslash"),
    (LOOKUP + ["--ids", "1,x"], "item 2, 'x'"),
    (LOOKUP + ["--ids", "1,,2"], "item 2, ''"),
    (LOOKUP + ["--ids", "1,"], "item 2, ''"),
    (LOOKUP + ["--ids", ",1"], "item 1, ''"),
    (LOOKUP + ["--ids", "-1"], "item 1, '-1'"),
    (LOOKUP + ["--ids", "+1"], "item 1, '+1'"),
    (LOOKUP + ["--ids", "1.5"], "item 1, '1.5'"),
    (LOOKUP + ["--ids", "18446744073709551616"], "below 2^64"),
    (LOOKUP + ["--ids", "1", "--dtype", "fp64"], "there is fp32, fp16, bf16"),
    (LOOKUP + ["--ids", "1", "--timeout-ms", "0"], "from 1 to"),
    (["lookup", "--ids", "1"], "--table is missing"),
    (POOL, "one of --bags and --keys"),
    (POOL + ["--bags", "1", "--keys", "a"], "one of --bags and --keys"),
    (POOL + ["--keys", "a;b,;"], "--keys: word 3 is empty"),
    (POOL + ["--bags", "1;2,;3"], "--bags: item 3, ''"),
    (POOL + ["--bags", "1", "--mode", "median"], "there is sum, mean, max"),
    (POOL + ["--bags", "1", "--dtype", "packed"], "no 'packed'"),
    (POOL + ["--bags", "1", "--weights", "1", "--mode", "max"], "takes none"),
    (POOL + ["--bags", "1;2", "--weights", "1"], "1 bags of weights for 2"),
    (POOL + ["--bags", "1,2;3", "--weights", "1;2"], "bag 0 has 2 ids"),
    (POOL + ["--bags", "1;2", "--weights", "1;2,3"], "bag 1 has 1 ids"),
    (POOL + ["--bags", "1", "--weights", "1kg"], "'1kg', is not a number"),
    (POOL + ["--bags", "1", "--weights", "1e99"], "'1e99', is not a number"),
    (["status", "here"], "one operand too many"),
]


class Usage(unittest.TestCase):
    def test_wrong_usage_is_one_line_and_status_2(self):
        for arguments, words in WRONG:
            with self.subTest(" ".join(arguments)):
                done = nibble(*arguments, check=False)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertIn(words, done.stderr)
                if arguments and arguments[0] in COMMANDS:
                    self.assertTrue(
                        done.stderr.startswith("nibble " + arguments[0]))

    def test_errors_name_what_is_wrong(self):
        """The input at fault, not the output."""
        def written(text):
            path = scratch_path(".txt")
            with open(path, "w") as file:
                file.write(text)
            return path
        five = written("".join("w%d %d 1\n" % (i, i) for i in range(5)))
        words = written("a 1 2\nb 3 4\na 5 6\n")
        keys = scratch_path(".npy")
        numpy.save(keys, numpy.array([1, 2, 3, 2, 5], "u8"))
        three, seven = [written("1\n" * n) for n in (3, 7)]
        for source, options, culprit, told in (
                (words, ["--keys", "text"], words, "'a' stands twice"),
                (five, ["--keys", keys], keys, "key 2 stands twice, in rows 1 "
                 "and 3"),
                (five, ["--protect", three + ":0.5"], three, "3 weights"),
                (five, ["--protect", three + ":0.5"], five, "more rows"),
                (five, ["--protect", seven + ":0.5"], seven, "7 weights"),
                (five, ["--unseen", "row:5"], five, "row 5 for unseen ids, of "
                 "5 rows")):
            with self.subTest(options=options):
                output = scratch_path(".nbt")
                done = nibble("quantize", "--codec", "q4", "--input", source,
                              "--output", output, *options, check=False)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertIn(culprit, done.stderr)
                self.assertIn(told, done.stderr)
                self.assertNotIn(output, done.stderr)

    def test_directories_that_are_no_version(self):
        repo = scratch_path(".repo")
        os.mkdir(repo)
        table = nibble_test.table(nibble_test.random_rows(3, 4))
        for version in "9", "10":
            nibble("publish", "--repo", repo, "--model", "m", "--version",
                   version, "t=" + table)
        empty = scratch_path(".d")
        os.mkdir(empty)
        for command in "inspect", "verify":
            for path, told in ((repo, "a repository, give a version of a "
                                "model: %s/m/10" % repo),
                               (repo + "/m", "give a version: %s/m/10" % repo),
                               (empty, "manifest.json")):
                done = nibble(command, path, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(told, done.stderr)

    def test_help_lists_the_commands(self):
        for arguments in (["help"], ["--help"], ["-h"], ["help", "help"],
                          ["help", "--help"], ["help", "-h"]):
            done = nibble(*arguments)
            for command in COMMANDS:
                self.assertIn("\n  %s " % command, done.stdout)
            self.assertEqual(done.stderr, "")

    def test_help_of_a_command_teaches(self):
        for command in COMMANDS:
            if command == "help":
                continue
            done = nibble(command, "--help")
            self.assertTrue(done.stdout.startswith("Usage: nibble " + command))
            self.assertIn("Example:\n  nibble " + command, done.stdout)
            self.assertEqual(nibble("help", command).stdout, done.stdout)
            self.assertLessEqual(
                max(len(line) for line in done.stdout.split("\n")), 80)

    def test_the_manual_page_has_every_option(self):
        page = nibble("--man").stdout
        self.assertTrue(page.startswith(".TH NIBBLE 1 "))
        self.assertNotRegex(page, r"(?m)^'")
        for command in COMMANDS + ["bench"]:
            if command == "help":
                continue
            begin = page.index("\n.SS nibble " + command)
            part = page[begin:page.find("\n.S", begin + 1)]
            for option in re.findall(r"(?m)^  --([a-z0-9-]+)",
                                     nibble(command, "--help").stdout):
                self.assertIn("\n\\fB\\-\\-" + option.replace("-", "\\-") +
                              "\\fR", part)

    def test_version(self):
        for word in ("version", "--version"):
            self.assertRegex(nibble(word).stdout,
                             r"^nibble \d+\.\d+\.\d+, \w+ kernels\n$")

    def test_unknown_instruction_set(self):
        done = nibble("version", check=False, env={"NB_ISA_DISABLE": "mmx"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("mmx", done.stderr)
        done = nibble("version", env={"NB_ISA_DISABLE": "avx512,avx2,neon"})
        self.assertIn("scalar kernels", done.stdout)

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([nibble_test.NIBBLE, "help"], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output: cannot write: No space left",
                      done.stderr)


if __name__ == "__main__":
    nibble_test.main()
