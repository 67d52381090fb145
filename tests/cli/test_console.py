"""What every command does alike: messages on stderr, exit codes, the version, completion in the shell."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import fact_clip as package
from fact_clip.cli.console import progress
from fact_clip.cli.errors import run_command

ROOT = Path(__file__).resolve().parents[2]
LOGGER = logging.getLogger("fact_clip.training.somewhere")


def talk() -> None:
    LOGGER.debug("every step")
    LOGGER.info("epoch %d of 2", 1)
    LOGGER.warning("one video\nis short")
    warnings.warn("a length differs", stacklevel=1)
    logging.getLogger("other").warning("of another library")


WARNINGS = ["fact-clip: warning: one video is short", "fact-clip: warning: a length differs"]


def test_the_log_is_lines_on_stderr_where_it_is_no_terminal(capsys):
    assert run_command(talk) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert [line for line in err.splitlines() if "other" not in line] == ["epoch 1 of 2", *WARNINGS]


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_bar_and_warnings_above_it(monkeypatch):
    def command() -> None:
        with progress("training") as report:
            assert report is not None
            report(1, 2, "loss 0.5")
            talk()

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "100")
    assert run_command(command) == 0
    shown = sys.stderr.getvalue()
    assert "epoch 1 of 2" not in shown
    assert all(line in shown for line in WARNINGS)
    assert "training" in shown  # the bar


def test_the_logger_is_left_as_it_was():
    logger = logging.getLogger("fact_clip")
    before = logger.level, logger.propagate, list(logger.handlers)
    run_command(lambda: 3)
    assert (logger.level, logger.propagate, logger.handlers) == before


def refuse() -> None:
    raise package.InputError("a.yaml", "two\nlines")


def missing() -> None:
    Path("/nowhere/at/all").read_text()


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (lambda: 7, 7, ""),
        (lambda: "text", 0, ""),
        (refuse, 2, "fact-clip: a.yaml: two lines\n"),
        (missing, 2, "fact-clip: /nowhere/at/all: No such file or directory\n"),
    ],
)
def test_exit_codes(command, code, message, capsys):
    assert run_command(command) == code
    assert capsys.readouterr().err == message


def program(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fact_clip", *arguments],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **variables},
    )  # fmt: skip


def test_the_package_runs_as_a_module_and_says_its_version(fact_clip):
    answer = program("--version")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"fact-clip {package.__version__}\n", "")
    assert fact_clip("--version").out == answer.stdout
    assert program("evaluate").returncode == 2


@pytest.mark.parametrize(
    ("begun", "words"),
    [
        ("fact-clip ev", ["evaluate"]),
        ("fact-clip data su", ["summary"]),
        ("fact-clip train kscgr_z", ["kscgr_zero_shot", "kscgr_zero_shot_plain"]),
    ],
)
def test_the_shell_completes_commands_and_recipes(begun, words):
    place = str(len(begun.split()) - 1)
    answer = program(_FACT_CLIP_COMPLETE="complete_bash", COMP_WORDS=begun, COMP_CWORD=place)
    assert answer.stdout.split() == words
