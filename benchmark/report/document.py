# SPDX-License-Identifier: GPL-2.0-or-later
"""RESULTS.md, of nothing but the figures and the files of facts."""

import fnmatch
import math
import statistics

import facts
import goals
import plots

HEAD = """\
# Results

NP-Heap beside what a user would pick instead, on the same work, in the same
boot. This file is made by `make bench-results` from the figures in
[results/](results), and no figure in it is typed by hand. A ratio compares with
the best peer of the same case: **below 1, NP-Heap needs less**.
"""

REPEAT = """\
## How to repeat it

```
$ make bench-instructions KERNEL=6.1    # instructions, calls, faults
$ make bench KERNEL=6.1                 # wall time, of which the ratios count
$ make bench-results                    # this file and its plots
$ make bench-host                       # on the machine itself
```

Instructions are counted by an emulated processor that retires one in each
nanosecond of its clock, and has no caches: they say how much work there is to
do, not how long a real processor takes for it, and differ from round to round by
what the kernel does of its own accord (see the noise above). A figure is the
median of its rounds, in which all systems of a table take turns. Wall time is
of emulated processors, too: only the ratio of two systems that were measured in
turns means something, and that no finer than the noise above. `benchmark/compare` ends
without a figure where any system's result is wrong.
"""

UNITS = {
    "bytes": ((30, "GiB"), (20, "MiB"), (10, "KiB")),
}


def size_label(size, unit):
    for shift, name in UNITS.get(unit, ()):
        if size >= 1 << shift:
            return f"{size / (1 << shift):g} {name}"
    if unit == "bytes":
        return f"{size} B"
    return f"{size:,} {unit}".strip()


def case_label(case):
    """Size and processes, as far as they say something."""
    parts = []
    if case.size:
        parts.append(size_label(case.size,
                                facts.of("suites", case.suite, "size")))
    if case.processes > 1:
        parts.append(f"{case.processes} processes")
    return ", ".join(parts) or "-"


def number(value):
    """Three digits: 12, 1.23 k, 45.6 M."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {letter}" if value < 999.5 * limit \
                else f"{value / limit:.0f} {letter}"
    return f"{value:.3g}"


def ratio_label(ratio):
    if ratio is None:
        return "-"
    if math.isinf(ratio):
        return "∞"
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.2g}" \
        if ratio < 0.1 else f"{ratio:.3g}"


def bold(text, really=True):
    return f"**{text}**" if really and text != "-" else text


def table_lines(head, body, text=1):
    """A table whose first columns are TEXT, and the others figures."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * text + "---:|" * (len(head) - text)
    for line in body:
        yield "| " + " | ".join(line) + " |"
    yield ""


def filled(head, body):
    """Without the lines and columns that have nothing in them but a name."""
    body = [line for line in body if any(cell != "-" for cell in line[1:])]
    keep = [i for i in range(len(head))
            if not i or any(line[i] != "-" for line in body)]
    if body:
        yield from table_lines([head[i] for i in keep],
                               [[line[i] for i in keep] for line in body])


# ------------------------------------------------------------------ the runs

def runs_section(runs):
    yield "## What was measured"
    yield ""
    heads = ("kernel", "cpu", "processors", "version")
    yield from table_lines(["run", *heads],
                           [[run.name, *map(run.head, heads)] for run in runs],
                           text=5)
    left_out = [f"- {run.name}: `{system}`: {why}"
                for run in runs for system, why in run.left_out.items()]
    yield "Left out, as the machine does not have it:" if left_out else \
        "No system was left out."
    yield ""
    if left_out:
        yield from left_out + [""]


def percent(value):
    return f"{100 * value:.2g} %"


def noise_section(runs):
    yield "## Noise"
    yield ""
    yield ("The first system of each table is measured twice. So far apart were "
           "the two:")
    yield ""
    body = []
    for run in runs:
        for suite in run.suites:
            found = [facts.noise(t) for t in run.of_suite(suite)]
            found = sorted(n for n in found if n is not None)
            if found:
                body.append([run.name, suite, str(len(found)),
                             percent(statistics.median(found)),
                             percent(found[-1])])
    yield from table_lines(["run", "suite", "tables", "median", "worst"], body,
                           text=2)


# ----------------------------------------------------------------- the goals

def figure_label(figure):
    return f"{number(figure[0])} {figure[1]}" if figure else "-"


def goal_line(outcome):
    goal = outcome.goal
    reached = outcome.reached
    return [outcome.verdict, goal.goal, goal.stated, outcome.run or goal.run,
            figure_label(outcome.figure),
            figure_label(outcome.of) if goal.of else "",
            goal.bound.replace(">=", "≥").replace("<=", "≤"),
            "-" if reached is None else f"{reached:.3g}"]


def goals_section(outcomes):
    order = ["**missed**", "met", "not measured"]
    outcomes = sorted(outcomes, key=lambda o: order.index(o.verdict))
    verdicts = [outcome.verdict for outcome in outcomes]
    yield "## Goals"
    yield ""
    yield (f"{verdicts.count('met')} met, {verdicts.count('**missed**')} missed, "
           f"{verdicts.count('not measured')} not measured, of "
           f"{len(verdicts)}. Reached is the figure, divided by the one beside "
           "it where there is one; [goals.csv](goals.csv) has the bounds.")
    yield ""
    yield from table_lines(["", "goal", "stated", "run", "figure",
                            "beside", "bound", "reached"],
                           [goal_line(outcome) for outcome in outcomes],
                           text=4)


# ---------------------------------------------------------------- the losses

def losses(runs):
    """(ratio, run, table) of what a peer does better, the worst first."""
    found = []
    for run in runs:
        for table in run.tables.values():
            ratio = facts.against_peer(table)
            if ratio is not None and ratio > 1:
                found.append((ratio, run, table))
    return sorted(found, key=lambda loss: -loss[0])


def loss_line(ratio, run, table):
    off = facts.noise(table)
    within = off is not None and ratio - 1 <= off
    return [f"{table.case.suite}/{table.case.name}", case_label(table.case),
            run.name, facts.best_ours(table)[1], facts.best_peer(table)[1],
            ratio_label(ratio), percent(off) if off is not None else "-",
            "within the noise" if within else ""]


def is_stage(table):
    return facts.kind_of_case(table.case) == "stage"


def loss_table(found):
    yield from table_lines(["case", "size", "run", "best of NP-Heap",
                            "best peer", "ratio", "noise", ""],
                           [loss_line(*loss) for loss in found], text=5)


def judged(runs):
    return [table for run in runs for table in run.tables.values()
            if facts.against_peer(table) is not None]


def whole_losses(runs):
    """The losses that are no stage of a case, and of how many cases."""
    return ([loss for loss in losses(runs) if not is_stage(loss[2])],
            sum(not is_stage(table) for table in judged(runs)))


def reasons_of(losing):
    """Why, where it is known: a line for each pattern of cases that loses."""
    lost = {f"{table.case.suite}/{table.case.name}" for _, _, table in losing}
    for pattern, fact in facts.read("reasons").items():
        if fnmatch.filter(lost, pattern):
            yield f"- `{pattern}`: {fact['why']}"
    yield ""


def losses_section(runs):
    whole, of_whole = whole_losses(runs)
    stages = [loss for loss in losses(runs) if is_stage(loss[2])]
    yield "## Where NP-Heap loses"
    yield ""
    yield (f"In {len(whole)} of {of_whole} cases the best peer is ahead of the "
           "best of NP-Heap's ways:")
    yield ""
    yield from loss_table(whole)
    yield from reasons_of(whole)
    if stages:
        yield (f"And in {len(stages)} of {len(judged(runs)) - of_whole} that are a "
               "stage of another case, where a peer may have paid in another "
               "stage (MAP_POPULATE touches as it attaches):")
        yield ""
        yield from loss_table(stages)


# ---------------------------------------------------------------- the suites

def names(tables):
    return list(dict.fromkeys(table.case.name for table in tables))


def columns(tables):
    found = {(t.case.processes, t.case.size): t.case for t in tables}
    return [found[key] for key in sorted(found)]


def find(tables, name, column):
    return next((t for t in tables if t.case.name == name and
                 (t.case.size, t.case.processes) ==
                 (column.size, column.processes)), None)


def summary_cell(table):
    ratio = facts.against_peer(table) if table else None
    if ratio is None:
        return "-"
    return (f"{bold(ratio_label(ratio), ratio < 1)} "
            f"{facts.best_peer(table)[1]}")


def summary(run, tables):
    """The best of NP-Heap beside the best peer, a line for each case."""
    across = columns(tables)
    lines = list(filled(["case"] + [case_label(c) for c in across],
                        [[name] + [summary_cell(find(tables, name, c))
                                   for c in across]
                         for name in names(tables)]))
    if lines:
        yield f"Best of NP-Heap to the best peer, which is named; {run.name}:"
        yield ""
        yield from lines


def cost_cell(table, system):
    cost = table.cost(system) if table and system in table.systems else None
    if cost is None:
        return "-"
    peer = facts.best_peer(table)
    ratio = ratio_label(facts.times(table, cost, peer[0])) if peer else "-"
    if table.metric == "time":
        text = ratio
    elif not peer:
        text = f"{number(cost)}"
    else:
        text = f"{number(cost)} · {ratio}"
    return bold(text, facts.is_ours(system))


COUNTS = ("system-calls", "page-faults", "payload-copied")
PERCENTILES = ("p50", "p90", "p99")


def counts_cell(metrics):
    def cell(table, system):
        values = [table.value(system, metric) if table else None
                  for metric in metrics]
        if all(value is None for value in values):
            return "-"
        text = " · ".join("-" if v is None else number(v) for v in values)
        return bold(text.removesuffix(" · -"), facts.is_ours(system))
    return cell


def systems_of(tables):
    return list(dict.fromkeys(s for t in tables for s in t.systems))


def full_table(tables, cell):
    """A line for each case and system."""
    across = columns(tables)
    body = []
    for name in names(tables):
        mine = [t for t in tables if t.case.name == name]
        for system in systems_of(mine):
            body.append([f"{name}: {bold(system, facts.is_ours(system))}"]
                        + [cell(find(mine, name, c), system) for c in across])
    yield from filled(["case: system"] + [case_label(c) for c in across], body)


def details(title, lines):
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from lines
    yield "</details>"
    yield ""


def counts(title, tables, metrics):
    having = [t for t in tables if any(m in metrics for _, m in t.rows)]
    if having:
        yield from details(title, full_table(having, counts_cell(metrics)))


def main_metric(tables):
    metrics = dict.fromkeys(t.metric for t in tables if t.metric)
    return "; ".join(f"{m}: {facts.of('metrics', m, 'what', 'see unit')}"
                     for m in metrics)


def suite_of_run(run, suite):
    tables = run.of_suite(suite)
    yield from summary(run, tables)
    what = "ratio to the best peer" if run.mode == "time" else \
        "figure · ratio to the best peer"
    yield from details(f"{run.name}: all systems, {what}",
                       [main_metric(tables) + ".", "",
                        *full_table(tables, cost_cell)])
    yield from counts(f"{run.name}: system calls · page faults · "
                      "payload copied",
                      tables, COUNTS)
    main = "time" if run.mode == "time" else "instructions"
    yield from counts(f"{run.name}: {main}, of 100 the 50th · 90th · 99th",
                      tables, [f"{main}-{p}" for p in PERCENTILES])


def systems_list(systems):
    for system in systems:
        what = facts.of("systems", system, "what")
        if what:
            yield f"- {bold(system, facts.is_ours(system))}: {what}"
    yield ""


def suite_section(runs, suite):
    having = [run for run in runs if suite in run.suites]
    yield f"## {suite}"
    yield ""
    what = facts.of("suites", suite, "what")
    if what:
        yield from (what, "")
    if plots.is_drawn(having[:1], suite):
        yield (f"![{suite}: each system beside the best peer]"
               f"({plots.file_of(suite)})")
        yield ""
    for run in having:
        yield from suite_of_run(run, suite)
    yield from systems_list(dict.fromkeys(
        s for run in having for s in systems_of(run.of_suite(suite))))


# ----------------------------------------------------------------------- all

def suites_of(runs):
    return list(dict.fromkeys(s for run in runs for s in run.suites))


def document(runs, all_goals):
    yield HEAD
    if plots.is_drawn(runs):
        yield ("![Best of NP-Heap beside the best peer]"
               f"({plots.file_of('overview')})")
        yield ""
    yield from runs_section(runs)
    yield from goals_section(goals.outcomes(all_goals, runs))
    yield from losses_section(runs)
    for suite in suites_of(runs):
        yield from suite_section(runs, suite)
    yield from noise_section(runs)
    yield REPEAT.rstrip()
