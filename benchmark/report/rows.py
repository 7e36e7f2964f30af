# SPDX-License-Identifier: GPL-2.0-or-later
"""What benchmark/compare wrote: rows, and the cases that they make up."""

import csv
import dataclasses
import functools
import pathlib
import re

AGAIN = "-again"
COLUMNS = ("suite case system size processes metric unit "
           "value runs min max").split()


class Bad(Exception):
    """A file that is not what compare writes."""


@dataclasses.dataclass(frozen=True, order=True)
class Case:
    """One operation of one size; size is bytes or objects, 0 is neither."""
    suite: str
    name: str
    size: int
    processes: int

    def __str__(self):
        processes = f"x{self.processes}" if self.processes != 1 else ""
        return f"{self.suite}/{self.name}/{self.size}{processes}"


@dataclasses.dataclass(frozen=True)
class Row:
    case: Case
    system: str
    metric: str
    unit: str
    value: float
    runs: int
    low: float
    high: float


# What the clock says, of which only ratios mean something: the rounds of a table
# are measured in turns.
BY_THE_CLOCK = ("time", "scaling")

# What is measured of every operation.  A metric of a case's own kind has a table
# of its own, CASE:METRIC.
USUAL = re.compile(r"(instructions|time)(-p\d+)?|ratio|system-calls|page-faults|"
                   r"payload-copied")


class Table:
    """A case: what each system needed for it, in compare's order."""

    def __init__(self, case):
        self.case = case
        self.rows = {}

    def add(self, row):
        if (row.system, row.metric) in self.rows:
            raise Bad(f"{self.case}: two rows {row.system} {row.metric}")
        self.rows[row.system, row.metric] = row

    @functools.cached_property
    def systems(self):
        return list(dict.fromkeys(system for system, _ in self.rows
                                  if not system.endswith(AGAIN)))

    @functools.cached_property
    def first(self):
        """The row that compare prints first: the base's, of the main metric."""
        return next(iter(self.rows.values()))

    @property
    def metric(self):
        return self.first.metric

    @property
    def base(self):
        return self.first.system

    @functools.cached_property
    def told_by(self):
        """The metric whose figures may be compared between systems."""
        return "ratio" if self.metric in BY_THE_CLOCK else self.metric

    @property
    def measured_twice(self):
        """(first, second) measurement of each system that has two."""
        return [(self.rows[first], row)
                for (system, metric), row in self.rows.items()
                for first in [(system.removesuffix(AGAIN), metric)]
                if system.endswith(AGAIN) and metric == self.told_by
                and first in self.rows]

    def value(self, system, metric=None):
        row = self.rows.get((system, metric or self.metric))
        return row.value if row else None

    def cost_row(self, system):
        """
        What may be compared between systems of the table: instructions, and of
        times the ratio, as both of its sides were measured at the same time.
        """
        return self.rows.get((system, self.told_by))

    def cost(self, system):
        row = self.cost_row(system)
        return row.value if row else None


@dataclasses.dataclass
class Run:
    """The files of a directory: one mode, on one kernel."""
    name: str
    heads: dict = dataclasses.field(default_factory=dict)
    left_out: dict = dataclasses.field(default_factory=dict)
    tables: dict = dataclasses.field(default_factory=dict)

    def head(self, name):
        """A line of the head, if it is the same in all files."""
        values = {head.get(name, "?") for head in self.heads.values()}
        return ", ".join(sorted(values))

    @property
    def mode(self):
        return self.head("mode").split()[0]

    @property
    def release(self):
        return self.head("kernel").split()[0]

    @property
    def suites(self):
        return list(dict.fromkeys(case.suite for case in self.tables))

    def of_suite(self, suite):
        return [t for case, t in self.tables.items() if case.suite == suite]

    def read(self, path):
        head = self.heads[pathlib.Path(path).stem] = {}
        with open(path, newline="", encoding="utf-8") as file:
            lines = [line for line in file
                     if not self._read_comment(line, head)]
        rows = csv.DictReader(lines, strict=True)
        if rows.fieldnames != COLUMNS:
            raise Bad(f"{path}: the columns are not {','.join(COLUMNS)}")
        metric = "ratio"
        try:
            for fields in rows:
                metric = self._read_row(fields, metric)
        except (TypeError, ValueError, csv.Error) as error:
            raise Bad(f"{path}: line {rows.line_num}: {error}") from error
        return self

    def _read_comment(self, line, head):
        if not line.startswith("#"):
            return False
        name, _, value = line[1:].partition(":")
        if name.strip() == "left out":
            system, _, why = value.partition(":")
            self.left_out[system.strip()] = why.strip()
        else:
            head[name.strip()] = value.strip()
        return True

    def _read_row(self, f, last):
        """Returns the metric that the next row is the ratio of, if it is one."""
        metric = last if f["metric"] == "ratio" else f["metric"]
        name = f["case"]
        if not USUAL.fullmatch(metric):
            name += f":{metric}"
        case = Case(f["suite"], name, int(f["size"]), int(f["processes"]))
        table = self.tables.setdefault(case, Table(case))
        table.add(Row(case, f["system"], f["metric"], f["unit"],
                      float(f["value"]), int(f["runs"]), float(f["min"]),
                      float(f["max"])))
        return metric


def read_file(path):
    """The one file as a run of its own."""
    return Run(pathlib.Path(path).stem).read(path)


def read_runs(directory):
    """DIRECTORY/RUN/SUITE.csv, by name."""
    runs = []
    for sub in sorted(p for p in pathlib.Path(directory).iterdir()
                      if p.is_dir()):
        run = Run(sub.name)
        for path in sorted(sub.glob("*.csv")):
            run.read(path)
        if run.tables:
            runs.append(run)
    return runs
