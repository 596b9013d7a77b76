#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Latency against the load offered, for every profile, drawn.

    scripts/bench_curves.py DIR [--rounds 8] [--scale 0.01] [--seconds 1.5]
                            [--drawings server/curves]

Server and client have a processor each. What a profile's closed loop reaches is
its capacity; then an open loop offers from a tenth of that to a fifth more, in
--rounds steps. Draws NAME.svg, percentiles of latency against what was offered,
of each profile, and throughput.svg, what was answered, of all: in DIR unless
told otherwise. Leaves in DIR NAME.json too, and tables if they are not there.
Writes the figures to standard output. Takes three minutes.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys

from bench_server import Bench, Load, count, parse, parser, pinned

# A panel of throughput.svg: the frame, and room for what stands around it.
WIDE, HIGH, LEFT, TOP = 240, 160, 60, 40
COLUMNS = 3

PROFILES = ["rm1", "rm2", "ranking", "dlrm", "rows", "point"]


def tick(most):
    """A round number below `most` that divides it into two to five."""
    step = 1.0
    while step * 10 <= most:
        step *= 10
    return next(step * m for m in (2, 1, 0.5, 0.2) if most / step / m >= 2)


def panel(profile, points, left, top):
    """What was answered against what was offered, both linear; dashed is the
    line on which nothing is behind."""
    most = max(max(p) for p in points)

    def at(x, y):
        return "%.1f,%.1f" % (left + WIDE * x / most,
                              top + HIGH * (1 - y / most))

    parts = ['<text x="%d" y="%d">%s</text>' % (left, top - 8, profile)]
    for i in range(1, int(most / tick(most)) + 1):
        value = i * tick(most)
        x, y = at(value, value).split(",")
        parts += [
            '<path class="grid" d="M%s H%d M%s V%d"/>' % (
                at(0, value), left + WIDE, at(value, 0), top),
            '<text class="end" x="%d" y="%s" dy="4">%s</text>' % (
                left - 6, y, count(value)),
            '<text class="mid" x="%s" y="%d">%s</text>' % (
                x, top + HIGH + 14, count(value))]
    parts += ['<path class="axis" d="M%d,%d V%d H%d"/>' % (
                  left, top, top + HIGH, left + WIDE),
              '<path class="even" d="M%s L%s"/>' % (at(0, 0), at(most, most)),
              '<polyline points="%s"/>' % " ".join(at(*p) for p in points)]
    parts += ['<circle cx="%s" cy="%s" r="3"/>' % tuple(at(*p).split(","))
              for p in points]
    return "\n".join(parts)


def draw(path, curves):
    across, down = WIDE + LEFT + 20, HIGH + TOP + 30
    rows = -(-len(curves) // COLUMNS)
    with open(path, "w") as file:
        file.write(
            '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
            'font-family="sans-serif" font-size="11">\n<style>'
            'path,polyline{fill:none} .grid{stroke:#e4e4e4} '
            '.axis{stroke:#333} .even{stroke:#999;stroke-dasharray:4 3} '
            'polyline{stroke:#1f77b4;stroke-width:1.5} circle{fill:#1f77b4} '
            '.end{text-anchor:end} .mid{text-anchor:middle}</style>\n'
            '<rect width="100%%" height="100%%" fill="#fff"/>\n'
            '<text x="10" y="18" font-size="14">Requests/s answered, against '
            'requests/s offered</text>\n' % (
                across * COLUMNS + 10, down * rows + 30))
        for i, (profile, points) in enumerate(curves.items()):
            file.write(panel(profile, points, LEFT + i % COLUMNS * across,
                             30 + TOP + i // COLUMNS * down) + "\n")
        file.write("</svg>\n")


class Curves(Bench):
    def drawing(self, name):
        return os.path.join(self.args.drawings or self.args.dir, name + ".svg")

    def measure(self, profile):
        load = Load(profile, "cache", profile, ["--connections", "16"], None,
                    None)
        capacity = statistics.median(
            self.rate(self.servers["cache"], load, "--model", profile)[0]
            for _ in range(3))
        report = os.path.join(self.args.dir, profile + ".json")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(report)
        done = subprocess.run(
            pinned(1, self.nibble, "bench", "--server", self.servers["cache"],
                   "--profile", profile, "--model", profile, "--connections",
                   "16", "--request-mib", "16", "--duration",
                   self.args.seconds, "--warm-up", "0.3", "--ramp",
                   "%.0f:%.0f:%d" % (max(1, capacity / 10),
                                     max(2, capacity * 1.2), self.args.rounds),
                   "--svg", self.drawing(profile), "--output", report),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:  # what is refused above capacity is told
            print("%s: %s" % (profile, done.stderr.strip()), file=sys.stderr)
            if not os.path.exists(report):
                raise SystemExit(1)
        with open(report) as file:
            steps = json.load(file)["steps"]
        for step in steps:
            self.line(profile, step)
        return [(s["offered_per_s"], s["achieved_per_s"]) for s in steps]

    def line(self, profile, step):
        print("| %s | %s | %s | %s |" % (
            profile, count(step["offered_per_s"]),
            count(step["achieved_per_s"]),
            " | ".join("%.0f us" % step["latency_us"][p]
                       for p in ("p50", "p99", "p99.9"))), flush=True)

    def run(self):
        self.make_tables("cache", {p: self.args.scale for p in PROFILES})
        self.serve("cache", "map")
        self.settle()
        print("| profile | offered/s | answered/s | p50 | p99 | p99.9 |")
        print("|---|---|---|---|---|---|")
        draw(self.drawing("throughput"),
             {profile: self.measure(profile) for profile in PROFILES})


def main():
    options = parser(__doc__)
    options.add_argument("--scale", type=float, default=0.01,
                         help="times the rows of the profiles")
    options.add_argument("--drawings", help="where they are left")
    options.set_defaults(rounds=8)
    args = parse(options)
    for directory in (args.dir, args.drawings or args.dir):
        os.makedirs(directory, exist_ok=True)
    curves = Curves(args)
    try:
        curves.run()
    finally:
        curves.close()


if __name__ == "__main__":
    main()
