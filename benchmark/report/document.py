# SPDX-License-Identifier: GPL-2.0-or-later
"""RESULTS.md, of nothing but the figures and the files of facts."""

import fnmatch
import statistics

import facts
import goals
import labels
import plots

HEAD = """\
# Results

NP-Heap beside what a user would pick instead, on the same work, in the same
boot. This file is made by `make bench-results` from the figures in
[results/](results), and no figure in its tables is typed by hand. A ratio
compares with the best peer of the same case: **bold is below 1, where NP-Heap
needs less by more than the noise** (below).
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
turns means something, and that no finer than the noise above. The range beside
it is of the rounds: the least and the most that NP-Heap, or the system of the
line, took in one, divided by the median of the other. `benchmark/compare` ends
without a figure where any system's result is wrong.
"""


# ------------------------------------------------------------------ the runs

def runs_section(runs):
    yield "## What was measured"
    yield ""
    heads = ("kernel", "cpu", "processors", "version")
    yield from labels.table_lines(
        ["run", *heads],
        [[run.name, *map(run.head, heads)] for run in runs], text=5)
    left_out = [f"- {run.name}: `{system}`: {why}"
                for run in runs for system, why in run.left_out.items()]
    yield ("Left out, for a limit of the kernel or of the guest's memory, or as "
           "a host does not have it or the user may not use it:"
           if left_out else "No system was left out.")
    yield ""
    if left_out:
        yield from left_out + [""]


def noise_section(runs):
    yield "## Noise"
    yield ""
    yield ("A system of each table, or more than one, is measured twice. So far "
           "apart were the two; of more than one the worst counts:")
    yield ""
    body = []
    for run in runs:
        for suite in run.suites:
            found = [facts.noise(t) for t in run.of_suite(suite)]
            found = sorted(n for n in found if n is not None)
            if found:
                body.append([run.name, suite, str(len(found)),
                             labels.percent(statistics.median(found)),
                             labels.percent(found[-1])])
    yield from labels.table_lines(
        ["run", "suite", "tables", "median", "worst"], body, text=2)


# ----------------------------------------------------------------- the goals

def goal_line(outcome):
    goal = outcome.goal
    reached = outcome.reached
    return [outcome.verdict, goal.goal, goal.stated, outcome.run or goal.run,
            labels.row_label(outcome.figure),
            labels.row_label(outcome.of) if goal.of else "",
            goal.bound.replace(">=", "≥").replace("<=", "≤"),
            "-" if reached is None else labels.digits(reached, 3),
            "-" if reached is None else
            labels.rounds_label(outcome.ends, outcome.figure.runs)]


def verdicts_line(outcomes, when):
    verdicts = [outcome.verdict for outcome in outcomes]
    return (f"{verdicts.count('met')} of {len(verdicts)} stated {when} are met, "
            f"{verdicts.count('**missed**')} missed, "
            f"{verdicts.count('not measured')} not measured")


def goals_section(outcomes):
    order = ["**missed**", "met", "not measured"]
    outcomes = sorted(outcomes, key=lambda o: order.index(o.verdict))
    advance = [o for o in outcomes if o.goal.stated == "in advance"]
    others = [o for o in outcomes if o.goal.stated != "in advance"]
    yield "## Goals"
    yield ""
    yield (f"{verdicts_line(advance, 'in advance')}; "
           f"{verdicts_line(others, 'elsewhere')}. A goal counts once for each run. "
           "Reached is the figure, divided by the one beside it "
           "where there is one, and the range is that of the figure's rounds, "
           "divided by the same; how many they are stands behind it. "
           "[goals.csv](goals.csv) has the bounds.")
    yield ""
    yield from labels.table_lines(
        ["", "goal", "stated", "run", "figure", "beside", "bound", "reached",
         "range"], [goal_line(outcome) for outcome in outcomes], text=4)


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
    ours, peer = facts.best_ours(table), facts.best_peer(table)
    return [case_name(table), labels.case_label(table.case), run.name,
            ours[1], peer[1], labels.ratio_label(ratio),
            labels.rounds_label(facts.spread(table, ours[1], peer[0]),
                                table.cost_row(ours[1]).runs),
            labels.percent(off) if off is not None else "-",
            "within the noise" if facts.within_noise(table) else ""]


def case_name(table):
    return f"{table.case.suite}/{table.case.name}"


def is_stage(table):
    return facts.kind_of_case(table.case) == "stage"


def loss_table(found):
    yield from labels.table_lines(
        ["case", "size", "run", "best of NP-Heap", "best peer", "ratio",
         "range", "noise", ""], [loss_line(*loss) for loss in found], text=5)


def judged(runs, stages=False):
    """The tables with NP-Heap and a peer that are, or are not, a stage."""
    return [table for run in runs for table in run.tables.values()
            if facts.against_peer(table) is not None
            and is_stage(table) == stages]


def tally(runs, stages=False):
    """How many cases are lost, of how many, in each run."""
    found = losses(runs)
    parts = []
    for run in runs:
        lost = [table for _, where, table in found
                if where is run and is_stage(table) == stages]
        within = sum(map(facts.within_noise, lost))
        parts.append(f"{len(lost)} of {len(judged([run], stages))} cases of "
                     f"{run.name}" + (f" ({within} within the noise)"
                                      if within else ""))
    return ", ".join(parts)


def reasons_of(losing):
    """Why, where it is known: a line for each pattern of cases that loses."""
    lost = {case_name(table) for _, _, table in losing}
    unknown = {case_name(table) for _, _, table in losing
               if not facts.within_noise(table)}
    for pattern, fact in facts.read("reasons").items():
        if fnmatch.filter(lost, pattern):
            yield f"- `{pattern}`: {fact['why']}"
        unknown.difference_update(fnmatch.filter(unknown, pattern))
    if unknown:
        yield ""
        names_of = ", ".join(f"`{name}`" for name in sorted(unknown))
        yield f"No reason is known for: {names_of}."
    yield ""


def losses_section(runs):
    whole = [loss for loss in losses(runs) if not is_stage(loss[2])]
    stages = [loss for loss in losses(runs) if is_stage(loss[2])]
    yield "## Where NP-Heap loses"
    yield ""
    yield (f"In {tally(runs)} the best peer is ahead of the best of NP-Heap's "
           "ways. How many rounds the range is of stands behind it:")
    yield ""
    yield from loss_table(whole)
    yield from reasons_of(whole)
    if stages:
        yield (f"A stage of another case is lost in {tally(runs, stages=True)}; "
               "there a peer may have paid in another stage (MAP_POPULATE "
               "touches as it attaches):")
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
    text = labels.bold(labels.ratio_label(ratio), facts.is_won(table, ratio))
    return f"{text} {facts.best_peer(table)[1]}"


def summary(run, tables):
    """The best of NP-Heap beside the best peer, a line for each case."""
    across = columns(tables)
    lines = list(labels.filled(["case"] + [labels.case_label(c) for c in across],
                               [[name] + [summary_cell(find(tables, name, c))
                                          for c in across]
                                for name in names(tables)]))
    if lines:
        yield f"Best of NP-Heap to the best peer, which is named; {run.name}:"
        yield ""
        yield from lines


def ratio_cell(table, system, peer, counted=True):
    """Of what the clock says also the range of the rounds, COUNTED or not."""
    text = labels.ratio_label(facts.times(table, table.cost(system), peer[0]))
    ends = facts.spread(table, system, peer[0])
    if table.told_by != "ratio" or ends[0] == ends[1]:
        return text
    rounds = f" of {table.cost_row(system).runs}" if counted else ""
    return f"{text} ({labels.range_label(ends)}{rounds})"


def cost_cell(counted):
    def cell(table, system):
        value = table.value(system) if table else None
        if value is None:
            return "-"
        peer = facts.best_peer(table)
        ratio = ratio_cell(table, system, peer, counted) if peer else "-"
        if table.metric == "time":
            text = ratio
        elif not peer:
            text = labels.number(value)
        else:
            text = f"{labels.number(value)} · {ratio}"
        won = peer and facts.is_ours(system) and facts.is_won(
            table, facts.times(table, table.cost(system), peer[0]))
        return labels.bold(text, won)
    return cell


COUNTS = ("system-calls", "page-faults", "payload-copied")
COUNTS_LEGEND = (
    "For one operation, of all processes together: system calls, page faults, and "
    "bytes of payload that pipes, sockets, queues and eventfds copied. Where the "
    "third is missing, nothing counted them. A difference below 0 is printed as 0.")
PERCENTILES = ("p50", "p90", "p99")


def counts_cell(metrics, unit):
    def cell(table, system):
        values = [table.value(system, metric) if table else None
                  for metric in metrics]
        if all(value is None for value in values):
            return "-"
        text = " · ".join("-" if v is None else labels.number(v)
                          for v in values)
        return f"{text.removesuffix(' · -')} {unit}".strip()
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
            body.append([f"{name}: {labels.bold(system, facts.is_ours(system))}"]
                        + [cell(find(mine, name, c), system) for c in across])
    yield from labels.filled(
        ["case: system"] + [labels.case_label(c) for c in across], body)


def details(title, lines):
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from lines
    yield "</details>"
    yield ""


def counts(title, tables, metrics, what, unit=""):
    having = [t for t in tables if any(m in metrics for _, m in t.rows)]
    if having:
        yield from details(title, [
            what, "", *full_table(having, counts_cell(metrics, unit))])


def main_metric(tables):
    metrics = dict.fromkeys(t.metric for t in tables if t.metric)
    return "; ".join(f"{m}: {facts.of('metrics', m, 'what', 'see unit')}"
                     for m in metrics)


def is_told(run, table):
    """Growth in time is not: its two figures were not measured in turns."""
    return run.mode != "time" or table.metric != "to-1000"


def all_systems(run, tables):
    what = "ratio to the best peer"
    rounds = facts.rounds_of(tables)
    if run.mode != "time":
        what = f"figure · {what}"
    elif len(rounds) == 1:
        what += f" (its range in {rounds[0]} rounds)"
    elif rounds:
        what += " (its range, of how many rounds)"
    yield from details(f"{run.name}: all systems, {what}",
                       [main_metric(tables) + ".", "",
                        *full_table(tables, cost_cell(len(rounds) > 1))])


def suite_of_run(run, suite):
    tables = [table for table in run.of_suite(suite) if is_told(run, table)]
    yield from summary(run, tables)
    yield from all_systems(run, tables)
    yield from counts(f"{run.name}: system calls · page faults · "
                      "payload copied",
                      tables, COUNTS, COUNTS_LEGEND)
    main, unit = ("time", "ns") if run.mode == "time" else \
        ("instructions", "instr")
    yield from counts(f"{run.name}: {main}, of 100 the 50th · 90th · 99th",
                      tables, [f"{main}-{p}" for p in PERCENTILES],
                      "Where there are too few for the 99th, it is left out.",
                      unit)


def systems_list(systems):
    for system in systems:
        what = facts.of("systems", system, "what")
        if what:
            yield f"- {labels.bold(system, facts.is_ours(system))}: {what}"
    yield ""


def suite_section(runs, suite):
    having = [run for run in runs if suite in run.suites]
    yield f"## {suite}"
    yield ""
    what = facts.of("suites", suite, "what")
    if what:
        yield from (what, "")
    for run in having:
        if plots.is_drawn([run], suite):
            name = plots.suite_name(run, suite)
            yield (f"![{suite}, {run.name}: each system beside the best peer]"
                   f"({plots.file_of(name)})")
            yield ""
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
