# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""nibble eval: its numbers against numpy's, of a table and of candidates."""

import json
import unittest

import numpy

import nibble_test
from nibble_test import nibble

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


if __name__ == "__main__":
    nibble_test.main()
