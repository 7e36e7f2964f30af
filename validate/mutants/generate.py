# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutants made of kernel-style C, line by line.

  drop   a statement that gives something back, locks, or tells somebody, is
         left out
  false  a check that would return, go on, break or jump never does; what it
         calls is called

No parser: the code is indented as checkpatch wants it, and a statement or
condition ends where its parentheses are balanced.
"""
import difflib
import os
import re

# What gives back, unlocks, undoes, wakes or tells, by the words of its name.
DROPPED = re.compile(
    r"^\t+(?:[a-z]\w*->)?\w*(?:put|unlock|free|uncharge|release|abandon|erase|"
    r"del|remove|destroy|unregister|unpublish|unmap|unwatch|uncount|wake|tell|"
    r"settle|advance|drop|barrier|synchronize|mb|pass_on|resized|flush|sub|dec|"
    r"truncate|mmdrop)(?:_\w+)?\(")
CHECK = re.compile(r"^(\t+)(if|else if|while) \(")
LEAVES = re.compile(r"^\t+(return|goto|break|continue)\b")
FUNCTION = re.compile(r"^[a-z].*?(\w+)\(")


def end_of(lines, n):
    """The last line of the statement or condition that begins in line n."""
    depth = 0
    for end in range(n, len(lines)):
        depth += lines[end].count("(") - lines[end].count(")")
        if depth <= 0:
            return end
    return n


def squeezed(lines):
    return " ".join(line.strip() for line in lines)


def dropped(lines, n):
    """The lines without the statement of line n, or None."""
    end = end_of(lines, n)
    if not lines[end].rstrip().endswith(";"):
        return None
    indent = re.match(r"\t+", lines[n]).group()
    return squeezed(lines[n:end + 1]), \
        lines[:n] + [indent + ";\n"] + lines[end + 1:]


def never(lines, n, indent, word):
    """The lines with a check that never leaves, or None."""
    end = end_of(lines, n)
    if end + 1 >= len(lines) or not LEAVES.match(lines[end + 1]) or \
       not lines[end].rstrip().endswith(")"):
        return None
    text = "".join(lines[n:end + 1])
    start = len(indent) + len(word) + 2
    changed = f"{text[:start]}({text[start:].rstrip()[:-1]}) && false)\n"
    return squeezed(lines[n:end + 2]), \
        lines[:n] + [changed] + lines[end + 1:]


def changes(lines):
    """Yields the kind, function and text of each change, and all lines then."""
    function = None
    for n, line in enumerate(lines):
        found = FUNCTION.match(line)
        if found:
            function = found.group(1)
        check = CHECK.match(line)
        if function is None or line.startswith("#"):
            continue
        if DROPPED.match(line):
            kind, change = "drop", dropped(lines, n)
        elif check:
            kind, change = "false", never(lines, n, check.group(1),
                                          check.group(2))
        else:
            continue
        if change:
            yield kind, function, change[0], change[1]


def mutants(top, folder):
    """Yields the name, the bug in words, and the patch of each."""
    for name in sorted(os.listdir(f"{top}/{folder}")):
        if not name.endswith((".c", ".h")) or name == "trace.h":
            continue
        path = f"{folder}/{name}"
        with open(f"{top}/{path}", encoding="utf-8") as file:
            lines = file.readlines()
        seen = {}
        for kind, function, text, changed in changes(lines):
            mutant = f"{name}:{function}:{kind}:{text}"
            seen[mutant] = seen.get(mutant, 0) + 1
            if seen[mutant] > 1:
                mutant += f"#{seen[mutant]}"
            patch = difflib.unified_diff(
                lines, "".join(changed).splitlines(True),
                f"a/{path}", f"b/{path}")
            yield mutant, f"{kind} {text}", "".join(patch)
