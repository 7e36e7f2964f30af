# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of the figures; scripts/bench calls it."""

import argparse
import csv
import pathlib
import subprocess
import sys

import document
import gate
import goals
import labels
import plots
import readme
import rows

GOALS = pathlib.Path(__file__).parent.parent / "goals.csv"


def make(results, to, page):
    runs = rows.read_runs(results)
    if not runs:
        raise rows.Bad(f"{results}: no results")
    if not plots.can_draw():
        if page:
            raise rows.Bad("gnuplot is missing, so no plots: run scripts/setup")
        print("report: no plots, as gnuplot is missing", file=sys.stderr)
    text = "\n".join(document.document(runs, goals.read(GOALS))) + "\n"
    new = to / "RESULTS.md.new"
    new.write_text(text, encoding="utf-8")
    new.rename(to / "RESULTS.md")
    plots.draw_all(runs, to, labels.case_label)
    if page:
        readme.write(page, runs)


def main():
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check", help="compare FILEs with the baseline of their kernel")
    check.add_argument("baselines", help="directory of RELEASE.csv")
    check.add_argument("files", nargs="+")
    baseline = commands.add_parser(
        "baseline", help="print the baseline that FILEs make")
    baseline.add_argument("files", nargs="+")
    release = commands.add_parser(
        "release", help="print the kernel that FILE was measured on")
    release.add_argument("file")
    report = commands.add_parser(
        "make", help="make RESULTS.md and plots/ in TO of RESULTS/RUN/*.csv")
    report.add_argument("results", type=pathlib.Path)
    report.add_argument("to", type=pathlib.Path)
    report.add_argument("--readme", type=pathlib.Path,
                        help="put the main table into this file, too")
    options = parser.parse_args()
    try:
        if options.command == "check":
            return gate.check(options.baselines, options.files)
        if options.command == "baseline":
            gate.write_baseline(options.files)
        elif options.command == "make":
            make(options.results, options.to, options.readme)
        else:
            print(rows.read_file(options.file).release)
        return 0
    except (rows.Bad, OSError, csv.Error,
            subprocess.CalledProcessError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2


sys.exit(main())
