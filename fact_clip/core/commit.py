"""Which commit of this repository is running."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str | None:
    """The commit of the checkout that this package lies in, with "+" where files differ from it; None without one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    found = []
    for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            answer = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        except OSError:  # no git
            return None
        if answer.returncode:
            return None
        found.append(answer.stdout.strip())
    return found[0] + ("+" if found[1] else "")
