"""fact-clip data check."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from fact_clip.cli.arguments import data_config
from fact_clip.cli.console import note, progress
from fact_clip.cli.options import AsJson, DataSet, Overrides

if TYPE_CHECKING:
    from fact_clip.datasets.inspect import Finding

MAX_PRINTED = {"note": 3, "error": 100}
"""Maximum number of findings of one kind to print, by severity."""


def check(
    data: DataSet,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check a data set, and print one line per fault.

    The command reads the mapping, the labels, the features and every split, or only the split of
    data.split=NAME. It reads a data set folder according to its recipe.yaml, if there is one. The
    exit code is 1 if there is an error, but not for notes, such as a class without training frames.
    For each kind, at most 3 notes and 100 errors are printed. Without faults, stdout is empty.

    \b
    Example:
      fact-clip data check data/kscgr data.name=kscgr
    """
    from fact_clip.datasets.inspect import Inspection

    config = data_config(data, overrides)
    names_split = any(override.startswith("data.split=") for override in overrides or [])
    split = str(config.split) if names_split and config.split != "all" else None
    with progress("reading features") as report:
        inspection = Inspection(config, split, report)
        findings = sorted(inspection, key=lambda finding: finding.severity)
    n_notes = sum(finding.severity == "note" for finding in findings)
    n_errors = len(findings) - n_notes
    if as_json:
        tree = {
            "root": str(inspection.root),
            "videos": len(inspection.videos),
            "splits": list(inspection.splits),
            "classes": len(inspection.class_names),
            "columns": inspection.columns,
            "errors": n_errors,
            "notes": n_notes,
            "findings": [
                {
                    "severity": finding.severity,
                    "kind": finding.kind,
                    "where": str(finding.error.where),
                    "found": finding.error.problem,
                    "todo": finding.error.fix,
                }
                for finding in findings
            ],
        }
        print(json.dumps(tree, indent=2))
    else:
        _print_findings(findings)
        line = (
            f"{inspection.root}: {len(inspection.videos)} videos, {len(inspection.splits)} splits, "
            f"{len(inspection.class_names)} classes"
        )
        if inspection.columns is not None:
            line += f", {inspection.columns} columns"
        counts = f"{n_errors} errors, {n_notes} notes" if findings else "no faults found"
        note(f"{line}; {counts}")
    if n_errors:
        raise typer.Exit(1)


def _print_findings(findings: Sequence[Finding]) -> None:
    """Print the first findings of each kind, and the number of further findings."""
    counts = Counter[tuple[str, str]]()
    for finding in findings:
        severity = finding.severity
        counts[severity, finding.kind] += 1
        if counts[severity, finding.kind] <= MAX_PRINTED[severity]:
            print(f"{severity}: {finding.kind}: {finding.error}")
    for (severity, kind), count in counts.items():
        further = count - MAX_PRINTED[severity]
        if further > 0:
            print(f"{severity}: {kind}: and {further} more (--json has all)")
