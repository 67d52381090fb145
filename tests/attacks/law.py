"""What every row must be answered with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

from .row import Row

MEGABYTES = 1024  # above what the modules take, which all rows share

_ASIDE = re.compile(
    r"fact-clip: warning: |\d+ of \d+ |epoch \d+ of \d+|run \d+ of \d+|written: |guessed by the names: "
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def faults(row: Row, found: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer, in words; empty if the row passes."""
    wrong = []
    err: str = found["err"]
    lines = [line for line in err.splitlines() if line.strip() and not _ASIDE.match(line)]
    if found["signal"]:
        wrong.append(f"ended by {found['signal']}")
    elif found["code"] != row.code:
        wrong.append(f"exit code {found['code']} in place of {row.code}")
    if "Traceback" in err:
        wrong.append(f"a traceback: {lines[-1]}")
    elif row.code == 2:
        if found["code"] == 2 and len(lines) != 1:
            wrong.append(f"{len(lines)} lines on stderr in place of one")
        if found["code"] == 2 and found["out"]:
            wrong.append("output on stdout")
    said = found["out"] + err if row.code != 2 else "\n".join(lines)
    wrong += [f"not said: {word!r}" for word in row.words if word not in said]
    if _CONTROL.search(err) or _CONTROL.search(found["out"]):
        wrong.append("a control character in the answer")
    if max(map(len, lines), default=0) > 2000:
        wrong.append("a line of more than 2000 characters")
    left = [name for name in found["new"] if not any(fnmatch(name, pattern) for pattern in row.leaves)]
    if row.room is not None:  # what is written is whole, or under another name that begins with a dot, and taken away
        left += [name for name in found["new"] if re.match(r"[.](\d|tmp)", name.rsplit("/", 1)[-1])]
    if left:
        wrong.append(f"left behind: {left[:3]}")
    if found["outside"]:
        wrong.append(f"touched outside: {found['outside'][:3]}")
    changed = [name for name in found["changed"] if not any(fnmatch(name, pattern) for pattern in row.leaves)]
    if changed:
        wrong.append(f"changed: {changed[:3]}")
    return wrong
