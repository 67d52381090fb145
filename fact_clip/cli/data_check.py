"""fact-clip data check."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.arguments import DataSet, Overrides, data_config
from fact_clip.cli.console import progress

if TYPE_CHECKING:
    from fact_clip.data.faults import Inspection


def check(
    data: DataSet,
    overrides: Overrides = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look at every feature value for NaN, also of sets that take minutes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look for faults in a data set: all of them, one line each.

    Looks at the mapping, every split (or that of data.split=NAME), labels and features. Nothing on stdout and exit
    code 0: nothing found; 1: something.

    \b
    Example:
      fact-clip data check ../shared/data/kscgr data.name=kscgr
    """
    from fact_clip.data.faults import inspect

    config = data_config(data, overrides)
    asked = any(override.startswith("data.split=") for override in overrides or [])
    split = str(config.split) if asked and str(config.split) != "all" else None
    with progress("looking at features") as report:
        seen = inspect(config, split, full=full, progress=report)
    if as_json:
        print(json.dumps(_as_dict(seen), indent=2))
    else:
        for kind, fault in seen.faults:
            print(f"{kind}: {' '.join(str(fault).splitlines())}")
        print(_conclusion(seen), file=sys.stderr)
    if seen.faults:
        raise typer.Exit(1)


def _conclusion(seen: Inspection) -> str:
    counts = f"{len(seen.videos)} videos, {len(seen.splits)} splits, {len(seen.names)} classes"
    columns = "" if seen.columns is None else f", {seen.columns} columns"
    found = f"{len(seen.faults)} findings" if seen.faults else "no fault found"
    part = (
        "" if seen.looked_at == 1 else f" ({seen.looked_at:.1%} of the feature values looked at; --full looks at all)"
    )
    return f"{seen.root}: {counts}{columns}; {found}{part}"


def _as_dict(seen: Inspection) -> dict[str, Any]:
    return {
        "root": str(seen.root),
        "videos": len(seen.videos),
        "splits": list(seen.splits),
        "classes": len(seen.names),
        "columns": seen.columns,
        "feature_values_looked_at": seen.looked_at,
        "findings": [
            {"kind": kind, "where": fault.where, "found": fault.found, "expected": fault.expected, "todo": fault.todo}
            for kind, fault in seen.faults
        ],
    }
