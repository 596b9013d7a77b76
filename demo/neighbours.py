#!/usr/bin/env python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Asks a server for words, and compares what it says with the original.

neighbours.py ADDRESS VECTORS.txt, where the server has the table `glove` made
of VECTORS.txt. All served vectors come through `nibble lookup` and `nibble
pool`.
"""

import re
import subprocess
import sys
import tempfile

import numpy as np

WORDS = ["king", "paris", "music", "monday", "seven"]
SENTENCE = "the president of the united states said on monday"


def read_vectors(path):
    """Words and vectors, in the order of the file."""
    words, rows = [], []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, *values = line.split(" ")
            words.append(word)
            rows.append(np.array(values, dtype=np.float32))
    return words, np.array(rows)


def ask(address, command, *arguments):
    """What the server answers to a nibble command, as a matrix."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        subprocess.run(["nibble", command, "--server", address, "--table",
                        "glove", "--npy", file.name, *arguments],
                       check=True, stdout=subprocess.DEVNULL)
        return np.load(file.name)


def keys(words):
    """Words as --keys takes them."""
    return ",".join(re.sub(r"([\\,;])", r"\\\1", word) for word in words)


def nearest(rows, query, skip=(), n=5):
    """Row numbers by cosine, nearest first."""
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    order = np.argsort(-(rows @ query) / norms, kind="stable")
    return [i for i in order if i not in skip][:n]


def main():
    address, path = sys.argv[1:]
    words, original = read_vectors(path)
    place = {word: i for i, word in enumerate(words)}
    served = ask(address, "lookup", "--keys", keys(words), "--dtype", "packed")

    print("\n-- Look words up through the network")
    for word in WORDS[:2]:
        row = ask(address, "lookup", "--keys", keys([word]))[0]
        print("%-8s served   %s" % (word, row[:6].round(3)))
        print("%-8s original %s" % ("", original[place[word]][:6].round(3)))

    print("\n-- Nearest neighbours by cosine")
    print("%-8s %-38s  %s" % ("word", "by the served 4-bit vectors",
                              "by the original fp32 vectors"))
    shared = 0
    for word in WORDS:
        i = place[word]
        ours = nearest(served, served[i], skip=[i])
        theirs = nearest(original, original[i], skip=[i])
        shared += len(set(ours) & set(theirs))
        print("%-8s %-38s  %s" % (word, " ".join(words[j] for j in ours),
                                  " ".join(words[j] for j in theirs)))
    print("%d of %d neighbours are the same" % (shared, 5 * len(WORDS)))

    print("\n-- Pool a sentence: the mean of its words, made by the server")
    bag = SENTENCE.split()
    pooled = ask(address, "pool", "--mode", "mean", "--keys", keys(bag))[0]
    mean = original[[place[word] for word in bag]].mean(axis=0)
    cosine = pooled @ mean / np.linalg.norm(pooled) / np.linalg.norm(mean)
    print('"%s"' % SENTENCE)
    print("cosine with the mean of the original vectors: %.4f" % cosine)
    print("nearest words: " +
          " ".join(words[j] for j in nearest(served, pooled)))


if __name__ == "__main__":
    main()
