# SPDX-License-Identifier: GPL-2.0-or-later
"""What a second process adds, beside what the machine has for it."""

import dataclasses

import facts
import labels

# The case that shares nothing.
MACHINE = "computing:throughput"


@dataclasses.dataclass(frozen=True)
class Growth:
    """Throughput of PROCESSES to that of one."""
    case: str
    processes: int
    system: str
    ratio: float
    low: float
    high: float
    direct: bool    # was each round divided by the system itself with one?

    @property
    def label(self):
        within = "" if self.direct else "within "
        ends = labels.range_label((self.low, self.high))
        return f"{labels.ratio_label(self.ratio)} ({within}{ends})"


def growth(table, system):
    """
    Of SYSTEM in TABLE, or None.  Both are ratios, round by round, to the same
    base, which is the system itself, or another: then the range has bounds only.
    """
    many = table.rows.get((system, "ratio"))
    one = table.alone and table.alone.rows.get((system, "ratio"))
    if not many or not one or many.unit != one.unit or not one.low:
        return None
    return Growth(table.case.name, table.case.processes, system,
                  many.value / one.value, many.low / one.high,
                  many.high / one.low, many.unit == system)


def growths(tables):
    found = [growth(table, system) for table in tables
             if table.metric == "throughput" for system in table.systems]
    return [one for one in found if one]


def machine_of(found, processes):
    """What the machine itself gives with so many processes."""
    return next((one.label for one in found if one.case == MACHINE and
                 one.processes == processes), "-")


def section(run, tables):
    """A line for each case and system, of a suite that has such cases."""
    found = growths(tables)
    shown = [one for one in found if one.case != MACHINE]
    if not shown:
        return
    rounds = " to ".join(str(n) for n in facts.rounds_of(tables))
    yield (f"Throughput with more processes to that with one, and its range in "
           f"{rounds} rounds; {run.name}. A value is of what the machine itself "
           "gives to processes that share nothing, which stands beside it. The "
           "two were not measured in turns, and so are not divided.")
    yield ""
    if not all(one.direct for one in shown):
        yield ("\"Within\" are bounds of the range, where both were divided by "
               "the first system with one process in each round.")
        yield ""
    yield from labels.table_lines(
        ["case: system", "processes", "to one", "the machine gives"],
        [[f"{one.case.partition(':')[0]}: "
          f"{labels.bold(one.system, facts.is_ours(one.system))}",
          str(one.processes), one.label, machine_of(found, one.processes)]
         for one in shown])
