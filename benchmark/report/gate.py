# SPDX-License-Identifier: GPL-2.0-or-later
"""Is NP-Heap, beside its peers, as fast as it was?"""

import csv
import pathlib
import statistics
import sys

import facts
import rows

# How much of a figure.  Boots of the same kernel differ by two percent, of
# which the median is taken.
WORSE = 0.05
# And of a count that is no ratio: what one process more or less waits, between
# others, is a fraction of a call.
MORE = 0.1

COUNTS = ("system-calls", "page-faults")
COLUMNS = ["suite", "case", "size", "processes", "system", "metric", "peer",
           "value"]


def figures_of(table, system, peer):
    """(metric, peer, value) of SYSTEM: instructions as a ratio to PEER's."""
    value, other = table.value(system), peer and table.value(peer)
    if other and value is not None:
        yield table.metric, peer, value / other
    for metric in COUNTS:
        value = table.value(system, metric)
        if value is not None:
            yield metric, "", value


def figures(run):
    """{(case, system, metric, peer): value} of NP-Heap."""
    found = {}
    for table in run.tables.values():
        if table.metric != "instructions":
            continue
        peer = next(filter(facts.is_peer, table.systems), None)
        for system in filter(facts.is_ours, table.systems):
            for metric, beside, value in figures_of(table, system, peer):
                found[table.case, system, metric, beside] = value
    return found


def measured(paths):
    """(release, medians) of what is in all files."""
    runs = [rows.read_file(path) for path in paths]
    if len({run.release for run in runs}) != 1:
        raise rows.Bad("the files are of different kernels")
    found = [figures(run) for run in runs]
    return runs[0].release, {
        key: statistics.median(one[key] for one in found)
        for key in found[0] if all(key in one for one in found)}


def write_baseline(paths):
    release, found = measured(paths)
    if not found:
        raise rows.Bad(f"{paths[0]}: no figure of NP-Heap in it")
    print(f"# kernel: {release}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (case, *of), value in found.items():
        writer.writerow([case.suite, case.name, case.size, case.processes,
                         *of, f"{value:.4g}"])


def read_baseline(path):
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(line for line in file if line[0] != "#")
        if reader.fieldnames != COLUMNS:
            raise rows.Bad(f"{path}: the columns are not {','.join(COLUMNS)}")
        found = {(rows.Case(f["suite"], f["case"], int(f["size"]),
                            int(f["processes"])), f["system"], f["metric"],
                  f["peer"]): float(f["value"]) for f in reader}
    if not found:
        raise rows.Bad(f"{path}: nothing to compare with")
    return found


def verdict(old, new, slack):
    if old is None:
        return "new"
    if new is None:
        return "MISSING"
    if new > old * (1 + WORSE) + slack:
        return "WORSE"
    return "better" if new < old * (1 - WORSE) - slack else "same"


def compare(old, new):
    """Prints each figure; returns how many are worse or not there any more."""
    bad = 0
    for key in sorted(old.keys() | new.keys()):
        case, system, metric, peer = key
        result = verdict(old.get(key), new.get(key), 0 if peer else MORE)
        bad += result.isupper()
        was, now = (f"{r[key]:.4g}" if key in r else "-" for r in (old, new))
        what = f"to {peer}" if peer else metric
        print(f"{result:8} {str(case):36} {system:18} "
              f"{what}: was {was}, is {now}")
    return bad


def check(baselines, paths):
    """Compares PATHS with the baseline of their kernel; an exit status."""
    release, new = measured(paths)
    baseline = pathlib.Path(baselines) / f"{release}.csv"
    if not baseline.exists():
        compare({}, new)
        print(f"no baseline for {release}: nothing was compared")
        return 0
    old = read_baseline(baseline)
    bad = compare(old, new)
    print(f"{bad} of {len(old)} figures are worse by more than {WORSE:.0%}, "
          "or missing")
    return 1 if bad else 0
