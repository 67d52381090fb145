"""The result of `make audit`: vulnerabilities, and how many packages were checked at all."""

from __future__ import annotations

import json
import sys
from typing import Any


def verdict(report: dict[str, Any]) -> tuple[str, bool]:
    """Lines for a person, and whether packages were checked and all are clean."""
    skipped = [package["name"] for package in report["dependencies"] if "skip_reason" in package]
    checked = [package for package in report["dependencies"] if "skip_reason" not in package]
    lines = []
    for package in checked:
        for fault in package["vulns"]:
            fix = ", ".join(fault["fix_versions"]) or "none"
            lines.append(f"{package['name']} {package['version']}: {fault['id']}, corrected in {fix}")
    is_clean = bool(checked) and not lines
    if skipped:
        lines.append(f"not checked, because PyPI has no data about them here: {', '.join(skipped)}")
    if not checked:
        lines.append("NOTHING WAS CHECKED")
    return "\n".join([*lines, f"{len(checked)} of {len(report['dependencies'])} packages checked"]), is_clean


if __name__ == "__main__":
    answer, is_clean = verdict(json.load(sys.stdin))
    print(answer)  # noqa: T201
    sys.exit(not is_clean)
