"""What every row must be answered with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

from .row import Row

_ASIDE = re.compile(
    r"fact-clip: warning: |\d+ of \d+ |epoch \d+ of \d+|run \d+ of \d+|written: |guessed by the names: "
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def faults(row: Row, outcome: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer, in words; empty if the row passes."""
    wrong = []
    err: str = outcome["err"]
    lines = [line for line in err.splitlines() if line.strip() and not _ASIDE.match(line)]
    if outcome["signal"]:
        wrong.append(f"ended by {outcome['signal']}")
    elif outcome["code"] != row.code:
        wrong.append(f"exit code {outcome['code']} instead of {row.code}")
    if "Traceback" in err:
        wrong.append(f"a traceback: {lines[-1]}")
    elif row.code == 2 and outcome["code"] == 2:
        if len(lines) != 1:
            wrong.append(f"{len(lines)} lines on stderr instead of one")
        if outcome["out"]:
            wrong.append("output on stdout")
        line = re.sub(r"^(?:[^/:,\s]*/)+", "", (lines or [""])[0].removeprefix("fact-clip: "))  # without folders
        if row.place and not (line.startswith(row.place) and line[len(row.place) :][:1] in (":", ",")):
            wrong.append(f"not at {row.place!r}")
    elif row.code == 1 and row.place not in outcome["out"] + err:
        wrong.append(f"no finding at {row.place!r}")
    if _CONTROL.search(err) or _CONTROL.search(outcome["out"]):
        wrong.append("a control character in the answer")
    if max(map(len, lines), default=0) > 2000:
        wrong.append("a line of more than 2000 characters")
    left = [name for name in outcome["new"] if not any(fnmatch(name, pattern) for pattern in row.leaves)]
    if row.room is not None:  # what is written is whole, or under another name that begins with a dot, and taken away
        left += [name for name in outcome["new"] if re.match(r"[.](\d|tmp)", name.rsplit("/", 1)[-1])]
    if left:
        wrong.append(f"left behind: {left[:3]}")
    if outcome["outside"]:
        wrong.append(f"touched outside: {outcome['outside'][:3]}")
    changed = [name for name in outcome["changed"] if not any(fnmatch(name, pattern) for pattern in row.leaves)]
    if changed:
        wrong.append(f"changed: {changed[:3]}")
    return wrong
