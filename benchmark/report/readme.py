# SPDX-License-Identifier: GPL-2.0-or-later
"""README's table: the figures that readme.csv names, of one run."""

import document
import facts
import rows

BEGIN = "<!-- made by make bench-results -->\n"
END = "<!-- end of what it made -->\n"
RUN = "instructions-6.1"


def line_of(what, table, peer):
    ours = facts.best_ours(table)
    cost = table.cost(peer)
    if not ours or cost is None:
        raise rows.Bad(f"readme.csv: {table.case} has no {peer} or no npheap")
    ratio = facts.times(table, ours[0], cost)
    return [what, document.figure_label(ours),
            document.figure_label((cost, peer)),
            document.bold(document.ratio_label(ratio), ratio < 1)]


def lines(runs):
    run = next((run for run in runs if run.name == RUN), None)
    tables = {str(case): table
              for case, table in (run.tables if run else {}).items()}
    body = [line_of(fact["what"], tables[fact["case"]], fact["peer"])
            for fact in facts.read("readme").values()
            if fact["case"] in tables]
    return document.table_lines(
        ["instructions", "NP-Heap", "beside", "ratio"], body)


def write(path, runs):
    """Replaces what is between the marks in PATH."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise rows.Bad(f"{path}: no place for the table")
    new = "\n".join(lines(runs)).rstrip() + "\n"
    path.write_text(before + begin + new + end + after, encoding="utf-8")
