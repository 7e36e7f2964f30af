# SPDX-License-Identifier: GPL-2.0-or-later
"""Is NP-Heap, beside its peers, as fast as it was?"""

import csv
import pathlib
import statistics
import sys

import facts
import rows

# How much of a ratio.  Boots of the same kernel differ by two percent, of
# which the median is taken.
WORSE = 0.05

COLUMNS = ["suite", "case", "size", "processes", "system", "peer", "ratio"]


def ratios(run):
    """{(case, system, peer): ratio} of NP-Heap's instructions to its peer's."""
    found = {}
    for table in run.tables.values():
        if table.metric != "instructions":
            continue
        peer = next(filter(facts.is_peer, table.systems), None)
        for system in filter(facts.is_ours, table.systems):
            value, other = table.value(system), table.value(peer)
            if other and value is not None:
                found[table.case, system, peer] = value / other
    return found


def measured(paths):
    """(release, medians) of what is in all files."""
    runs = [rows.read_file(path) for path in paths]
    if len({run.release for run in runs}) != 1:
        raise rows.Bad("the files are of different kernels")
    found = [ratios(run) for run in runs]
    return runs[0].release, {
        key: statistics.median(one[key] for one in found)
        for key in found[0] if all(key in one for one in found)}


def write_baseline(paths):
    release, found = measured(paths)
    if not found:
        raise rows.Bad(f"{paths[0]}: no ratio of NP-Heap in it")
    print(f"# kernel: {release}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (case, system, peer), ratio in found.items():
        writer.writerow([case.suite, case.name, case.size, case.processes,
                         system, peer, f"{ratio:.4g}"])


def read_baseline(path):
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(line for line in file if line[0] != "#")
        if reader.fieldnames != COLUMNS:
            raise rows.Bad(f"{path}: the columns are not {','.join(COLUMNS)}")
        found = {(rows.Case(f["suite"], f["case"], int(f["size"]),
                            int(f["processes"])), f["system"], f["peer"]):
                 float(f["ratio"]) for f in reader}
    if not found:
        raise rows.Bad(f"{path}: nothing to compare with")
    return found


def verdict(old, new):
    if old is None:
        return "new"
    if new is None:
        return "MISSING"
    if new > old * (1 + WORSE):
        return "WORSE"
    return "better" if new < old * (1 - WORSE) else "same"


def compare(old, new):
    """Prints each ratio; returns how many are worse or not there any more."""
    bad = 0
    for key in sorted(old.keys() | new.keys()):
        case, system, peer = key
        result = verdict(old.get(key), new.get(key))
        bad += result.isupper()
        was, now = (f"{r[key]:.4g}" if key in r else "-" for r in (old, new))
        print(f"{result:8} {str(case):36} {system:18} "
              f"to {peer}: was {was}, is {now}")
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
    print(f"{bad} of {len(old)} ratios are worse by more than {WORSE:.0%}, "
          "or missing")
    return 1 if bad else 0
