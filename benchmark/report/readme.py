# SPDX-License-Identifier: GPL-2.0-or-later
"""README's table: the figures that readme.csv names, each of a run."""

import fnmatch

import document
import facts
import labels
import rows

BEGIN = "<!-- made by make bench-results -->\n"
END = "<!-- end of what it made -->\n"


def best_of(table, pattern):
    """(cost, system) of the best peer that is PATTERN, or of all."""
    return facts.best(table, lambda system: facts.is_peer(system) and
                      fnmatch.fnmatchcase(system, pattern or "*"))


def line_of(fact, run):
    tables = {str(case): table
              for case, table in (run.tables if run else {}).items()}
    table = tables.get(fact["case"])
    if not table:
        return [fact["what"], "not measured", "", ""]
    ours, peer = facts.best_ours(table), best_of(table, fact["peer"])
    if not ours or not peer:
        raise rows.Bad(f"readme.csv: {table.case} has no '{fact['peer']}', "
                       "or no npheap")
    ratio = facts.times(table, ours[0], peer[0])
    return [fact["what"], labels.figure_label(ours),
            labels.figure_label(peer),
            labels.bold(document.ratio_cell(table, ours[1], peer),
                        facts.is_won(table, ratio))]


def rest(runs):
    """What RESULTS.md has besides."""
    tables = [table for run in runs for table in run.tables.values()]
    peers = {s.removesuffix("-populate")
             for table in tables for s in table.systems if facts.is_peer(s)}
    yield (f"[All results](benchmark/RESULTS.md) have {len(peers)} peers. The "
           f"best of them is ahead of NP-Heap in {document.tally(runs)}; they "
           "are listed there.")


def lines(runs):
    by_name = {run.name: run for run in runs}
    yield from labels.table_lines(
        ["instructions", "NP-Heap", "beside", "ratio"],
        [line_of(fact, by_name.get(fact["run"]))
         for fact in facts.read("readme").values()])
    yield from rest(runs)


def write(path, runs):
    """Replaces what is between the marks in PATH."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise rows.Bad(f"{path}: no place for the table")
    new = "\n".join(lines(runs)).rstrip() + "\n"
    path.write_text(before + begin + new + end + after, encoding="utf-8")
