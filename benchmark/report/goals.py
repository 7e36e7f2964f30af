# SPDX-License-Identifier: GPL-2.0-or-later
"""What NP-Heap set out to reach, benchmark/goals.csv, and what it did reach."""

import csv
import dataclasses
import fnmatch
import operator
import re

import facts
import rows

BOUNDS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


@dataclasses.dataclass(frozen=True)
class Goal:
    """
    FIGURE and OF are "SUITE/CASE/SIZE[xPROCESSES] SYSTEM METRIC"; SYSTEM is a
    pattern, of which the best counts, or "best-peer".  Without OF the figure
    itself has to keep to BOUND.  RUN is a pattern of runs.
    """
    goal: str
    stated: str
    run: str
    figure: str
    of: str
    bound: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    goal: Goal
    run: str            # "" if nothing fits
    figure: rows.Row = None
    of: rows.Row = None

    def _beside(self, value):
        """VALUE, divided by what stands beside it."""
        if not self.goal.of:
            return value
        return value / self.of.value if self.of and self.of.value else None

    @property
    def reached(self):
        return self._beside(self.figure.value) if self.figure else None

    @property
    def ends(self):
        """What was reached in the least and the most of the rounds."""
        return [self._beside(self.figure.low), self._beside(self.figure.high)]

    @property
    def verdict(self):
        if self.reached is None:
            return "not measured"
        relation, bound = self.goal.bound.split()
        met = BOUNDS[relation](self.reached, float(bound))
        return "met" if met else "**missed**"


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        goals = [Goal(**line) for line in csv.DictReader(file, strict=True)]
    for goal in goals:
        relation, _, bound = goal.bound.partition(" ")
        if relation not in BOUNDS or not re.fullmatch(r"[0-9.]+", bound):
            raise rows.Bad(f"{path}: what is the bound '{goal.bound}'?")
        for spec in filter(None, (goal.figure, goal.of)):
            parse(spec)
    return goals


def parse(spec):
    """(case, system, metric) of a figure."""
    match = re.fullmatch(r"(\S+)/(\S+)/(\d+)(?:x(\d+))? (\S+) (\S+)", spec)
    if not match:
        raise rows.Bad(f"goals: what is the figure '{spec}'?")
    suite, name, size, processes, system, metric = match.groups()
    return (rows.Case(suite, name, int(size), int(processes or 1)), system,
            metric)


def find(run, spec):
    """The row of a figure, or None."""
    case, pattern, metric = parse(spec)
    table = run.tables.get(case)
    if not table:
        return None
    if pattern == "best-peer":
        systems = filter(facts.is_peer, table.systems)
    else:
        systems = fnmatch.filter(table.systems, pattern)
    found = [table.rows[system, metric] for system in systems
             if (system, metric) in table.rows]
    pick = max if facts.better(metric) == "more" else min
    return pick(found, key=lambda row: row.value, default=None)


def outcomes(goals, runs):
    found = []
    for goal in goals:
        fits = [run for run in runs if fnmatch.fnmatch(run.name, goal.run)]
        found += [Outcome(goal, run.name, find(run, goal.figure),
                          find(run, goal.of) if goal.of else None)
                  for run in fits] or [Outcome(goal, "")]
    return found
