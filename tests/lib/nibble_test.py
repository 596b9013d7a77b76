# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs the real programs for integration tests.

    class Test(nibble_test.TestCase):
        def test_it(self):
            server = self.serve({"words": nibble_test.table(rows)})
            peer = self.connect(server)
            reply = peer.lookup("words", [0, 1])

Every server a test starts is stopped by SIGTERM when the test ends, and must
then exit with status 0, having written nothing of a sanitizer. No test waits
for a time to pass: wait_for() waits for a condition, up to a deadline.
"""

import contextlib
import ctypes
import itertools
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import numpy

from proto import nibble_pb2 as pb

BUILD = os.environ.get("NB_BUILD", "build/release")
SANITIZED = os.path.basename(os.path.normpath(BUILD)) in ("asan", "tsan")
NIBBLED = os.path.join(BUILD, "nibbled")
NIBBLE = os.path.join(BUILD, "nibble")
TCP_OPEN, TCP_LISTENS = "01", "0A"  # states of /proc/net/tcp
DEADLINE_S = 240  # for anything that must happen; generous, for sanitizers

REQUEST, REPLY, ERROR = 0, 1, 2
PING, STATUS, LOOKUP, POOL = 1, 2, 3, 4
INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = 3, 4, 5
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 8, 12, 13, 14
HEADER = struct.Struct("<4sBBHII")
FP32, FP16, BF16, PACKED = range(4)
SUM, MEAN, MAX = range(3)

# Of root (linux/capability.h): to read and write whatever a file's mode says,
# and to lock any amount of memory.
_PRIVILEGES = (1, 2, 14)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_IPC_LOCK
_PR_CAPBSET_DROP = 24
_libc = ctypes.CDLL(None)

_SANITIZER = re.compile(r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|"
                        r"runtime error:|Assertion .* failed")


def wait_for(condition, what, seconds=DEADLINE_S):
    """Waits until condition() is true and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("%s: not within %d s" % (what, seconds))
        time.sleep(0.002)


def need_program(test, name):
    """Skips the test where there is no such program; or fails it, where
    NB_REQUIRED, words, has the name: what must be tested there is."""
    if shutil.which(name) is None:
        required = os.environ.get("NB_REQUIRED", "").split()
        test.assertNotIn(name, required, "it is not installed")
        test.skipTest("no %s here" % name)


def _preparer(limit, denied):
    """What a child does before it becomes the program."""
    def prepare():
        if limit:
            resource.setrlimit(limit[0], (limit[1], limit[1]))
        if denied:
            for capability in _PRIVILEGES:
                _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    return prepare if limit or denied else None


def run(*command, check=True, env=None, input=None, limit=None, denied=False):
    """Runs a program to its end; its status must be 0 unless check=False.
    limit is a resource and how much of it there is; denied is for a program
    that file modes and limits hold for, whoever runs the test."""
    done = subprocess.run(
        [str(c) for c in command], text=True, errors="replace", input=input,
        stdin=None if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S,
        preexec_fn=_preparer(limit, denied),
        env=dict(os.environ, **env) if env else None)
    if _SANITIZER.search(done.stderr):
        raise AssertionError("%s:\n%s" % (command, done.stderr))
    if check and done.returncode != 0:
        raise AssertionError("%s: status %d\n%s" %
                             (command, done.returncode, done.stderr))
    return done


def nibble(*arguments, **options):
    return run(NIBBLE, *arguments, **options)


# ---- tables ---------------------------------------------------------------

_scratch = tempfile.mkdtemp(prefix="nibble-tables-")
_numbers = itertools.count()


def remove_scratch():
    shutil.rmtree(_scratch, ignore_errors=True)


def scratch_path(suffix=""):
    """A new path below a directory that is removed when the tests end."""
    return os.path.join(_scratch, "%d%s" % (next(_numbers), suffix))


def random_rows(n_rows, dim, seed=1):
    rng = numpy.random.default_rng(seed)
    return rng.standard_normal((n_rows, dim)).astype(numpy.float32)


def table(rows, *options):
    """Quantizes a float32 matrix, to q4 unless told otherwise; returns the path
    of the table file."""
    if "--codec" not in options:
        options = ("--codec", "q4") + options
    source = scratch_path(".npy")
    numpy.save(source, numpy.asarray(rows, dtype=numpy.float32))
    path = scratch_path(".nbt")
    nibble("quantize", "--input", source, "--output", path, *options)
    return path


def exported(path):
    """The decoded rows of a table file, as `nibble export` writes them."""
    output = scratch_path(".npy")
    nibble("export", path, "--format", "npy", "--output", output)
    return numpy.load(output)


# ---- the wire -------------------------------------------------------------

def frame(method, body=b"", request_id=0, kind=REQUEST):
    if not isinstance(body, bytes):
        body = body.SerializeToString()
    return HEADER.pack(b"NBL1", kind, 0, method, request_id, len(body)) + body


class Frame:
    def __init__(self, kind, method, request_id, body):
        self.kind = kind
        self.method = method
        self.request_id = request_id
        self.body = body

    def error(self):
        assert self.kind == ERROR, "a reply, not an error"
        return pb.Error.FromString(self.body)

    def blocks(self):
        assert self.kind == REPLY, pb.Error.FromString(self.body)
        return pb.BlocksReply.FromString(self.body)


def bf16_to_float32(values):
    return (values.astype(numpy.uint32) << 16).view(numpy.float32)


def block_values(block):
    """The values of a block as a matrix; uint8 for packed ones."""
    kinds = {FP32: "<f4", FP16: "<f2", BF16: "<u2", PACKED: "u1"}
    values = numpy.frombuffer(block.values, dtype=kinds[block.dtype])
    if block.dtype == BF16:
        values = bf16_to_float32(values)
    return values.reshape(block.rows, -1) if block.rows else \
        values.reshape(0, block.dim)


class Connection:
    """Frames over a socket; nothing is added to what the test sends."""

    def __init__(self, address, receive_buffer=None):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            target = address[5:]
        else:
            host, port = address.rsplit(":", 1)
            family = socket.AF_INET6 if host.startswith("[") else \
                socket.AF_INET
            self.socket = socket.socket(family)
            target = (host.strip("[]"), int(port))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                   receive_buffer)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(target)
        self.ids = itertools.count(1)

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, n):
        """Exactly n bytes, or fewer at the end of the stream."""
        parts = []
        while n > 0:
            part = self.socket.recv(min(n, 1 << 20))
            if not part:
                break
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def receive(self):
        """The next frame; None at the end of the stream."""
        header = self.read(HEADER.size)
        if not header:
            return None
        assert len(header) == HEADER.size, "the stream ends in a header"
        magic, kind, zero, method, request_id, size = HEADER.unpack(header)
        assert magic == b"NBL1" and zero == 0, header
        body = self.read(size)
        assert len(body) == size, "the stream ends in a body"
        return Frame(kind, method, request_id, body)

    def at_end(self):
        """Has the peer closed, with nothing left to read?"""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def call(self, method, body=b""):
        request_id = next(self.ids)
        self.send(frame(method, body, request_id))
        got = self.receive()
        assert got is not None, "closed instead of a reply"
        assert got.request_id == request_id, got.request_id
        assert got.method == method, got.method
        return got

    def ping(self):
        got = self.call(PING)
        assert got.kind == REPLY and got.body == b"", vars(got)

    def status(self):
        got = self.call(STATUS, pb.StatusRequest())
        assert got.kind == REPLY, vars(got)
        return pb.StatusReply.FromString(got.body)

    def lookup(self, name, ids, **fields):
        """Values of one table's rows."""
        request = pb.LookupRequest(**fields)
        request.features.add(table=name, ids=ids)
        return self.call(LOOKUP, request).blocks().blocks[0]


# ---- the server -----------------------------------------------------------

class Server:
    """A running nibbled; limit and denied are as for run(), shell what stands
    behind the command where a shell is to start it."""

    def __init__(self, tables, *options, listen=("127.0.0.1:0",), loops=1,
                 env=None, limit=None, denied=False, shell=None):
        self.address_file = scratch_path(".address")
        self.log_path = scratch_path(".log")
        command = [NIBBLED, "--address-file", self.address_file,
                   "--loops", str(loops)]
        for name, path in tables.items():
            command += ["--table", "%s=%s" % (name, path)]
        for address in listen:
            command += ["--listen", address]
        command += [str(o) for o in options]
        if shell:
            command = ["sh", "-c", 'exec "$@" ' + shell, "sh"] + command
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                command, stderr=log, stdin=subprocess.DEVNULL,
                preexec_fn=_preparer(limit, denied),
                env=dict(os.environ, **env) if env else None)
        try:
            wait_for(self._ready, "nibbled listens")
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
        with open(self.address_file) as lines:
            self.addresses = lines.read().split("\n")[:-1]
        self.address = self.addresses[0]

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError("nibbled: status %d\n%s" %
                                 (self.process.returncode, self.log()))
        return os.path.exists(self.address_file)

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def connect(self, **options):
        return Connection(self.address, **options)

    def resident_bytes(self):
        with open("/proc/%d/status" % self.process.pid) as lines:
            kib = re.search(r"VmRSS:\s+(\d+) kB", lines.read())
        return int(kib.group(1)) << 10

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as line:
            fields = line.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def receive_queues(self, state):
        """Of its TCP sockets in that state: bytes that it has not read, or
        connections that it has not accepted."""
        port = int(self.address.rsplit(":", 1)[1])
        with open("/proc/net/tcp") as lines:
            rows = [line.split() for line in lines][1:]
        return [int(row[4].split(":")[1], 16) for row in rows
                if int(row[1].split(":")[1], 16) == port and row[3] == state]

    def n_descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def terminate(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """Waits for the end, which must be in order."""
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("nibbled does not end\n" + self.log())
        if status != 0 or _SANITIZER.search(self.log()):
            raise AssertionError("nibbled: status %d\n%s" %
                                 (status, self.log()))

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
        self.wait()


class TestCase(unittest.TestCase):
    def serve(self, tables, *options, **named):
        server = Server(tables, *options, **named)
        self.addCleanup(server.stop)
        return server

    def connect(self, server, address=None, **options):
        connection = Connection(address or server.address, **options)
        # Closed before the server is stopped: cleanups run last first.
        self.addCleanup(connection.close)
        return connection

    @contextlib.contextmanager
    def lives_on(self, server):
        """Around an offence: the server and another connection go on."""
        other = self.connect(server)
        other.ping()
        yield
        other.ping()
        self.connect(server).ping()

    def assert_error(self, got, code, *words):
        self.assertEqual(got.kind, ERROR)
        error = got.error()
        for word in words:
            self.assertIn(word, error.message)
        self.assertEqual(error.code, code, error.message)


def main():
    try:
        unittest.main()
    finally:
        remove_scratch()


if __name__ == "__main__":
    sys.exit("a library of the integration tests")
