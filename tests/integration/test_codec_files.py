# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""The golden file of each codec, decoded by what storage/FORMAT.md says and
nothing else, beside the rows that nibble exports."""

import struct

import numpy

import nibble_test

F4 = numpy.float32
U4 = numpy.uint32
FIELDS = ("n_rows", "stride", "dim", "codec", "scales", "n_sections")
ROWS, PARAMETERS = 1, 3


class File:
    def __init__(self, name):
        with open(f"tests/golden/codec_{name}.nbt", "rb") as file:
            data = file.read()
        fields = dict(zip(FIELDS, struct.unpack_from("<QQIIII", data, 32)))
        self.dim = fields["dim"]
        self.number = "<f2" if fields["scales"] == 0 else "<f4"
        sections = {}
        for i in range(fields["n_sections"]):
            kind, _, offset, length, _ = struct.unpack_from(
                "<IIQQQ", data, 80 + 32 * i)
            sections[kind] = data[offset:offset + length]
        self.rows = numpy.frombuffer(sections[ROWS], "u1").reshape(
            fields["n_rows"], fields["stride"])
        if PARAMETERS in sections:
            self.codebooks = codebooks(sections[PARAMETERS])

    def codes(self):
        n = (self.dim + 1) // 2
        codes = numpy.empty((len(self.rows), 2 * n), U4)
        codes[:, 0::2] = self.rows[:, :n] & 15
        codes[:, 1::2] = self.rows[:, :n] >> 4
        return codes[:, :self.dim]

    def numbers(self, offset, kind):
        return self.rows[:, offset:].copy().view(kind)

    def scale_and_bias(self, offset):
        numbers = self.numbers(offset, self.number).astype(F4)
        return numbers[:, :1], numbers[:, 1:2]


def codebooks(section):
    parts, n_codebooks, n_levels, _ = struct.unpack_from("<4I", section)
    assert parts == 4
    return numpy.frombuffer(section, "<f4", offset=16).reshape(
        n_codebooks, n_levels)


def q4(file):
    scale, bias = file.scale_and_bias((file.dim + 1) // 2)
    return scale * file.codes().astype(F4) + bias


def q8(file):
    scale, bias = file.scale_and_bias(file.dim)
    return scale * file.rows[:, :file.dim].astype(F4) + bias


def values(file):
    return file.numbers(0, file.number).astype(F4)


def fp32_values(file):
    return file.numbers(0, "<f4")


def kmeans(file):
    levels = file.numbers((file.dim + 1) // 2, file.number).astype(F4)
    return numpy.take_along_axis(levels, file.codes(), axis=1)


def kmeans2(file):
    number = file.numbers((file.dim + 1) // 2, "<u2")[:, 0].astype(int)
    n_codebooks = len(file.codebooks)
    last = (number == 0) | (number > n_codebooks)
    books = file.codebooks[numpy.where(last, n_codebooks, number) - 1]
    return numpy.take_along_axis(books, file.codes(), axis=1)


def shared(file):
    scale, bias = file.scale_and_bias((file.dim + 1) // 2)
    return scale * file.codebooks[0][file.codes()] + bias


def shared8(file):
    bits = file.numbers((file.dim + 1) // 2, "<u2")[:, 0]
    books = file.codebooks[bits >> 15 << 2 | bits & 3]
    scale = (bits & 0x7ffc).astype("<u2").view("<f2").astype(F4)[:, None]
    _, bias = file.scale_and_bias((file.dim + 1) // 2)
    return scale * numpy.take_along_axis(books, file.codes(), axis=1) + bias


def trellis(file):
    scale, bias = file.scale_and_bias((file.dim + 1) // 2)
    codes = file.codes()
    u, n = codes & 1, codes >> 1
    before = numpy.pad(u, ((0, 0), (3, 0)))
    u1, u2, u3 = (before[:, 3 - k:file.dim + 3 - k] for k in (1, 2, 3))
    level = file.codebooks[0][4 * n + 2 * (u ^ u1 ^ u3) + u2]
    return scale * level + bias


DECODERS = {
    "q4": q4, "q8": q8, "fp16": values, "fp32": fp32_values,
    "q4-kmeans": kmeans, "q4-kmeans2": kmeans2, "q4-shared": shared,
    "q4-shared8": shared8, "q4-trellis": trellis,
}


class CodecFiles(nibble_test.TestCase):
    def test_rows_are_as_documented(self):
        for name, decode in DECODERS.items():
            with self.subTest(codec=name):
                expected = decode(File(name))
                rows = nibble_test.exported(f"tests/golden/codec_{name}.nbt")
                self.assertEqual(rows.shape, (40, 9))
                self.assertEqual(expected.dtype, F4)
                self.assertEqual(rows.tobytes(), expected.tobytes())

    def test_rows_are_near_the_source(self):
        source = numpy.loadtxt("tests/golden/codecs.txt", F4,
                               usecols=range(1, 10))
        for name in DECODERS:
            with self.subTest(codec=name):
                rows = nibble_test.exported(f"tests/golden/codec_{name}.nbt")
                loss = numpy.linalg.norm(rows - source)
                self.assertLess(loss, 0.1 * numpy.linalg.norm(source))


if __name__ == "__main__":
    nibble_test.main()
