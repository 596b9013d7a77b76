#!/usr/bin/python3
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Holds what the benches measured against the goals, and draws it.

    bench_kernels --json kernels.json
    bench_quantizer --json quantizer.json
    scripts/bench_report.py kernels.json quantizer.json [--svg FILE]

prints a table of goals in Markdown: what, the goal, what was measured, and
whether that meets it. A goal that was not measured says so.
"""

import argparse
import json
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.startswith("{")]


def pick(lines, **wanted):
    """The first line that has these values; None if there is none."""
    for line in lines:
        if all(line.get(key) == value for key, value in wanted.items()):
            return line
    return None


def ratio(a, b):
    return a / b if a and b else None


def by_port(line):
    return ratio(line["port_ns"], line["ns_per_row"]) if line else None


def by_touch_write(line):
    return ratio(line["ns_per_row"], line["touch_write_ns"]) if line else None


def by_touch(line):
    return ratio(line["ns_per_row"], line["touch_ns"]) if line else None


class Report:
    def __init__(self):
        self.counts = {"yes": 0, "no": 0, "": 0}
        print("| what | goal | measured | met |")
        print("|---|---|---|---|")

    def row(self, what, goal, unit, value, least=True):
        """A goal to reach (least) or not to pass."""
        sign = "at least" if least else "at most"
        if value is None:
            self.counts[""] += 1
            print("| %s | %s %g%s | not measured | |" % (what, sign, goal,
                                                         unit))
            return
        met = value >= goal if least else value <= goal
        met = "yes" if met else "no"
        self.counts[met] += 1
        print("| %s | %s %g%s | %.2f%s | %s |" %
              (what, sign, goal, unit, value, unit, met))

    def end(self):
        print("\n%d met, %d not met, %d not measured" %
              (self.counts["yes"], self.counts["no"], self.counts[""]))


def rows(report, lines, d, ids, goal):
    """Plain rows; fp32 ones also against writing as much as they do."""
    where = "d=%d, table on 2 MiB pages, %s" % (d, ids)
    lines = [line for line in lines if line["isa"] == lines[0]["isa"]]
    for dtype in ("packed", "fp32"):
        line = pick(lines, op="rows", codec="q4", d=d, pages="2MiB", ids=ids,
                    dtype=dtype)
        report.row("plain rows, %s, %s, time of touching the lines" %
                   (dtype, where), goal, "x", by_touch(line), least=False)
    report.row("the same, time of touching them and writing as many bytes",
               goal, "x", by_touch_write(line), least=False)


def kernels(report, lines):
    best = lines[0]["isa"]
    own = [l for l in lines if l["isa"] == best and l["codec"] == "q4"
           and l["dtype"] == "fp32"]
    avx2 = [l for l in lines if l["isa"] == "avx2" and l["codec"] == "q4"
            and l["dtype"] == "fp32"]
    for d, goal in ((64, 1.6), (128, 1.6), (32, 1.3)):
        for bag in (20, 100):
            line = pick(own, op="sum", d=d, bag=bag, pages="cached")
            report.row("pooled sum, in cache, d=%d, bags of %d, against the "
                       "port" % (d, bag), goal, "x", by_port(line))
    for d in (32, 64, 128):
        line = pick(own, op="rows", d=d, pages="cached")
        report.row("plain rows, in cache, d=%d, against the port with bags of "
                   "1" % d, 1.1, "x", by_port(line))
        report.row("the same, time of touching the rows and writing as many "
                   "bytes", 1.15, "x", by_touch_write(line), least=False)
    for ids, goal in (("uniform", 1.15), ("zipf", 1.25)):
        for d in (64, 128):
            for bag in (20, 100):
                line = pick(own, op="sum", d=d, bag=bag, pages="2MiB", ids=ids)
                report.row("bags of %d, d=%d, table on 2 MiB pages, %s, time "
                           "of touching the lines" % (bag, d, ids),
                           goal, "x", by_touch(line), least=False)
            rows(report, lines, d, ids, goal)
    for ids, goal in (("uniform", 2), ("zipf", 3)):
        for d in (64, 128):
            ours = pick(own, op="sum", d=d, bag=20, pages="2MiB", ids=ids)
            port = pick(own, op="port", d=d, bag=20, pages="4KiB", ids=ids)
            touch = pick(own, op="touch", d=d, pages="2MiB", ids=ids)
            port_ns = port and port["ns_per_row"]
            value = ratio(port_ns, ours and ours["ns_per_row"])
            limit = ratio(port_ns, touch and touch["ns_per_row"]) or 0
            report.row("as shipped, d=%d, %s: ours on 2 MiB pages against the "
                       "port on 4 KiB (only touching: %.2fx)" %
                       (d, ids, limit), goal, "x", value)
    for d in (64, 128):
        for pages, goal, where in (("cached", .6, "in cache"),
                                   ("2MiB", .9, "out of cache")):
            # Through the reference of the same run: runs follow each other.
            wide = pick(own, op="sum", d=d, bag=20, pages=pages)
            narrow = pick(avx2, op="sum", d=d, bag=20, pages=pages)
            value = ratio(by_touch(wide), by_touch(narrow)) \
                if wide and narrow else None
            report.row("AVX2 against AVX-512, sum, d=%d, %s" % (d, where),
                       goal, "x", value)


def quantizer(report, lines):
    greedy = pick(lines, case="encode greedy", isa="avx512", dim=64)
    report.row("greedy, one core, d=64, AVX-512", 700, " ns a row",
               greedy and greedy["ns_per_row"], least=False)
    narrow = pick(lines, case="encode greedy", isa="avx2", dim=64)
    report.row("the same, AVX2", 700, " ns a row",
               narrow and narrow["ns_per_row"], least=False)
    for dim in (64, 128):
        asym = pick(lines, case="encode asym", isa="avx512", dim=dim)
        report.row("min/max, one core, d=%d, out of cache, against reading "
                   "the values" % dim, 1.15, "x",
                   asym and asym["time_to_read"], least=False)
        both = pick(lines, case="read, write packed", dim=dim)
        report.row("the same, against reading them and writing as many bytes "
                   "as packed rows have", 1.15, "x",
                   asym and both and ratio(asym["ns_per_row"],
                                           both["ns_per_row"]), least=False)


BAR, GAP, LEFT, WIDTH = 14, 6, 330, 420


def bars(lines):
    """ns a row: ours, the port and touching, per case of the best set."""
    best = lines[0]["isa"]
    chosen = [l for l in lines if l["isa"] == best and l["codec"] == "q4" and
              l["dtype"] == "fp32" and l["op"] in ("sum", "rows")]
    return [("%s d=%d bag=%d, %s %s" % (l["op"], l["d"], l["bag"], l["pages"],
                                        l["ids"]),
             (("nibble", l["ns_per_row"], "#2a6f97"),
              ("port", l["port_ns"], "#c0733d"),
              ("touch only", l["touch_ns"], "#9aa5ab"))) for l in chosen]


def svg(lines, path):
    cases = bars(lines)
    longest = max(ns for _, group in cases for _, ns, _ in group)
    height = 60 + len(cases) * (3 * BAR + GAP)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
           'font-family="sans-serif" font-size="11">' %
           (LEFT + WIDTH + 60, height),
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="20" font-size="14">q4 rows, ns a row (less is '
           'better)</text>']
    for i, (name, _, colour) in enumerate(cases[0][1]):
        x = LEFT + 110 * i
        out.append('<rect x="%d" y="30" width="10" height="10" fill="%s"/>'
                   '<text x="%d" y="39">%s</text>' % (x, colour, x + 14, name))
    y = 52
    for label, group in cases:
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' %
                   (LEFT - 8, y + 2 * BAR - 2, label))
        for _, ns, colour in group:
            if ns > 0:
                out.append('<rect x="%d" y="%d" width="%.1f" height="%d" '
                           'fill="%s"/><text x="%.1f" y="%d">%.1f</text>' %
                           (LEFT, y, WIDTH * ns / longest, BAR - 2, colour,
                            LEFT + WIDTH * ns / longest + 4, y + BAR - 4, ns))
            y += BAR
        y += GAP
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kernels", help="lines of bench_kernels --json")
    parser.add_argument("quantizer", help="lines of bench_quantizer --json")
    parser.add_argument("--svg", help="write a bar chart there")
    args = parser.parse_args()
    lines = read(args.kernels)
    if not lines:
        sys.exit("bench_report.py: %s: no measurements" % args.kernels)
    report = Report()
    kernels(report, lines)
    quantizer(report, read(args.quantizer))
    report.end()
    if args.svg:
        svg(lines, args.svg)


if __name__ == "__main__":
    main()
