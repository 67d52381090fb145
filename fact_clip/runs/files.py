"""The names of the files in a run folder, and the commit of the code that makes a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

FILES = (
    "config.yaml",
    "vocabulary.json",
    "run.json",
    "features.safetensors",
    "model.safetensors",
    "calibration.json",
    "confidence.json",
    "decoding.json",
)
"""Files that determine the results of a run, in the run folder and in the folders of members."""

RESULT_FILES = ("model.safetensors", "calibration.json", "confidence.json", "decoding.json")
"""The files in `FILES` that further training changes."""

PATTERNS = (*FILES, *(f"members/*/{name}" for name in FILES))

COPY_AGAIN = "copy the run folder again"
"""What to do about a damaged run folder."""


def member_folders(path: Path, members: int) -> list[Path]:
    """Return the folders of an ensemble's members. The first member is the run itself, and is left
    out."""
    return [path / "members" / str(number) for number in range(2, members + 1)]


def remove_unfinished(path: Path) -> None:
    """Remove the temporary files of killed training processes from a locked run folder."""
    patterns = [
        ".tmp*",  # of safetensors
        "members/.[0-9]*-*.yaml",
        *(f".[0-9]*-{name}" for name in (*FILES, "log.*", "*.safetensors")),
    ]
    for pattern in patterns:
        for file in list(path.glob(pattern)):
            file.unlink()


def evaluation_stem(split: str, has_actions: bool = False, is_changed: bool = False) -> str:
    """Return the name, without suffix, of the files that an evaluation writes into a run.

    Args:
        split: Split of the videos.
        has_actions: Whether candidates were given.
        is_changed: Whether settings or data differ from the run, so that the figures are not the
            figures of the run.
    """
    stem = "evaluation"
    if split != "test":
        stem += f"_{split}"
    if has_actions:
        stem += "_actions"
    if is_changed:
        stem += "_changed"
    return stem


def commit() -> str | None:
    """Return the git commit of the checkout, with "+" if files differ, or None without git."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
