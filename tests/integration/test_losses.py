# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What quantizing may lose, against greedy search at the same bytes a row; and
that quant/LOSSES.md says what the program says."""

import sys

import nibble_test

sys.path.insert(0, "scripts")
import loss_tables  # noqa: E402


def document():
    with open("quant/LOSSES.md", encoding="utf-8") as file:
        return file.read().splitlines()


class Losses(nibble_test.TestCase):
    def test_gaussian_rows_meet_the_goals(self):
        lines = list(loss_tables.goals(nibble_test.NIBBLE))
        self.assertEqual(len(lines), 2 + len(loss_tables.GOALS))
        for line in lines[2:]:
            self.assertIn("| met |", line)
            self.assertIn(line, document())

    def test_trained_vectors_lose_half(self):
        lines = list(loss_tables.glove(nibble_test.NIBBLE))
        best = [line for line in lines if "q4-shared8+scale" in line]
        change = float(best[0].split("|")[5].strip(" %"))
        self.assertLessEqual(change, -50)
        for line in lines:
            self.assertIn(line, document())


if __name__ == "__main__":
    nibble_test.main()
