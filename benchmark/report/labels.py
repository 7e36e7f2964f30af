# SPDX-License-Identifier: GPL-2.0-or-later
"""How figures and tables are written."""

import math

import facts

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


def digits(value, count):
    """So many digits, and never an exponent."""
    text = f"{value:.{count}g}"
    if "e" not in text:
        return text
    if abs(value) >= 1:
        return f"{value:,.0f}"
    return f"{value:.{count - 1 - math.floor(math.log10(abs(value)))}f}"


def number(value):
    """Three digits: 12, 1.23 k, 45.6 M.  Below 0 is noise of a difference."""
    value = max(value, 0)
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:
            return f"{digits(value / limit, 3)} {letter}"
    return digits(value, 3)


def ratio_label(ratio):
    if ratio is None:
        return "-"
    if math.isinf(ratio):
        return "∞"
    return digits(ratio, 2 if ratio < 0.1 else 3)


def range_label(ends):
    return "–".join(ratio_label(end) for end in ends)


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


def percent(value):
    return f"{digits(100 * value, 2)} %"


def figure_label(figure):
    return f"{number(figure[0])} {figure[1]}" if figure else "-"


def row_label(row):
    return figure_label((row.value, row.system) if row else None)


def rounds_label(ends, rounds):
    """The range of the rounds, and how many they are."""
    return f"{range_label(ends)} ({rounds})" if rounds > 1 else "-"
