#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Turns a PyTorch checkpoint into a safetensors file.

    ckpt_to_safetensors.py model.pt model.safetensors --only 'emb.*.weight'
    nibble quantize --input model.safetensors --tensor emb.user.weight ...

A checkpoint is a pickle, and to read one is to run it: here weights_only lets
it make tensors and nothing else, and nibble reads the outcome, which is not a
program. Reading needs torch; writing (write_safetensors) needs neither torch
nor all tensors in memory at once.
"""

import argparse
import fnmatch
import json
import os
import struct
import sys
import tempfile

BLOCK_BYTES = 64 << 20  # written at once
HEADER_MAX = 100_000_000  # bytes that readers accept

# numpy's names of the types that safetensors has, and theirs.
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
    "bool": "BOOL",
}


class Tensor:
    """A tensor to be written: load() returns a contiguous little-endian numpy
    array of its bytes, of any type, when its turn comes."""

    def __init__(self, dtype, shape, n_bytes, load):
        self.dtype, self.shape = dtype, [int(axis) for axis in shape]
        self.n_bytes, self.load = n_bytes, load


def from_numpy(array):
    """A tensor of a numpy array; ValueError if safetensors has no such type."""
    if array.dtype.name not in DTYPES:
        raise ValueError("no safetensors type for numpy's %s" % array.dtype)
    little = array.dtype.newbyteorder("<")
    return Tensor(DTYPES[array.dtype.name], array.shape, array.nbytes,
                  lambda: array.astype(little, order="C", copy=False))


def _header(tensors):
    entries, end = {}, 0
    for name, tensor in tensors.items():
        entries[name] = {"dtype": tensor.dtype, "shape": tensor.shape,
                         "data_offsets": [end, end + tensor.n_bytes]}
        end += tensor.n_bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # values begin aligned
    if len(text) > HEADER_MAX:
        raise ValueError("a header of %d bytes, readers accept %d" %
                         (len(text), HEADER_MAX))
    return text


def _write(file, name, tensor):
    array = tensor.load()
    if array.nbytes != tensor.n_bytes:
        raise ValueError("%s: %d bytes, not %d" %
                         (name, array.nbytes, tensor.n_bytes))
    if not array.flags.c_contiguous:
        raise ValueError("%s: not contiguous" % name)
    if array.nbytes == 0:
        return
    values = memoryview(array.reshape(-1)).cast("B")
    for at in range(0, len(values), BLOCK_BYTES):
        file.write(values[at:at + BLOCK_BYTES])


def write_safetensors(path, tensors):
    """Writes a dict of Tensor by name, in order. The file appears whole or not
    at all."""
    header = _header(tensors)
    directory, base = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(prefix="." + base, dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for name, tensor in tensors.items():
                _write(file, name, tensor)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def flatten(value, is_tensor, prefix=""):
    """(name, tensor) of all tensors in nested dicts and lists; names are the
    keys on the way, with dots between them."""
    if is_tensor(value):
        yield prefix, value
        return
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, inner in items:
        name = "%s.%s" % (prefix, key) if prefix else str(key)
        yield from flatten(inner, is_tensor, name)


def from_torch(tensor, torch):
    """A tensor of a dense torch tensor; ValueError for others."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise ValueError("not a dense tensor")

    def load():
        dense = tensor.detach().cpu().contiguous()
        if dense.dtype == torch.bfloat16:  # which numpy does not have
            dense = dense.view(torch.int16)
        return dense.numpy()

    n_bytes = tensor.numel() * tensor.element_size()
    if tensor.dtype == torch.bfloat16:
        return Tensor("BF16", tensor.shape, n_bytes, load)
    name = str(tensor.dtype).rpartition(".")[2]
    if name not in DTYPES:
        raise ValueError("no safetensors type for torch's %s" % name)
    return Tensor(DTYPES[name], tensor.shape, n_bytes, load)


def load_checkpoint(path, patterns):
    """The tensors of a checkpoint whose name matches a pattern, by name."""
    import torch  # only here: nothing else needs it
    options = {"map_location": "cpu", "weights_only": True}
    try:
        checkpoint = torch.load(path, mmap=True, **options)
    except (RuntimeError, ValueError):  # a format before 1.6 is not mapped
        checkpoint = torch.load(path, **options)
    tensors = {}
    for name, tensor in flatten(checkpoint, torch.is_tensor):
        if not any(fnmatch.fnmatchcase(name, p) for p in patterns):
            continue
        if name in tensors:
            raise ValueError("two tensors are called %s" % name)
        try:
            tensors[name] = from_torch(tensor, torch)
        except ValueError as reason:
            print("%s: left out: %s" % (name, reason), file=sys.stderr)
    if not tensors:
        raise ValueError("no tensor of these names: %s" % " ".join(patterns))
    return tensors


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description="Turns a PyTorch checkpoint into a safetensors file.")
    parser.add_argument("checkpoint")
    parser.add_argument("output", nargs="?",
                        help="without it, the tensors are listed")
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help="names of tensors, with * and ?; may be repeated")
    args = parser.parse_args(arguments)
    try:
        tensors = load_checkpoint(args.checkpoint, args.only or ["*"])
        if args.output is None:
            for name, tensor in tensors.items():
                print(name, tensor.dtype, "x".join(map(str, tensor.shape)))
        else:
            write_safetensors(args.output, tensors)
    except Exception as error:  # one line, whatever a checkpoint does
        print("ckpt_to_safetensors.py: %s: %s: %s" %
              (args.checkpoint, type(error).__name__, error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
