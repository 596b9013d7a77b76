# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Foreign files as other programs write them, through quantize and export; and
the script that makes one of a PyTorch checkpoint."""

import contextlib
import importlib.util
import io
import json
import os
import struct
import sys
import types
import unittest

import numpy

import nibble_test
from nibble_test import nibble, scratch_path

SCRIPT = "scripts/ckpt_to_safetensors.py"
spec = importlib.util.spec_from_file_location("ckpt_to_safetensors", SCRIPT)
ckpt = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ckpt)

# Each row has all of 0 to 15, so that 4 bits hold it as it is.
GRID = numpy.stack([numpy.roll(numpy.arange(16), i) for i in range(40)])
GRID = GRID.astype(numpy.float32)


def export(table):
    path = scratch_path(".npy")
    nibble("export", table, "--format", "npy", "--output", path)
    return numpy.load(path)


class FormatsTest(unittest.TestCase):
    def reads(self, path, format_name, *options, expected=GRID):
        """The file is told, unless options name it, and read exactly."""
        table = scratch_path(".nbt")
        done = nibble("quantize", "--input", path, "--output", table,
                      "--search", "asym", "--json", *options)
        self.assertEqual(json.loads(done.stdout)["input_format"], format_name)
        numpy.testing.assert_array_equal(export(table), expected)
        done = nibble("eval", table, "--against", path, "--json", *options)
        self.assertEqual(json.loads(done.stdout)["nl2"], 0)
        return table

    def fails(self, path, *options):
        done = nibble("quantize", "--input", path, "--output",
                      scratch_path(".nbt"), *options, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr


class ForeignFiles(FormatsTest):
    def test_npz(self):
        for save in numpy.savez, numpy.savez_compressed:
            for dtype in "<f2", "<f4", "<f8":
                path = scratch_path(".npz")
                save(path, emb=GRID.astype(dtype), ids=numpy.arange(40))
                self.reads(path, "npz")
                self.reads(path, "npz", "--tensor", "emb")
            path = scratch_path(".npz")
            save(path, user=GRID[:7], item=GRID)
            self.reads(path, "npz", "--tensor", "item")
            self.reads(path, "npz", "--tensor", "user", expected=GRID[:7])
            self.assertIn("one must be named: user, item", self.fails(path))

    def test_large_npz(self):
        """An array much larger than what is held of it at once."""
        rows = numpy.tile(GRID, (5000, 1))
        path = scratch_path(".npz")
        numpy.savez_compressed(path, emb=rows)
        self.reads(path, "npz", expected=rows)

    def test_raw(self):
        path = scratch_path(".bin")
        GRID.tofile(path)
        self.reads(path, "raw", "--format", "raw", "--dim", "16")

    def test_hps(self):
        path = scratch_path(".model")
        os.mkdir(path)
        numpy.arange(40, dtype="<i8").tofile(path + "/key")
        GRID.tofile(path + "/emb_vector")
        self.reads(path, "hps")

    def test_word2vec_binary(self):
        for end in b"\n", b"":
            path = scratch_path(".bin")
            with open(path, "wb") as file:
                file.write(b"40 16\n")
                for i, row in enumerate(GRID):
                    file.write(b"word%d " % i + row.tobytes() + end)
            self.reads(path, "word2vec-binary")

    def test_fbgemm(self):
        """What nibble exports for FBGEMM it reads again, and is the same."""
        path = scratch_path(".npy")
        numpy.save(path, GRID)
        table = self.reads(path, "npy")
        fused = scratch_path(".npy")
        nibble("export", table, "--format", "fbgemm", "--output", fused)
        rows = numpy.load(fused)
        again = self.reads(fused, "fbgemm", "--format", "fbgemm")
        nibble("export", again, "--format", "fbgemm", "--output", fused)
        numpy.testing.assert_array_equal(numpy.load(fused), rows)
        tbe = scratch_path(".npy")  # scale and bias first, rows padded
        padded = numpy.zeros((40, 16), numpy.uint8)
        padded[:, :4], padded[:, 4:12] = rows[:, 8:], rows[:, :8]
        numpy.save(tbe, padded)
        self.reads(tbe, "fbgemm-tbe", "--format", "fbgemm-tbe", "--dim", "16")

    def test_glove_out_and_in(self):
        path = scratch_path(".npy")
        numpy.save(path, GRID)
        table = self.reads(path, "npy")
        text = scratch_path(".txt")
        nibble("export", table, "--format", "glove", "--output", text)
        with open(text) as file:
            self.assertEqual(file.readline(), "0 " + " ".join(
                str(i) for i in range(16)) + "\n")
        self.reads(text, "glove")


class Safetensors(FormatsTest):
    def write(self, **tensors):
        path = scratch_path(".safetensors")
        ckpt.write_safetensors(path, tensors)
        return path

    def test_numpy_arrays(self):
        path = self.write(
            f16=ckpt.from_numpy(GRID.astype("<f2")),
            f32=ckpt.from_numpy(GRID), f64=ckpt.from_numpy(GRID.astype("<f8")),
            big=ckpt.from_numpy(GRID.astype(">f4")),
            turned=ckpt.from_numpy(numpy.asfortranarray(GRID)),
            ids=ckpt.from_numpy(numpy.arange(5)),
            mask=ckpt.from_numpy(numpy.zeros(5, bool)),
            none=ckpt.from_numpy(numpy.zeros((0, 3), "u1")))
        for name in "f16", "f32", "f64", "big", "turned":
            self.reads(path, "safetensors", "--tensor", name)
        self.assertIn("is of I64", self.fails(path, "--tensor", "ids"))
        with open(path, "rb") as file:
            length, = struct.unpack("<Q", file.read(8))
            self.assertEqual(length % 8, 0)
            header = json.loads(file.read(length))
        self.assertEqual(header["f16"], {
            "dtype": "F16", "shape": [40, 16], "data_offsets": [0, 1280]})

    def test_types_without_a_name(self):
        with self.assertRaisesRegex(ValueError, "complex64"):
            ckpt.from_numpy(numpy.zeros(3, "c8"))

    def test_failure_leaves_nothing(self):
        path = scratch_path(".safetensors")
        wrong = ckpt.Tensor("F32", (2,), 8, lambda: numpy.zeros(3, "<f4"))
        before = os.listdir(os.path.dirname(path))
        with self.assertRaisesRegex(ValueError, "12 bytes, not 8"):
            ckpt.write_safetensors(path, {"e": wrong})
        strided = ckpt.Tensor("F32", (40, 8), 40 * 32, lambda: GRID[:, ::2])
        with self.assertRaisesRegex(ValueError, "not contiguous"):
            ckpt.write_safetensors(path, {"e": strided})
        self.assertEqual(os.listdir(os.path.dirname(path)), before)


class FakeTensor:
    """What the script uses of torch's tensors."""
    layout, is_quantized = "strided", False

    def __init__(self, array, dtype):
        self.array, self.dtype, self.shape = array, dtype, array.shape

    def detach(self):
        return self

    cpu = contiguous = detach

    def numel(self):
        return self.array.size

    def element_size(self):
        return self.array.itemsize

    def view(self, dtype):
        assert dtype == "torch.int16"
        return FakeTensor(self.array, dtype)

    def numpy(self):
        assert self.dtype != "torch.bfloat16"
        return self.array


class Checkpoint(FormatsTest):
    """The script with a torch that holds a checkpoint."""

    def setUp(self):
        brain = (GRID.view("<u4") >> 16).astype("<i2")
        sparse = FakeTensor(GRID, "torch.float32")
        sparse.layout = "sparse_coo"
        self.checkpoint = {
            "epoch": 3,
            "state_dict": {
                "emb.weight": FakeTensor(GRID, "torch.float32"),
                "emb.brain": FakeTensor(brain, "torch.bfloat16"),
                "sparse": sparse,
                "odd": FakeTensor(GRID, "torch.complex64"),
            },
            "steps": [FakeTensor(GRID[0], "torch.float32")],
        }
        self.loads = []
        torch = types.ModuleType("torch")
        torch.strided, torch.bfloat16 = "strided", "torch.bfloat16"
        torch.int16 = "torch.int16"
        torch.is_tensor = lambda value: isinstance(value, FakeTensor)
        torch.load = self.load
        sys.modules["torch"] = torch
        self.addCleanup(sys.modules.pop, "torch")

    def load(self, path, mmap=False, **options):
        self.loads.append((path, mmap, options))
        if mmap and path == "old.pt":
            raise RuntimeError("mmap can only be used with zip files")
        return self.checkpoint

    def run_script(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = ckpt.main(list(arguments))
        return status, out.getvalue(), err.getvalue()

    def test_converts(self):
        path = scratch_path(".safetensors")
        status, out, err = self.run_script("old.pt", path)
        self.assertEqual((status, out), (0, ""))
        self.assertIn("state_dict.sparse: left out: not a dense tensor", err)
        self.assertIn("complex64", err)
        for name in "weight", "brain":
            self.reads(path, "safetensors", "--tensor",
                       "state_dict.emb." + name)
        self.assertIn("1 axes", self.fails(path, "--tensor", "steps.0"))
        safe = {"map_location": "cpu", "weights_only": True}
        self.assertEqual(self.loads, [("old.pt", True, safe),
                                      ("old.pt", False, safe)])

    def test_only(self):
        path = scratch_path(".safetensors")
        status, _, err = self.run_script("m.pt", path, "--only", "*.weight")
        self.assertEqual((status, err), (0, ""))
        self.reads(path, "safetensors")
        status, _, err = self.run_script("m.pt", path, "--only", "x")
        self.assertEqual(status, 1)
        self.assertIn("no tensor of these names: x", err)

    def test_lists(self):
        status, out, _ = self.run_script("m.pt", "--only", "*emb*")
        self.assertEqual(status, 0)
        self.assertEqual(out, "state_dict.emb.weight F32 40x16\n"
                              "state_dict.emb.brain BF16 40x16\n")

    def test_same_name(self):
        self.checkpoint = {"a.b": FakeTensor(GRID, "torch.float32"),
                           "a": {"b": FakeTensor(GRID, "torch.float32")}}
        status, _, err = self.run_script("m.pt")
        self.assertEqual(status, 1)
        self.assertIn("two tensors are called a.b", err)


if __name__ == "__main__":
    nibble_test.main()
