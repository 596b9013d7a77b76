#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes greedy_rows.txt: rows encoded by a slow oracle of the asym and greedy
searches, independent of the C sources. Run from the root of the tree:

    tests/golden/make_greedy.py > tests/golden/greedy_rows.txt

The oracle restates PyTorch's choose_qparams_optimized(200 bins, ratio 0.16)
and its 4-bit packing in numpy: elementwise fp32 operations, one rounding each;
sums by cumsum, which adds in order; fp16 by numpy's own conversion.
"""

import numpy as np

F = np.float32
GLOVE = "tests/data/glove-6B-50d-head.txt"
HEADER = """\
# Rows encoded by the numpy oracle of make_greedy.py (its numpy: %s).
#   row SCALES ASYM GREEDY VALUE...   values as the bits of an fp32, in hex
#   glove SCALES ASYM GREEDY INDEX    a row of %s
# ASYM and GREEDY are the q4 row, in hex, that the search of that name gives.
"""


def store(value, scales):
    return F(np.float16(value)) if scales == "fp16" else F(value)


def scale_of(bias, hi, scales):
    width = F(hi - bias)
    return F(1) if width == 0 else store(F(width / F(15)), scales)


def codes_of(x, bias, inverse):
    with np.errstate(all="ignore"):
        t = np.nan_to_num(np.rint((x - bias) * inverse), nan=0.0)
    return np.clip(t, F(0), F(15)).astype(F)


def loss(x, lo, hi, scales):
    bias = store(lo, scales)
    scale = scale_of(bias, hi, scales)
    inverse = F(1) if scale == 0 else F(1) / scale
    error = x - (codes_of(x, bias, inverse) * scale + bias)
    return np.sqrt(np.cumsum(error * error, dtype=F)[-1])


def ends(x):
    return x[x.argmin()], x[x.argmax()]  # the first, if a zero has two signs


def asym(x, scales):
    return ends(x)


def greedy(x, scales):
    best_lo, best_hi = lo, hi = ends(x)
    step = F(F(hi - lo) / F(200))
    width = F(F(int(200 * (1.0 - float(F(0.16))))) * step)
    best = now = loss(x, lo, hi, scales)
    while F(lo + width) < hi:
        left = loss(x, F(lo + step), hi, scales)
        right = loss(x, lo, F(hi - step), scales)
        if now < left and now < right and now < best:
            best, best_lo, best_hi = now, lo, hi
        if left < right:
            lo, now = F(lo + step), left
        else:
            hi, now = F(hi - step), right
    return best_lo, best_hi


def encode(x, search, scales):
    lo, hi = search(x, scales)
    bias = store(lo, scales)
    scale = scale_of(bias, hi, scales)
    with np.errstate(all="ignore"):
        inverse = F(1) / scale
    if scale == 0 or np.isinf(inverse):
        scale = inverse = F(1)
    codes = codes_of(x, bias, inverse).astype(np.uint8)
    codes = np.append(codes, np.zeros(len(codes) % 2, np.uint8))
    packed = codes[0::2] | codes[1::2] << 4
    kind = np.float16 if scales == "fp16" else np.float32
    return packed.tobytes() + kind(scale).tobytes() + kind(bias).tobytes()


def both(x, scales):
    return "%s %s" % (encode(x, asym, scales).hex(),
                      encode(x, greedy, scales).hex())


def made_rows(rng):
    for dim in (1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 65):
        yield rng.standard_normal(dim)
    yield rng.laplace(size=100)
    yield rng.standard_t(3, size=49)
    yield np.full(9, 0.3)
    yield np.full(9, -0.3)
    yield np.full(6, 1e-9)
    yield [-0.0, 0.0, 1.0]
    yield [0.0, -0.0, 1.0]
    yield rng.choice([-1.0, 0.25, 3.0], 21)
    yield 1.0 + rng.standard_normal(21) * 1e-4
    yield rng.standard_normal(21) * 1e-6
    yield rng.standard_normal(21) * 3e-8
    yield rng.uniform(-65504, 65504, 21)
    yield [-65504.0, 65504.0, 1.0]
    yield np.exp(rng.standard_normal(35) * 4) * rng.choice([-1, 1], 35)


def main():
    with open(GLOVE, encoding="utf-8") as file:
        glove = np.array([line.split(" ")[1:] for line in file], F)
    print(HEADER % (np.__version__, GLOVE), end="")
    for index in range(0, len(glove), 49):
        scales = "fp32" if index % 10 == 7 else "fp16"
        print("glove", scales, both(glove[index], scales), index)
    rng = np.random.default_rng(4)
    for row in made_rows(rng):
        x = np.array(row, F)
        bits = " ".join("%08x" % bits for bits in x.view(np.uint32))
        print("row fp16", both(x, "fp16"), bits)


if __name__ == "__main__":
    main()
