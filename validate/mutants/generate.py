# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutants made of kernel-style C, line by line.

  drop   a statement that gives something back, unlocks, counts down, undoes or
         tells somebody is left out
  false  a check is never true, or a loop never entered; what its condition
         calls is called once

No parser: the code is indented as checkpatch wants it, and a statement or
condition ends where its parentheses are balanced.
"""
import difflib
import os
import re

# Not of the module's work: its own tests, and what traces are made of.
LEFT_OUT = ("trace.h", "heap_test.c")

# The words of a name that gives back, unlocks, undoes, wakes or tells.
UNDOES = (
    "put fput iput mntput unlock free kfree kunmap munmap call_rcu "
    "uncharge release abandon erase del delete detach remove destroy "
    "unregister deregister unpublish unmap unmapped unmount unwatch "
    "uncount down wake tell settle advance drop barrier synchronize mb "
    "pass_on resized flush sub dec truncate mmdrop exit stop mark break "
    "finish give_back set_state clear ").split()
DROPPED = re.compile(
    rf"^\t+(?:[a-z]\w*->)?(?:\w*_)?(?:{'|'.join(UNDOES)})(?:_\w+)?\("
    r"|^\t+(?:up_read|up_write|xchg)\("
    r"|^\t+--[a-z][\w>.-]*;"
    r"|^\t+[a-z][\w>.-]*(?:--;| -= )")
# Takes a lock, or is only about them.
NOT_DROPPED = re.compile(r"^\t+(?:down_\w+|lockdep_\w+|trace_\w+|\w*_begin)\(")
CHECK = re.compile(r"^\t+(?:\} )?(?:(?:else )?if|while) \((?!true\))")
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
    """The text of the statement of line n, and the lines without it, or None."""
    end = end_of(lines, n)
    if not lines[end].rstrip().endswith(";"):
        return None
    indent = re.match(r"\t+", lines[n]).group()
    return squeezed(lines[n:end + 1]), \
        lines[:n] + [indent + ";\n"] + lines[end + 1:]


def closing(text, opening):
    """Where the parenthesis closes that opens there."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at
    return None


def never(lines, n):
    """The text of the check of line n, and the lines where it is never true.

    The end of a do-loop is no check: without it the loop is entered all the same.
    """
    end = end_of(lines, n)
    text = "".join(lines[n:end + 1])
    opening = text.index("(")
    close = closing(text, opening)
    if close is None or text[close + 1:].startswith(";"):
        return None
    changed = f"{text[:opening]}(({text[opening + 1:close]}) && false)" + \
        text[close + 1:]
    return squeezed(lines[n:min(end + 2, len(lines))]), \
        lines[:n] + [changed] + lines[end + 1:]


def changes(lines):
    """Yields the kind, function and text of each change, and all lines then."""
    function = None
    for n, line in enumerate(lines):
        found = FUNCTION.match(line)
        if found:
            function = found.group(1)
        if function is None:
            continue
        if CHECK.match(line):
            kind, change = "false", never(lines, n)
        elif DROPPED.match(line) and not NOT_DROPPED.match(line):
            kind, change = "drop", dropped(lines, n)
        else:
            continue
        if change:
            yield kind, function, change[0], change[1]


def mutants(top, folder):
    """Yields the name, the bug in words, and the patch of each."""
    for name in sorted(os.listdir(f"{top}/{folder}")):
        if not name.endswith((".c", ".h")) or name in LEFT_OUT:
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
