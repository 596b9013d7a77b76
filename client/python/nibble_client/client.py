# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""A connection to a server: one request at a time, by one thread."""

import collections.abc
import itertools
import socket
import struct
import time

from google.protobuf import message as protobuf_message

from . import nibble_pb2 as pb
from .errors import ProtocolError, RemoteError
from .features import (LookupFeature, PoolFeature, lookup_request,
                       pool_request, read_reply)

_HEADER = struct.Struct("<4sBBHII")
_MAGIC = b"NBL1"
_REQUEST, _REPLY, _ERROR = 0, 1, 2
_PING, _STATUS, _LOOKUP, _POOL = 1, 2, 3, 4
_READ_BYTES = 1 << 20


def _split(address):
    """("host", port) of "HOST:PORT" and "[IPV6]:PORT"."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or \
            not 1 <= int(port) <= 65535 or not host:
        raise ValueError("%r is not HOST:PORT, [IPV6]:PORT or unix:PATH" %
                         address)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, int(port)


def _plain(value):
    """Every field of a message by its name, also those that are 0 or empty;
    None for a message in it that is not there."""
    if isinstance(value, protobuf_message.Message):
        there = {field.name for field, _ in value.ListFields()}
        plain = {}
        for field in value.DESCRIPTOR.fields:
            part = getattr(value, field.name)
            absent = (isinstance(part, protobuf_message.Message) and
                      field.name not in there)
            plain[field.name] = None if absent else _plain(part)
        return plain
    if isinstance(value, collections.abc.MutableSequence):
        return [_plain(one) for one in value]
    return value


class Client:
    """Connects with the first call, and again after a connection was lost.

    address is "HOST:PORT", "[IPV6]:PORT" or "unix:PATH"; timeout, which may be
    set between calls, is in seconds, of a whole call, and told to the server.
    Calls raise RemoteError if the server refuses them,
    TimeoutError, OSError, or ProtocolError, which name the address; ValueError
    if nothing was sent.
    """

    def __init__(self, address, timeout=30.0, max_reply_bytes=256 << 20):
        if not address.startswith("unix:"):
            _split(address)
        self._address = address
        self.timeout = timeout
        self._max_reply_bytes = max_reply_bytes
        self._socket = None
        self._awaited = "connection"  # told in errors
        self._ids = itertools.count()  # 0 is no request's id: 1 is added

    def close(self):
        """Closes the connection; the next call would open another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    # ---- calls ------------------------------------------------------------

    def lookup(self, table, ids, dtype="fp32", model="", version=0):
        """Rows of a table, [ids, dim]; an id that is not in it gives zeros.
        fp16 comes as float16, bf16 as float32; packed as the stored bytes."""
        reply = self.lookup_features([LookupFeature(table, ids)], dtype, model,
                                     version)
        return reply.blocks[0].values

    def pool(self, table, bags, weights=None, mode="sum", dtype="fp32",
             model="", version=0):
        """Sums, means or maxima of bags of rows, [bags, dim]."""
        reply = self.pool_features([PoolFeature(table, bags, weights, mode)],
                                   dtype, model, version)
        return reply.blocks[0].values

    def lookup_features(self, features, dtype="fp32", model="", version=0):
        """Rows of several tables, all of one version: a Reply."""
        request, rows = lookup_request(features, dtype, model, version,
                                       self._timeout_ms())
        return self._blocks(_LOOKUP, request, rows, dtype)

    def pool_features(self, features, dtype="fp32", model="", version=0):
        """Bags of several tables, all of one version: a Reply."""
        request, rows = pool_request(features, dtype, model, version,
                                     self._timeout_ms())
        return self._blocks(_POOL, request, rows, dtype)

    def status(self):
        """What the server serves and how busy it is, as a dict that has every
        name of nibble.v1.StatusReply: numbers as int, lists as list, None for
        a message that is not there."""
        return _plain(self._call(_STATUS, pb.StatusRequest(), pb.StatusReply))

    def ping(self):
        """Returns if the server answers."""
        self._call(_PING, pb.PingRequest(), pb.PingReply)

    # ---- the wire ---------------------------------------------------------

    def _timeout_ms(self):
        return min(max(int(self.timeout * 1000), 1), 2**32 - 1)

    def _blocks(self, method, request, rows, dtype):
        reply = self._call(method, request, pb.BlocksReply)
        try:
            return read_reply(reply, rows, dtype)
        except ProtocolError as error:
            self.close()
            raise ProtocolError("%s: %s" % (self._address, error)) from error

    def _call(self, method, request, reply_type):
        try:
            kind, body = self._exchange(method, request.SerializeToString())
            if kind == _ERROR:
                error = pb.Error.FromString(body)
                raise RemoteError(error.code, error.message)
            return reply_type.FromString(body)
        except RemoteError:
            raise
        except protobuf_message.DecodeError as error:
            self.close()
            raise ProtocolError("%s: malformed reply: %s" %
                                (self._address, error)) from error
        except OSError as error:
            self.close()
            raise self._named(error) from error
        except ProtocolError as error:
            self.close()
            raise ProtocolError("%s: %s" % (self._address, error)) from error
        except BaseException:
            # Whatever else: a late reply must not be taken for the next one.
            self.close()
            raise

    def _named(self, error):
        """The same error, saying where it was and what was waited for."""
        if isinstance(error, TimeoutError):
            what = "no %s within %g s" % (self._awaited, self.timeout)
        else:
            what = "no %s: %s" % (self._awaited, error.strerror or error)
        said = "%s: %s" % (self._address, what)
        return (type(error)(said) if error.errno is None else
                type(error)(error.errno, said))

    def _exchange(self, method, body):
        deadline = time.monotonic() + self.timeout
        self._awaited = "connection"
        self._connect(deadline)
        self._awaited = "reply"
        request_id = next(self._ids) % 0xffffffff + 1
        header = _HEADER.pack(_MAGIC, _REQUEST, 0, method, request_id,
                              len(body))
        self._wait_until(deadline)
        self._socket.sendall(header + body)
        magic, kind, zero, answered, answer_id, size = _HEADER.unpack(
            self._read(_HEADER.size, deadline))
        if magic != _MAGIC or zero != 0 or kind not in (_REPLY, _ERROR):
            raise ProtocolError("not a frame of a reply")
        if size > self._max_reply_bytes:
            raise ProtocolError("a reply of %d bytes" % size)
        # An error of id 0 is about the connection.
        of_connection = kind == _ERROR and answer_id == 0
        if not of_connection and (answered, answer_id) != (method, request_id):
            raise ProtocolError("a reply to what was not asked")
        answer = self._read(size, deadline)
        if of_connection:
            raise ProtocolError("the server ended the connection: %s" %
                                pb.Error.FromString(answer).message)
        return kind, answer

    def _connect(self, deadline):
        if self._socket is not None:
            return
        left = max(deadline - time.monotonic(), 1e-3)
        if self._address.startswith("unix:"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(left)
            self._socket.connect(self._address[len("unix:"):])
            return
        self._socket = socket.create_connection(_split(self._address), left)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _wait_until(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def _read(self, n, deadline):
        """Grows with what comes, not with what a header promises."""
        data = bytearray()
        while len(data) < n:
            self._wait_until(deadline)
            part = self._socket.recv(min(n - len(data), _READ_BYTES))
            if not part:
                raise ConnectionError("the server closed the connection")
            data += part
        return bytes(data)
