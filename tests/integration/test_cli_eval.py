# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""nibble eval: its numbers against numpy's, of a table and of candidates."""

import json
import unittest
import xml.dom.minidom

import numpy

import nibble_test
from nibble_test import nibble, scratch_path

GLOVE = "tests/data/glove-6B-50d-head.txt"
ROWS, DIM = 2444, 50
SEED = 0x6e6962626c65
M64 = 2 ** 64 - 1


def glove_rows():
    with open(GLOVE) as lines:
        return numpy.array([line.split(" ")[1:] for line in lines],
                           dtype=numpy.float32)


def mix64(index):
    z = (SEED + (index + 1) * 0x9e3779b97f4a7c15) & M64
    z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & M64
    z = ((z ^ z >> 27) * 0x94d049bb133111eb) & M64
    return z ^ z >> 31


def bag_error(x, y, size, first, n_bags):
    """Relative l2 of the bags of that size, whose ids are numbers `first` and
    following of the stream."""
    ids = numpy.array([mix64(first + i) * len(x) >> 64
                       for i in range(n_bags * size)]).reshape(n_bags, size)
    exact = x[ids].astype(float).sum(1)
    pooled = y[ids].astype(float).sum(1)
    return numpy.sqrt(((pooled - exact) ** 2).sum() / (exact ** 2).sum())


class EvalTest(unittest.TestCase):
    def test_of_a_table(self):
        x = glove_rows()
        path = nibble_test.table(x)
        done = nibble("eval", path, "--against", GLOVE, "--json")
        report = json.loads(done.stdout)
        y = nibble_test.exported(path)
        first = 0
        self.assertEqual([bag["ids"] for bag in report["bags"]], [1, 20, 100])
        for bag in report["bags"]:
            self.assertEqual(bag["bags"], 1000)
            self.assertAlmostEqual(
                bag["relative_error"],
                bag_error(x, y, bag["ids"], first, bag["bags"]), places=6)
            first += bag["bags"] * bag["ids"]
        norms = numpy.sqrt((x ** 2).sum(1) * (y ** 2).sum(1))
        cosine = numpy.sort((x * y).sum(1) / norms)
        p1 = cosine[-(-ROWS // 100) - 1]
        self.assertLess(abs(report["cosine_p1"] - p1), (1 - p1) / 200)
        self.assertGreater(report["decode_us_per_row"], 0)
        self.assertAlmostEqual(report["compression"] * report["bits_per_value"],
                               32, places=6)
        text = nibble("eval", path, "--against", GLOVE).stdout
        for words in ("or less for 1 % of the rows", "us a row", "1,000 bags",
                      " 1 id: 0.10", ", 20 ids: 0.0", ", 100 ids: 0.0"):
            self.assertIn(words, text)

    # ---- candidates -------------------------------------------------------

    def compared(self, *arguments):
        done = nibble("eval", "--compare", *arguments, "--json")
        self.assertEqual(done.stdout.count("\n"), 1)
        return json.loads(done.stdout)

    def fails(self, *arguments):
        done = nibble("eval", *arguments, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def test_all(self):
        report = self.compared("all", "--against", GLOVE)
        self.assertEqual(report["rows"], ROWS)
        self.assertEqual(report["dim"], DIM)
        self.assertEqual(report["sample_rows"], ROWS)
        self.assertFalse(report["weighted"])
        nl2 = {}
        columns = {}
        for one in report["candidates"]:
            self.assertNotIn("error", one)
            if one["columns"] == "none":
                trained = one["codec"] in ("q4-kmeans2", "q4-shared",
                                           "q4-shared8", "q4-trellis")
                self.assertEqual(one["table_bytes"] > 0, trained)
                nl2[one["codec"], one["search"]] = one["nl2"]
            else:
                self.assertGreater(one["table_bytes"], 0)
                columns[one["codec"], one["search"],
                        one["columns"]] = one["nl2"]
            self.assertAlmostEqual(
                one["change_percent"],
                100 * (one["nl2"] / one["nl2_of_greedy"] - 1), places=5)
            self.assertAlmostEqual(one["percent_of_fp32"],
                                   one["bytes_per_row"] / DIM * 25, places=6)
            self.assertGreater(one["encode_us_per_row"], 0)
            self.assertEqual([b["ids"] for b in one["bags"]], [1, 20, 100])
        # What the paper, and the arithmetic, say must hold.
        self.assertEqual(nl2["fp32", ""], 0)
        self.assertLess(nl2["fp16", ""], nl2["q8", ""])
        self.assertLess(nl2["q8", ""], nl2["q4-kmeans", ""])
        self.assertLess(nl2["q4-kmeans", ""], nl2["q4", "greedy"])
        self.assertLess(nl2["q4", "ls"], nl2["q4", "greedy"])
        self.assertLess(nl2["q4", "greedy"], nl2["q4", "asym"])
        self.assertLess(columns["q4", "greedy", "scale"],
                        .6 * nl2["q4", "greedy"])
        self.assertEqual(len([key for key in columns if key[1] == "greedy"]),
                         2)

    def test_one_is_what_the_table_is(self):
        x = glove_rows()
        path = nibble_test.table(x, "--search", "asym")
        whole = json.loads(nibble("eval", path, "--against", GLOVE,
                                  "--json").stdout)
        report = self.compared("asym", "--against", GLOVE, "--threads", "3")
        one, = report["candidates"]
        for key in ("nl2", "mse", "max_abs_error", "cosine_mean",
                    "cosine_p1"):
            self.assertEqual(one[key], whole[key])
        for size, of_table in zip(one["bags"], whole["bags"]):
            self.assertEqual(size["relative_error"],
                             of_table["relative_error"])

    def test_as_a_table_and_drawn(self):
        output = scratch_path(".svg")
        text = nibble("eval", "--compare", "all", "--against", GLOVE, "--svg",
                      output).stdout
        self.check_svg(output)
        self.assertIn("2,444 rows x 50 values", text)
        lines = [line.split() for line in text.split("\n")]
        greedy, = [line for line in lines
                   if line[:3] == ["q4", "greedy", "none"]]
        self.assertEqual(greedy[4:11],
                         ["29", "0", "14.5", "%", "0.10505", "+0.0", "%"])
        self.assertEqual(greedy[-1], "2,444")
        self.assertNotIn("sample", text)
        self.assertLessEqual(max(map(len, text.split("\n"))), 150)

    def test_sample(self):
        rows = nibble_test.random_rows(5000, 8)
        source = scratch_path(".npy")
        numpy.save(source, rows)
        first = self.compared("greedy,q8", "--against", source, "--sample",
                              "500")
        second = self.compared("greedy,q8", "--against", source, "--sample",
                               "500", "--threads", "1")
        for one, other in zip(first["candidates"], second["candidates"]):
            self.assertEqual(one["rows"], 250)  # the others are trained on
            self.assertEqual(one["nl2"], other["nl2"])
            self.assertEqual(one["bags"], other["bags"])
        # A sample tells about the whole.
        whole = self.compared("greedy", "--against", source)
        self.assertLess(abs(first["candidates"][0]["nl2"] /
                            whole["candidates"][0]["nl2"] - 1), 0.05)
        text = nibble("eval", "--compare", "greedy", "--against", source,
                      "--sample", "500").stdout
        self.assertIn("a sample of 500 rows, always the same, of 5,000 rows",
                      text)

    def test_weights(self):
        x = glove_rows()
        counts = numpy.floor(1e6 / (1 + numpy.arange(ROWS))).astype("<i8")
        weights = scratch_path(".npy")
        numpy.save(weights, counts)
        y = nibble_test.exported(nibble_test.table(x)).astype(float)
        report = self.compared("greedy", "--against", GLOVE, "--weights",
                               weights)
        self.assertTrue(report["weighted"])
        lost = (counts * ((x - y) ** 2).sum(1)).sum()
        nl2 = numpy.sqrt(lost / (counts * (x.astype(float) ** 2).sum(1)).sum())
        self.assertAlmostEqual(report["candidates"][0]["nl2"], nl2, places=9)
        text = nibble("eval", "--compare", "greedy", "--against", GLOVE,
                      "--weights", weights).stdout
        self.assertIn("losses weighted", text)
        numpy.save(weights, counts[:-1])
        self.assertIn("2443 weights", self.fails(
            "--compare", "greedy", "--against", GLOVE, "--weights", weights))

    def test_values_that_do_not_fit(self):
        rows = nibble_test.random_rows(100, 8)
        rows[3, 4] = 1e6
        rows[5, 6] = numpy.nan
        source = scratch_path(".npy")
        numpy.save(source, rows)
        report = self.compared("greedy,fp16", "--against", source)
        self.assertEqual(report["nonfinite_as_zero"], 1)
        q4, fp16 = report["candidates"]
        self.assertEqual(q4["scales"], "fp32")
        self.assertIn("does not fit", fp16["error"])
        self.assertNotIn("nl2", fp16)
        text = nibble("eval", "--compare", "greedy,fp16", "--against",
                      source).stdout
        self.assertIn("does not fit", text)
        self.assertIn("1 value that were NaN or infinite counted", text)

    def check_svg(self, output):
        svg = xml.dom.minidom.parse(output)
        shown = [title.firstChild.data
                 for title in svg.getElementsByTagName("title")]
        # Of the ways with columns only the best.
        self.assertTrue([text for text in shown
                         if text.startswith("q4 greedy scale: 29, 0.059")])
        self.assertFalse([text for text in shown if "q4 greedy:" in text])
        self.assertTrue([text for text in shown
                         if text.startswith("q8 scale: 58")])
        self.assertFalse([text for text in shown if "fp32" in text])

    def test_errors(self):
        self.assertIn("/no/such", self.fails(
            "--compare", "q8", "--against", GLOVE, "--svg", "/no/such/a.svg"))
        self.assertIn("/no/such", self.fails("--compare", "all", "--against",
                                             "/no/such"))
        self.assertIn("/no/such", self.fails(
            "--compare", "all", "--against", GLOVE, "--weights", "/no/such"))
        empty = scratch_path(".npy")
        numpy.save(empty, numpy.zeros((0, 4), "f4"))
        self.assertIn("no rows", self.fails("--compare", "all", "--against",
                                            empty))

    def test_wrong_usage(self):
        for arguments, words in (
                (["--against", "a"], "give a FILE.nbt or --compare"),
                (["a", "--against", "a", "--compare", "all"], "give either"),
                (["a", "--against", "a", "--svg", "b"], "--svg goes with"),
                (["a", "--against", "a", "--weights", "b"], "--weights goes"),
                (["--compare", "all"], "--against is missing"),
                (["--compare", "asym,zip", "--against", "a"],
                 "'zip', there is all, q4"),
                (["--compare", "all", "--against", "a", "--budget", "0"],
                 "--budget")):
            done = nibble("eval", *arguments, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    nibble_test.main()
