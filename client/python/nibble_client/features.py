# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Requests and replies as NumPy has them."""

import collections
import collections.abc
import operator
from typing import NamedTuple

import numpy

from . import nibble_pb2 as pb
from .errors import ProtocolError

DTYPES = {"fp32": pb.FP32, "fp16": pb.FP16, "bf16": pb.BF16,
          "packed": pb.PACKED}
MODES = {"sum": pb.SUM, "mean": pb.MEAN, "max": pb.MAX}
# bf16 has no type in NumPy: it travels as 16 bits and is widened here.
_STORED = {pb.FP32: "<f4", pb.FP16: "<f2", pb.BF16: "<u2", pb.PACKED: "u1"}
_DIM_MAX = 65536


class LookupFeature(NamedTuple):
    """Rows of a table, by id."""
    table: str
    ids: object  # integers, 0 to 2^64 - 1


class PoolFeature(NamedTuple):
    """Bags of a table. bags is a list of lists of ids, or a pair (ids, lengths)
    of arrays, as in a jagged tensor; weights is one number an id, flat or in
    lists like the bags."""
    table: str
    bags: object
    weights: object = None
    mode: str = "sum"


class Block(NamedTuple):
    """The answer to one feature."""
    values: numpy.ndarray  # [rows or bags, dim]; of packed rows, their bytes
    unseen: int            # ids that are not in the table
    codec: int             # of packed rows: how they are encoded,
    scales: int            # with which numbers,
    params: int            # and which parameters of the table; 0: none


Reply = collections.namedtuple("Reply", "version blocks")


def _choice(choices, name, what):
    if name not in choices:
        raise ValueError("%s is %r, not one of %s" %
                         (what, name, ", ".join(choices)))
    return choices[name]


def _not_integers(table):
    return ValueError("table %r: ids are not a list of integers" % table)


def word_ids(words):
    """The ids of words in a table made with --keys text: XXH3-64 (seed 0) of
    a word's bytes, in UTF-8 if it is a str. Needs the package xxhash."""
    import xxhash  # no other call needs it
    return numpy.array([xxhash.xxh3_64_intdigest(
        word.encode() if isinstance(word, str) else word) for word in words],
        numpy.uint64)


def _as_ids(ids, table):
    """A flat array of uint64."""
    if not isinstance(ids, numpy.ndarray) or ids.dtype == object:
        # Left to itself, NumPy makes floats of [1, 2**64 - 1].
        try:
            ids = numpy.array([operator.index(i) for i in ids], object)
        except TypeError:
            raise _not_integers(table) from None
    if ids.size == 0:
        return numpy.empty(0, numpy.uint64)
    if ids.ndim != 1 or ids.dtype.kind not in "iuO":
        raise _not_integers(table)
    if ids.min() < 0 or ids.max() > 2**64 - 1:
        raise ValueError("table %r: an id is not 0 to 2^64 - 1" % table)
    return ids.astype(numpy.uint64)


def _is_list(bag):
    return isinstance(bag, collections.abc.Iterable) and \
        not isinstance(bag, (str, bytes)) and numpy.ndim(bag) != 0


def _as_weights(weights, lengths, table):
    """A flat array of as many as there are ids."""
    if not isinstance(weights, numpy.ndarray):
        weights = list(weights)
        nested = [part for part in weights if _is_list(part)]
        if nested:
            got = [len(part) if _is_list(part) else 1 for part in weights]
            if len(nested) != len(weights) or got != lengths.tolist():
                raise ValueError("table %r: lists of weights are not as long "
                                 "as the bags" % table)
            weights = [weight for part in weights for weight in part]
    weights = numpy.asarray(weights, numpy.float32)
    if weights.shape != (int(lengths.sum()),):
        raise ValueError("table %r: %d weights for %d ids" %
                         (table, weights.size, int(lengths.sum())))
    return weights


def _as_bags(bags, table):
    """(ids, lengths)"""
    # Two lists in a tuple are two bags.
    if (isinstance(bags, tuple) and len(bags) == 2 and
            all(isinstance(part, numpy.ndarray) for part in bags)):
        ids = _as_ids(bags[0], table)
        lengths = _as_ids(bags[1], table)
    else:
        if not all(_is_list(bag) for bag in bags):
            raise ValueError("table %r: bags are a list of lists of ids, or "
                             "a pair (ids, lengths) of arrays" % table)
        parts = [_as_ids(bag, table) for bag in bags]
        ids = numpy.concatenate(parts or [_as_ids([], table)])
        lengths = numpy.array([len(part) for part in parts], numpy.uint64)
    if lengths.size and lengths.max() > 2**32 - 1:
        raise ValueError("table %r: a bag is too long" % table)
    if int(lengths.sum()) != len(ids):
        raise ValueError("table %r: lengths sum to %d, there are %d ids" %
                         (table, int(lengths.sum()), len(ids)))
    return ids, lengths


def _put_ids(message, ids):
    # Half the bytes where they fit.
    narrow = ids.size > 0 and int(ids.max()) < 2**32
    (message.ids32 if narrow else message.ids).extend(ids.tolist())


def lookup_request(features, dtype, model, version, timeout_ms):
    """The message, and how many rows each block must have."""
    request = pb.LookupRequest(
        model=model, version=version, timeout_ms=timeout_ms,
        dtype=_choice(DTYPES, dtype, "dtype"))
    rows = []
    for feature in features:
        ids = _as_ids(feature.ids, feature.table)
        _put_ids(request.features.add(table=feature.table), ids)
        rows.append(len(ids))
    return request, rows


def pool_request(features, dtype, model, version, timeout_ms):
    """The same of bags."""
    if dtype == "packed":
        raise ValueError("a pooled bag has no packed form")
    request = pb.PoolRequest(
        model=model, version=version, timeout_ms=timeout_ms,
        dtype=_choice(DTYPES, dtype, "dtype"))
    rows = []
    for feature in features:
        ids, lengths = _as_bags(feature.bags, feature.table)
        message = request.features.add(
            table=feature.table, lengths=lengths.tolist(),
            pooling=_choice(MODES, feature.mode, "mode"))
        _put_ids(message, ids)
        if feature.weights is not None:
            weights = _as_weights(feature.weights, lengths, feature.table)
            message.weights.extend(weights.tolist())
        rows.append(len(lengths))
    return request, rows


def _values(block):
    stored = numpy.dtype(_STORED[block.dtype])
    columns = block.row_bytes // stored.itemsize
    values = numpy.frombuffer(block.values, stored)
    values = values.reshape(block.rows, columns)
    if block.dtype == pb.BF16:
        return (values.astype(numpy.uint32) << 16).view(numpy.float32)
    return values.astype(stored.newbyteorder("="))


def _check(block, rows, dtype, index):
    size = numpy.dtype(_STORED[dtype]).itemsize
    if block.dtype != dtype or block.rows != rows or \
            not 1 <= block.dim <= _DIM_MAX or \
            len(block.values) != block.rows * block.row_bytes or \
            (dtype != pb.PACKED and block.row_bytes != block.dim * size):
        raise ProtocolError("block %d: %d rows of dim %d, dtype %d in %d "
                            "bytes; asked for %d rows" %
                            (index, block.rows, block.dim, block.dtype,
                             len(block.values), rows))


def read_reply(message, rows, dtype):
    """The arrays of a BlocksReply, once they fit what was asked."""
    if len(message.blocks) != len(rows):
        raise ProtocolError("%d blocks, asked for %d features" %
                            (len(message.blocks), len(rows)))
    blocks = []
    for index, block in enumerate(message.blocks):
        _check(block, rows[index], DTYPES[dtype], index)
        blocks.append(Block(_values(block), block.unseen, block.codec,
                            block.scales, block.params))
    return Reply(message.version, blocks)
