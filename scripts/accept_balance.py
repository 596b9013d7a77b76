#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""How evenly few connections are spread over loops.

    scripts/accept_balance.py [--build build/release] [--loops 4] [--rounds 20]

For some numbers of connections: how many the busiest loop has, of its fair
share, and how many loops have none; first where the kernel chooses by
SO_REUSEPORT alone, over as many listening sockets of this program as there are
loops, and then by nibbled, as its metrics tell. Means of the rounds.
"""

import argparse
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

CONNECTIONS = (4, 8, 16, 64)
DEADLINE_S = 10


class Kernel:
    """Listening sockets of one port, between which the kernel chooses."""

    def __init__(self, loops):
        self.listeners = []
        port = 0
        for _ in range(loops):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", port))
            port = listener.getsockname()[1]
            self.listeners.append(listener)
        for listener in self.listeners:
            listener.listen(256)
        self.address = ("127.0.0.1", port)

    def counts(self, connections):
        counts = dict.fromkeys(self.listeners, 0)
        while sum(counts.values()) < connections:
            ready, _, _ = select.select(self.listeners, [], [], DEADLINE_S)
            if not ready:
                raise SystemExit("accept_balance: a connection is lost")
            for listener in ready:
                listener.accept()[0].close()
                counts[listener] += 1
        return list(counts.values())

    def close(self):
        for listener in self.listeners:
            listener.close()


class Nibbled:
    """The server, asked for what each of its loops has."""

    def __init__(self, build, loops, folder):
        log = os.path.join(folder, "log")
        repo = os.path.join(folder, "repo")
        os.mkdir(repo)
        with open(log, "w") as file:
            self.process = subprocess.Popen(
                [os.path.join(build, "nibbled"), "--repo", repo, "--loops",
                 str(loops), "--listen", "127.0.0.1:0", "--admin",
                 "127.0.0.1:0", "--log-format", "logfmt"], stderr=file)
        self.log = log

    def begin(self):
        wait(lambda: "event=listening" in read(self.log))
        host, port = found(self.log, "listening").split(":")
        self.address = (host, int(port))
        self.metrics = "http://%s/metrics" % found(self.log, "admin")

    def counts(self, connections):
        wait(lambda: sum(self.loops()) == connections)
        return self.loops()

    def loops(self):
        with urllib.request.urlopen(self.metrics) as page:
            text = page.read().decode()
        return [int(n) for n in re.findall(
            r"^nibble_loop_connections\{.*\} (\d+)$", text, re.M)]

    def close(self):
        self.process.terminate()
        self.process.wait()


def read(path):
    with open(path) as file:
        return file.read()


def found(log, event):
    """The address that the event of the log names."""
    return re.search(r"event=%s address=(\S+)" % event, read(log)).group(1)


def wait(condition):
    until = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("accept_balance: nothing happens")
        time.sleep(0.005)


def round_of(server, connections):
    """The busiest loop's share of what is fair, and loops without any."""
    clients = [socket.create_connection(server.address)
               for _ in range(connections)]
    counts = server.counts(connections)
    for client in clients:
        client.close()
    if isinstance(server, Nibbled):
        server.counts(0)
    return max(counts) * len(counts) / connections, counts.count(0)


def line(server, connections, rounds):
    busiest, idle = zip(*(round_of(server, connections)
                          for _ in range(rounds)))
    return "%.2f | %.2f" % (statistics.mean(busiest), statistics.mean(idle))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--loops", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    if not os.access(os.path.join(args.build, "nibbled"), os.X_OK):
        parser.error("nothing is built in %s: make all" % args.build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print("%d loops\n" % args.loops)
    print("| connections | SO_REUSEPORT: busiest loop, of its fair share | "
          "loops without any | nibbled: busiest loop | loops without any |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        servers = [Kernel(args.loops), Nibbled(args.build, args.loops, folder)]
        try:
            servers[1].begin()
            for connections in CONNECTIONS:
                print("| %d | %s |" % (connections, " | ".join(
                    line(server, connections, args.rounds)
                    for server in servers)))
        finally:
            for server in servers:
                server.close()


if __name__ == "__main__":
    main()
