"""Every block of README and the tutorials runs, in order and in one folder, as a reader would; commands in docs/ exist.

A block that cannot run here has a line before it that says why: ``<!-- not run: needs a download -->``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fact_clip.cli import COMMANDS

from .shell import commands

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [README, CONTRIBUTING, *sorted((ROOT / "docs").glob("*.md")), *TUTORIALS]
MARKER = re.compile(r"<!-- not run: (.+) -->")
SHOWN = ("fact_clip", "fact_clip_app", "scripts", "docs", "pyproject.toml", "README.md", "LICENSE")
"""What a block may use of a clone."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its section, language, code and first line, and why it is not run (empty: it is)."""

    section: str
    language: str
    code: str
    line: int
    not_run: str = ""


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page in order."""
    found: list[Block] = []
    section, reason, code, opened = "", "", list[str](), None
    for number, line in enumerate(text.splitlines(), start=1):
        fence = line.strip().startswith("```")
        if opened is not None:
            if fence:
                found.append(Block(section, opened[0], "\n".join(code), opened[1], reason))
                opened, reason = None, ""
            else:
                code.append(line)
        elif fence:
            opened, code = (line.strip().removeprefix("```"), number), []
        elif marker := MARKER.search(line):
            reason = marker[1]
        elif line.startswith("#"):
            section = line.lstrip("# ")
        elif line.strip():
            reason = ""  # a marker stands right before its block
    return found


def environment() -> dict[str, str]:
    """Variables of a shell in which `fact-clip` and `python` are those of this checkout."""
    own = {"PATH": f"{commands()}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return {key: value for key, value in os.environ.items() if key != "FACT_CLIP_DATA"} | own


def clone(folder: Path) -> Path:
    folder.mkdir()
    for name in SHOWN:
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(block: Block, folder: Path) -> None:
    """Run a block; what it printed is the message if it fails."""
    python = block.language == "python"
    command = ["python", "-c", block.code] if python else ["bash", "-euo", "pipefail", "-c", block.code]
    answer = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=1800)
    if answer.returncode:
        where = f"the {block.language} block at line {block.line} ended with {answer.returncode}"
        pytest.fail(f"{where}\n{block.code}\n--- stdout\n{answer.stdout}\n--- stderr\n{answer.stderr}")


# --- README -----------------------------------------------------------------------------------------------

BLOCKS = [block for block in blocks(README.read_text(encoding="utf-8")) if block.language in ("bash", "python")]
WITH_OWN_DATA = ("3. My own labels", "Actions without examples")  # which test_stranger.py runs on a folder of its own


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder like a clone in which the demo has run; `fact-clip demo` is the first command of README."""
    made = clone(tmp_path_factory.mktemp("readme") / "clone")
    run(Block("Start", "bash", "fact-clip demo --out demo-out | tee demo.txt", 0), made)
    return made


def shortened(block: Block) -> Block:
    """A block of README with trainings of a few epochs."""
    code = block.code.replace("--minutes 0.5 ", "--minutes 0.1 ").replace("train.epochs=20", "train.epochs=3")
    return replace(block, code=code)


def test_readme_shows_four_jobs_in_order():
    text = README.read_text(encoding="utf-8")
    headings = [line.lstrip("# ") for line in text.splitlines() if line.startswith("## ")]
    jobs = ["1. On the labelling page, without code", "2. Type names", "3. My own labels", "4. In Python"]
    assert headings == ["Install", *jobs, "Results", "Limits", "More"]
    pictures = re.findall(r"!\[[^\]]+\]\((?!https:)([^)]+)\)", text)
    assert len(pictures) == 3
    assert all((ROOT / path).is_file() for path in pictures)


@pytest.mark.slow
def test_the_demo_names_what_it_never_saw(folder):
    printed = (folder / "demo.txt").read_text(encoding="utf-8")
    assert all(text in printed for text in ("30 real recordings", "frame accuracy", "confidence"))
    written = {path.name for path in (folder / "demo-out").iterdir()}
    assert {"data", "run", "timeline.png"} <= written
    result, closed = (
        json.loads((folder / f"demo-out/{run}/evaluation.json").read_text(encoding="utf-8"))
        for run in ("run", "closed")
    )
    assert result["metrics"]["frame_accuracy"] > 40
    reads_names, knows_none = (found["zero_shot"]["ways"]["in use"] for found in (result, closed))
    assert reads_names["U"] > 50
    assert reads_names["H"] > 50
    assert knows_none["U"] < 2


@pytest.mark.slow
def test_the_blocks_of_readme_run(folder):
    for block in BLOCKS:
        if not block.not_run:
            run(shortened(block), folder)


@pytest.mark.slow
def test_the_tutorial_of_50salads_in_short(real_data, tmp_path, monkeypatch):
    """Four epochs of one model."""
    monkeypatch.setenv("SALADS", str(real_data("salads")))
    folder = clone(tmp_path / "clone")
    for block in blocks((ROOT / "docs/tutorials/salads.md").read_text(encoding="utf-8")):
        if block.not_run == "needs 50Salads":
            run(
                replace(
                    block,
                    code=block.code.replace("train salads1.yaml", "train salads1.yaml train.epochs=4 train.members=1"),
                ),
                folder,
            )
    metrics = json.loads((folder / "runs/salads1/evaluation.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["frame_accuracy"] > 55
    assert metrics["f1@10"] > 55


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_blocks_of_a_tutorial_run(page, tmp_path):
    """Trainings of twelve seconds in three, or of one model instead of three, on nine videos instead of 24."""
    folder = clone(tmp_path / "clone")
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language in ("bash", "python") and not block.not_run:
            code = block.code.replace("--minutes 0.2", "--minutes 0.05")
            code = code.replace("train.epochs=2 ", "train.epochs=2 train.members=1 ")
            run(replace(block, code=code.replace("--name assembly", "--name assembly --videos 9")), folder)


# --- commands of all pages --------------------------------------------------------------------------------


def fact_clip_commands(code: str) -> list[list[str]]:
    """The words of each `fact-clip` command in a shell block, comments left out."""
    lines = code.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if "fact-clip " in line]
    return [one[one.index("fact-clip") + 1 :] for one in words if "fact-clip" in one]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_and_options_exist(path, capsys):
    from fact_clip.cli import main

    helps: dict[str, str] = {}
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language not in ("bash", "console"):
            continue
        for words in fact_clip_commands(block.code):
            name = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), "")
            where = f"{path.name}, block at line {block.line}: fact-clip {shlex.join(words)}"
            assert name or words[0].startswith("--"), where
            if name not in helps:
                main([*name.split(), "--help"])
                helps[name] = capsys.readouterr().out
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                text = helps[name].replace("\n", " ").replace(",", " ")  # of two names of an option, too
                assert f"  {option} " in text, f"{where}: no {option}"
