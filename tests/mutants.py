"""What `mutmut run` found: the mutants that no test noticed, and a line a room; exit code 1 at 10 % or more.

`mutmut show NAME` prints one of them.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

SURVIVED, NO_TESTS = 0, 33  # mutmut's exit codes; None: not tried yet, any other: a test failed, or ran for ever


def main() -> int:
    """Print and judge; the exit code."""
    rooms: dict[str, Counter[str]] = {}
    for path in sorted(Path("mutants/fact_clip").glob("*/*.py.meta")):
        counts = rooms.setdefault(path.parent.name, Counter())
        for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
            counts["tried"] += code is not None
            if code in (SURVIVED, NO_TESTS):
                counts["survived"] += 1
                print(name)
    tried = {room: counts for room, counts in rooms.items() if counts["tried"]}
    for room, counts in tried.items():
        share = 100 * counts["survived"] / counts["tried"]
        print(f"{room}: {counts['tried']} mutants, {counts['survived']} survived ({share:.1f} %)")
    return int(not tried or any(10 * counts["survived"] >= counts["tried"] for counts in tried.values()))


if __name__ == "__main__":
    sys.exit(main())
