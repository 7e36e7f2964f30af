# SPDX-License-Identifier: GPL-2.0-or-later
"""What the files of facts beside this one say, and verdicts by them."""

import csv
import fnmatch
import functools
import math
import pathlib

import rows

HERE = pathlib.Path(__file__).parent


@functools.cache
def read(name):
    """{first column: the line} of NAME.csv."""
    with open(HERE / f"{name}.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    key = next(iter(lines[0]))
    return {line[key]: line for line in lines}


def of(name, key, column, default=""):
    return read(name).get(key, {}).get(column) or default


def kind_of(system):
    """'ours', 'peer', or 'reference', which does not do the same work."""
    guess = "ours" if system.startswith("npheap") else ""
    kind = of("systems", system, "kind", guess)
    if not kind:
        raise rows.Bad(f"systems.csv does not say what '{system}' is")
    return kind


def is_ours(system):
    return kind_of(system) == "ours"


def is_peer(system):
    return kind_of(system) == "peer"


@functools.cache
def kind_of_case(case):
    """
    'stage' of another case, of which a system may have paid for another stage;
    'figures' that are no competition; or 'whole'.
    """
    name = f"{case.suite}/{case.name}"
    return next((fact["kind"] for pattern, fact in read("cases").items()
                 if fnmatch.fnmatchcase(name, pattern)), "whole")


def better(metric):
    """'less', 'more', or '' where neither is better."""
    return of("metrics", metric, "better")


def times(table, cost, other):
    """How many times OTHER is COST, or what is worse than it; above 1 is worse."""
    if better(table.metric) == "more":
        cost, other = other, cost
    if cost == other:
        return 1.0
    return cost / other if other else math.inf


def best(table, wanted):
    """(cost, system) of the best of those that are WANTED, or None."""
    if kind_of_case(table.case) == "figures":
        return None
    found = [(table.cost(s), s) for s in table.systems
             if wanted(s) and table.cost(s) is not None]
    if not found or not better(table.metric):
        return None
    pick = max if better(table.metric) == "more" else min
    return pick(found, key=lambda pair: pair[0])


def best_ours(table):
    return best(table, is_ours)


def best_peer(table):
    return best(table, is_peer)


def against_peer(table):
    """The best of NP-Heap's ways, as times what the best peer needs."""
    ours, peer = best_ours(table), best_peer(table)
    return times(table, ours[0], peer[0]) if ours and peer else None


def spread(table, system, other):
    """The least and the most that SYSTEM was of OTHER in a round."""
    row = table.cost_row(system)
    return sorted(times(table, end, other) for end in (row.low, row.high))


def rounds_of(tables):
    """How many rounds the ratios are of: [3, 15], say."""
    return sorted({t.first.runs for t in tables if t.told_by == "ratio"})


def apart(first, second):
    return abs(second.value / first.value - 1)


def noise(table):
    """
    How far the same thing, measured twice, was apart, of the worst system: 0.01
    is one percent.
    """
    found = [apart(*pair) for pair in table.measured_twice if pair[0].value]
    return max(found, default=None)


def within_noise(table, ratio=None):
    """Whether NP-Heap and a peer, by default the best, differ by no more."""
    ratio = against_peer(table) if ratio is None else ratio
    off = noise(table)
    if ratio is None or off is None or not 0 < ratio < math.inf:
        return False
    return max(ratio, 1 / ratio) - 1 <= off


def is_won(table, ratio):
    """Whether NP-Heap is ahead by RATIO, and by more than the noise."""
    return ratio < 1 and not within_noise(table, ratio)
