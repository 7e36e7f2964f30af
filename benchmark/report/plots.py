# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots, by gnuplot, of ratios to the best peer."""

import math
import shutil
import subprocess

import facts

# Okabe and Ito's colours, which the colour-blind can tell apart.
OURS = "#0072B2"
PEERS = ("#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000",
         "#999999")
OURS_POINTS = (7, 5, 9, 11, 13)     # filled
PEER_POINTS = (6, 4, 8, 10, 12, 1, 2)  # open
WIDTH = 880
LINE = 19


def file_of(name, kind="svg"):
    return f"plots/{name}.{kind}"


def quote(text):
    return '"' + str(text).replace("\\", "").replace('"', "'") + '"'


def tics_between(ratios):
    """1, 2, 5, 10; or powers of ten, where there are many."""
    low, high = (math.floor(math.log10(min(ratios))),
                 math.ceil(math.log10(max(ratios))))
    steps = (1, 2, 5) if high - low <= 4 else (1,)
    return [f"{step * 10.0 ** power:g}" for power in range(low, high + 1)
            for step in steps]


class Plot:
    """Rows of labelled points on a logarithmic axis of ratios."""

    def __init__(self, title, axis):
        self.title = title
        self.axis = axis
        self.labels = []
        self.series = {}    # name: (colour, point type, [(ratio, row)])

    def row(self, label):
        self.labels.append(label)
        return len(self.labels)

    def point(self, name, colour, kind, ratio, row):
        if 0 < ratio < math.inf:
            self.series.setdefault(name, (colour, kind, []))[2].append(
                (ratio, row))

    def script(self, terminal, path):
        names = list(self.series)
        keys = (len(names) + 2) // 3
        height = LINE * (len(self.labels) + keys) + 130
        ratios = [r for _, _, points in self.series.values()
                  for r, _ in points] + [1]
        tics = ", ".join(f"{quote(text)} {i}"
                         for i, text in enumerate(self.labels, 1))
        yield f"set terminal {terminal} size {WIDTH},{height}"
        yield f"set output {quote(path)}"
        yield f"set title {quote(self.title)} noenhanced"
        yield f"set xlabel {quote(self.axis)} noenhanced"
        yield from SCRIPT
        yield f"set key maxrows {keys}"
        yield f"set bmargin {keys + 4}"
        yield f"set xrange [{min(ratios) / 1.4:.3g}:{max(ratios) * 1.4:.3g}]"
        yield f"set xtics ({', '.join(tics_between(ratios))})"
        yield f"set yrange [{len(self.labels)}.7:0.3]"
        yield f"set ytics ({tics}) noenhanced"
        for i, (_, _, points) in enumerate(self.series.values()):
            yield f"$s{i} << END"
            yield from (f"{ratio:.6g} {row}" for ratio, row in points)
            yield "END"
        yield "plot " + ", \\\n  ".join(
            f"$s{i} using 1:2 with points pt {kind} ps 1.1 lw 1.6 "
            f"lc rgb {quote(colour)} title {quote(name)} noenhanced"
            for i, (name, (colour, kind, _)) in enumerate(self.series.items()))

    def draw(self, directory, name):
        for kind, terminal in TERMINALS.items():
            path = directory / file_of(name, kind)
            path.parent.mkdir(exist_ok=True)
            subprocess.run(["gnuplot"], check=True, text=True,
                           input="\n".join(self.script(terminal, path)))


TERMINALS = {
    "svg": "svg enhanced background 'white' font 'DejaVu Sans,13'",
    "png": "pngcairo enhanced background 'white' font 'DejaVu Sans,10'",
}

SCRIPT = """\
set logscale x
set format x "%g"
set grid xtics ytics lc rgb "#dddddd" lt 1
set border 1 lc rgb "#888888"
set tics scale 0 textcolor rgb "#000000"
set key below vertical left width 3
set arrow from first 1, graph 0 to first 1, graph 1 nohead lw 2 lc rgb "#444444"
""".splitlines()


def label_of(case, size_label):
    return f"{case.name}  {size_label(case)}".replace("  -", "")


def styles(systems):
    """{system: (colour, point type)}"""
    ours = [s for s in systems if facts.is_ours(s)]
    peers = [s for s in systems if facts.is_peer(s)]
    found = {s: (PEERS[i % len(PEERS)], PEER_POINTS[i % len(PEER_POINTS)])
             for i, s in enumerate(peers)}
    # Ours last, on top of the others.
    found.update({s: (OURS, OURS_POINTS[i % len(OURS_POINTS)])
                  for i, s in enumerate(ours)})
    return found


def is_plotted(table):
    return facts.against_peer(table) is not None and \
        facts.kind_of_case(table.case) == "whole"


def suite_plot(run, suite, size_label):
    tables = [t for t in run.of_suite(suite) if is_plotted(t)]
    plot = Plot(f"{suite}, {run.name}: left is better, 1 is the best peer",
                "times what the best peer needs")
    at = {}
    for table in sorted(tables, key=lambda t: [
            [u.case.name for u in tables].index(t.case.name)]):
        at[table.case] = plot.row(label_of(table.case, size_label))
    for system, style in styles(list(dict.fromkeys(
            s for t in tables for s in t.systems))).items():
        for table in tables:
            if table.cost(system) is not None and system in table.systems:
                ratio = facts.times(table, table.cost(system),
                                    facts.best_peer(table)[0])
                plot.point(system, *style, ratio, at[table.case])
    return plot


def overview_plot(runs):
    plot = Plot("NP-Heap's best way: left is better, 1 is the best peer; "
                "a point for each size",
                "times what the best peer needs")
    at = {}
    for i, run in enumerate(runs):
        style = ((OURS,) + PEERS)[i % 8], OURS_POINTS[i % len(OURS_POINTS)]
        for case, table in run.tables.items():
            label = f"{case.suite}/{case.name}"
            if not is_plotted(table):
                continue
            if label not in at:
                at[label] = plot.row(label)
            plot.point(run.name, *style, facts.against_peer(table), at[label])
    return plot


def can_draw():
    return bool(shutil.which("gnuplot"))


def suite_name(run, suite):
    return f"{suite}-{run.name}"


def is_drawn(runs, suite=None):
    """Whether there is anything to plot, of a suite or at all."""
    return can_draw() and any(
        is_plotted(table) for run in runs for table in run.tables.values()
        if suite in (None, table.case.suite))


def draw_all(runs, directory, size_label):
    if is_drawn(runs):
        overview_plot(runs).draw(directory, "overview")
    for run in runs:
        for suite in run.suites:
            if is_drawn([run], suite):
                suite_plot(run, suite, size_label).draw(
                    directory, suite_name(run, suite))
