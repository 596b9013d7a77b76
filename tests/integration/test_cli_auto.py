# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""nibble quantize --codec auto."""

import itertools
import json
import unittest

import numpy

import nibble_test
from nibble_test import nibble, scratch_path

GLOVE = "tests/data/glove-6B-50d-head.txt"


def quantize(source, *options):
    """The report of an automatic choice, and the file."""
    output = scratch_path(".nbt")
    done = nibble("quantize", "--input", source, "--output", output, "--json",
                  *options)
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout), output


def saved(rows):
    source = scratch_path(".npy")
    numpy.save(source, rows)
    return source


def few_words():
    """Real rows, but a quarter of them: trying all takes seconds."""
    source = scratch_path(".txt")
    with open(GLOVE) as rows, open(source, "w") as few:
        few.writelines(itertools.islice(rows, 600))
    return source


def greedy_nl2(source):
    output = scratch_path(".nbt")
    done = nibble("quantize", "--codec", "q4", "--search", "greedy", "--input",
                  source, "--output", output, "--json")
    return json.loads(done.stdout)["nl2"]


class AutoTest(unittest.TestCase):
    def test_the_least_loss_of_the_tried(self):
        report, path = quantize(GLOVE)
        auto = report["auto"]
        chosen = auto["candidates"][auto["chosen"]]
        eligible = [one["nl2"] for one in auto["candidates"]
                    if (one["bytes_per_row"] + one["table_bytes"] / 2444) / 50 <=
                    auto["max_bytes_per_value"]]
        self.assertLessEqual(chosen["nl2"], 1.002 * min(eligible))
        self.assertEqual(auto["tried"], len(auto["candidates"]))
        self.assertEqual(auto["loss"], chosen["nl2"])
        self.assertEqual(report["codec"], chosen["codec"])
        self.assertEqual(report["search"], chosen["search"])
        self.assertEqual(report["scales"], chosen["scales"])
        self.assertEqual(report["columns"], chosen["columns"])
        self.assertLess(report["nl2"], .57 * auto["loss_of_greedy"])
        # Tried on all rows, the loss is that of the table.
        self.assertEqual(auto["sample_rows"], 2444)
        self.assertEqual(report["nl2"], auto["loss"])
        self.assertEqual(auto["loss_of_greedy"], greedy_nl2(GLOVE))
        self.assertLessEqual(report["nl2"], auto["loss_of_greedy"])
        nibble("verify", path)

    def test_a_file_like_any_other(self):
        report, path = quantize(GLOVE)
        same = scratch_path(".nbt")
        options = ["--search", report["search"]] if report["search"] else []
        nibble("quantize", "--codec", report["codec"], "--scales",
               report["scales"], "--columns", report["columns"], "--input",
               GLOVE, "--output", same, *options)
        self.assertEqual(nibble_test.exported(path).tolist(),
                         nibble_test.exported(same).tolist())

    def test_what_is_given_is_not_chosen(self):
        source = saved(nibble_test.random_rows(50, 8))
        for options in (["--search", "greedy"], ["--scales", "fp16"],
                        ["--columns", "none"]):
            report, _ = quantize(source, *options)
            self.assertEqual(report["codec"], "q4")
            self.assertEqual(report["search"], "greedy")
            self.assertEqual(report["columns"], "none")
            self.assertNotIn("auto", report)

    def test_never_worse_than_greedy(self):
        rng = numpy.random.default_rng(7)
        gauss = nibble_test.random_rows(600, 12)
        for rows in (
                gauss, gauss[:1], gauss[:, :1], gauss ** 3,
                numpy.round(gauss * 4), numpy.ones((40, 5)),
                gauss * rng.lognormal(0, 3, (600, 1)),
                gauss + 100 * numpy.arange(12),
                rng.standard_t(2, (200, 33)), rng.random((200, 7)) ** 9):
            source = saved(rows.astype(numpy.float32))
            report, _ = quantize(source)
            self.assertLessEqual(report["nl2"], greedy_nl2(source))

    def test_the_file_says_how_it_was_chosen(self):
        report, path = quantize(GLOVE, "--objective", "pooled")
        recorded = json.loads(
            nibble("inspect", path, "--json").stdout)["metadata"]["auto"]
        for key in ("objective", "weighted", "max_bytes_per_value", "tried",
                    "sample_rows", "loss", "loss_of_greedy"):
            self.assertEqual(recorded[key], report["auto"][key], key)
        self.assertEqual(recorded["objective"], "pooled")
        plain = nibble_test.table(nibble_test.random_rows(3, 4))
        self.assertNotIn("auto", json.loads(
            nibble("inspect", plain, "--json").stdout)["metadata"])

    def test_the_same_file_every_time(self):
        files = []
        source = few_words()
        for threads in ("1", "3", "1"):
            _, path = quantize(source, "--threads", threads)
            with open(path, "rb") as file:
                files.append(file.read())
        self.assertEqual(files[0], files[1])
        self.assertEqual(files[0], files[2])

    def test_chosen_on_a_sample_it_is_not_worse_on_the_whole(self):
        rng = numpy.random.default_rng(4)
        for rows in (rng.standard_normal((9000, 16)),
                     rng.standard_t(3, (9000, 16)),
                     rng.standard_normal((9000, 16)) * numpy.arange(1, 17) + 3):
            source = saved(rows.astype("f4"))
            report, _ = quantize(source)
            self.assertEqual(report["auto"]["sample_rows"], 4096)
            self.assertLess(report["nl2"], greedy_nl2(source))
            self.assertLess(abs(report["nl2"] / report["auto"]["loss"] - 1),
                            0.1)

    def test_in_words(self):
        done = nibble("quantize", "--codec", "auto", "--input", GLOVE,
                      "--output", scratch_path(".nbt"), "--objective", "mse")
        self.assertIn("of up to 0.5916 bytes a value for the least loss of rows",
                      done.stdout)
        marked = [line.split() for line in done.stdout.split("\n")
                  if line.endswith("<- chosen")]
        self.assertEqual(len(marked), 1)
        self.assertIn("codec %s" % marked[0][0], done.stdout)

    def test_what_is_over_the_budget_is_marked(self):
        """Rows that fit, with what a small table's rows share do not."""
        source = saved(nibble_test.random_rows(40, 16))
        report, _ = quantize(source)
        auto = report["auto"]
        over = [one for one in auto["candidates"] if "error" not in one and
                (one["bytes_per_row"] + one["table_bytes"] / 40) / 16 >
                auto["max_bytes_per_value"]]
        self.assertGreater(len(over), 0)
        text = nibble("quantize", "--codec", "auto", "--input", source,
                      "--output", scratch_path(".nbt")).stdout
        self.assertEqual(text.count("  over budget\n"), len(over), text)

    def test_budget(self):
        source = few_words()
        report, _ = quantize(source, "--max-bytes-per-value", "1.17")
        self.assertEqual(report["codec"], "q8")
        report, _ = quantize(source, "--max-bytes-per-value", "1.15")
        self.assertNotEqual(report["codec"], "q8")
        # Those that leave columns as they are stay in the race.
        report, _ = quantize(source, "--max-bytes-per-value", "2")
        tried = {one["codec"] for one in report["auto"]["candidates"]}
        self.assertIn("fp16", tried)
        report, _ = quantize(source, "--max-bytes-per-value", "5")
        self.assertEqual((report["codec"], report["nl2"]), ("fp32", 0))
        done = nibble("quantize", "--codec", "auto", "--input", source,
                      "--output", scratch_path(".nbt"),
                      "--max-bytes-per-value", "0.3", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("0.3 bytes a value", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_weights(self):
        counts = scratch_path(".txt")
        with open(counts, "w") as lines:
            lines.writelines("%d\n" % (1e6 / (i + 1)) for i in range(2444))
        report, _ = quantize(GLOVE, "--weights", counts)
        self.assertTrue(report["auto"]["weighted"])
        self.assertNotEqual(report["auto"]["loss"], report["nl2"])
        self.assertLessEqual(report["auto"]["loss"],
                             report["auto"]["loss_of_greedy"])
        done = nibble("quantize", "--codec", "auto", "--input", GLOVE,
                      "--output", scratch_path(".nbt"), "--weights",
                      "/no/such", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such", done.stderr)

    def test_a_value_that_only_the_whole_has(self):
        rows = nibble_test.random_rows(9000, 16)
        rows[4000, 3] = 1e6
        report, _ = quantize(saved(rows))
        self.assertEqual(report["scales"], "fp32")

    def test_values_too_small_for_fp16(self):
        rng = numpy.random.default_rng(3)
        rows = rng.standard_normal((300, 32)).astype(numpy.float32)
        source = saved(rows * numpy.float32(1e-7))
        report, _ = quantize(source)
        self.assertLess(report["nl2"], 0.1)
        self.assertEqual(report["rows_lost"], 0)
        told, _ = quantize(source, "--codec", "q4")
        self.assertGreater(told["rows_lost"], 0)
        output = scratch_path(".nbt")
        text = nibble("quantize", "--input", source, "--output", output,
                      "--codec", "q4").stdout
        self.assertIn("lost, zeros would be nearer: too small for fp16", text)
        told, _ = quantize(source, "--codec", "q4", "--scales", "fp32")
        self.assertEqual(told["rows_lost"], 0)
        # A row of noise does not change the scales of a table.
        rows[7] *= numpy.float32(1e-7)
        report, _ = quantize(saved(rows))
        self.assertEqual(report["scales"], "fp16")

    def test_values_that_are_not_finite(self):
        rows = nibble_test.random_rows(100, 16)
        rows[50, 3] = numpy.nan
        source = saved(rows)
        done = nibble("quantize", "--codec", "auto", "--input", source,
                      "--output", scratch_path(".nbt"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("row 50", done.stderr)
        report, _ = quantize(source, "--nan", "zero")
        self.assertEqual(report["nonfinite_zeroed"], 1)

    def test_keys_and_unseen_are_checked_before_the_choice(self):
        # Of bytes that no codec can do with: to choose first would fail.
        none = ["--max-bytes-per-value", "0.01"]
        rows = saved(nibble_test.random_rows(5, 4))
        few = saved(numpy.arange(4, dtype="u8"))
        floats = saved(numpy.arange(5, dtype="f8"))
        text = few_words()
        for source, options, words in (
                (rows, ["--keys", few], "4 keys for 5 rows"),
                (text, ["--keys", few], "4 keys for 600 rows"),
                (rows, ["--keys", floats], "keys are integers"),
                (rows, ["--keys", "text"], "words"),
                (rows, ["--unseen", "row:5"] + none, "row 5 for unseen ids, of 5"),
                (text, ["--unseen", "row:600"] + none, "row 600 for unseen ids")):
            with self.subTest(options=options, source=source):
                done = nibble("quantize", "--input", source, "--output",
                              scratch_path(".nbt"), *options, check=False)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(words, done.stderr)

    def test_wrong_usage(self):
        for options, words in (
                (["--codec", "auto", "--search", "asym"], "--search: with"),
                (["--codec", "auto", "--scales", "fp32"], "--scales: with"),
                (["--codec", "auto", "--columns", "auto"], "--columns: with"),
                (["--codec", "q4", "--weights", "a"], "go with --codec auto"),
                (["--codec", "q8", "--objective", "mse"], "go with"),
                (["--max-bytes-per-value", "1", "--codec", "q4"], "go with"),
                (["--codec", "auto", "--max-bytes-per-value", "0"],
                 "'0' is not a number above 0"),
                (["--codec", "auto", "--max-bytes-per-value", "1x"], "'1x'"),
                (["--codec", "auto", "--max-bytes-per-value", "inf"], "'inf'"),
                (["--max-bytes-per-value", "1", "--keys", "text"],
                 "no bytes of --keys"),
                (["--max-bytes-per-value", "1", "--protect", "w:0.5"],
                 "no bytes of --protect"),
                (["--codec", "auto", "--objective", "speed"], "no 'speed'")):
            done = nibble("quantize", "--input", GLOVE, "--output",
                          "/no/such/a.nbt", *options, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    nibble_test.main()
