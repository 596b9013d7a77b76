#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes embedding_bag_4bit.txt: 4-bit rows and sums of bags of them, as
PyTorch's embedding_bag_4bit operator computes them. It stands in for PyTorch,
which is not needed to run this. Run from the root of the tree:

    tests/golden/make_embedding_bag.py > tests/golden/embedding_bag_4bit.txt

Rows are packed as embedding_bag_4bit_prepack does without its search: minimum
to fp16, range over 15 to fp16, codes to nearest. A bag's sum runs over its rows
in order, in fp32, with one rounding a step:

    acc = fma(weight * scale, code, acc + weight * bias)
"""

import numpy as np

F = np.float32
GLOVE = "tests/data/glove-6B-50d-head.txt"
ROWS = range(0, 2444, 97)
SIZES = [0, 1, 1, 2, 3, 5, 19, 20, 21, 64]
HEADER = """\
# Computed by make_embedding_bag.py in place of PyTorch's embedding_bag_4bit.
#   row HEX                    one fused row of dim 50: codes, scale, bias
#   bag IDS WEIGHTS SUMS       comma lists; weights ('-': none) and sums are the
#                              bits of fp32 values, in hex; '.' is an empty list
"""


def pack(x):
    low = F(np.float16(x.min()))
    scale = F(np.float16(F(x.max() - low) / F(15)))
    codes = np.clip(np.rint((x - low) / scale), 0, 15).astype(np.uint8)
    fused = codes[0::2] | codes[1::2] << 4
    return fused.tobytes() + np.float16(scale).tobytes() + \
        np.float16(low).tobytes()


def unpack(row):
    packed = np.frombuffer(row[:-4], np.uint8)
    codes = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)
    scale, bias = np.frombuffer(row[-4:], np.float16).astype(F)
    return codes.astype(F), scale, bias


def fma(a, b, c):
    # The product of two fp32 is exact in fp64.
    return (np.float64(a) * b.astype(np.float64) + c).astype(F)


def pool(rows, ids, weights):
    acc = np.zeros(50, F)
    for row, weight in zip(ids, weights):
        codes, scale, bias = unpack(rows[row])
        acc = fma(F(weight * scale), codes, acc + F(weight * bias))
    return acc


def hexes(values):
    bits = np.asarray(values, F).view(np.uint32)
    return ",".join("%08x" % b for b in bits) or "."


def main():
    with open(GLOVE, encoding="utf-8") as file:
        glove = np.array([line.split(" ")[1:] for line in file], F)
    rows = [pack(glove[i]) for i in ROWS]
    rng = np.random.default_rng(11)
    print(HEADER, end="")
    for row in rows:
        print("row", row.hex())
    for weighted in (False, True):
        for size in SIZES:
            ids = rng.integers(0, len(rows), size)
            weights = np.ones(size, F)
            if weighted:
                weights = (rng.standard_normal(size) * 2).astype(F)
            print("bag", ",".join(map(str, ids)) or ".",
                  hexes(weights) if weighted else "-",
                  hexes(pool(rows, ids, weights)))


if __name__ == "__main__":
    main()
