"""Ctrl-C, SIGTERM and SIGHUP: one line, and the exit code of shells."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fact_clip.cli.errors import run_command
from fact_clip.cli.signals import InterruptedCommandError, interruptible

pytestmark = pytest.mark.usefixtures("heard")

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def interrupted_by(number: int, text: str = "") -> None:
    """A command that gets a signal, and may have something to say."""
    try:
        os.kill(os.getpid(), number)
        time.sleep(5)
    except KeyboardInterrupt:
        if text:
            raise InterruptedCommandError(text) from None
        raise


@pytest.mark.parametrize(("number", "code"), SIGNALS.items())
def test_one_line_and_the_code_of_shells(number, code, capsys):
    before = [signal.getsignal(each) for each in SIGNALS]
    assert run_command(lambda: interrupted_by(number)) == code
    assert capsys.readouterr() == ("", "fact-clip: interrupted\n")
    assert run_command(lambda: interrupted_by(number, "the same command goes on")) == code
    assert capsys.readouterr() == ("", "fact-clip: interrupted; the same command goes on\n")
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_the_others_of_several_processes_say_nothing(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert run_command(lambda: interrupted_by(signal.SIGTERM)) == 143
    assert capsys.readouterr() == ("", "")


def test_an_ignored_signal_stays_ignored():
    """nohup and background jobs of scripts ignore some."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as came:
            os.kill(os.getpid(), signal.SIGHUP)
        assert came == []
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_that_does_not_end_is_ended():
    code = """
import os, signal, sys, time
from fact_clip.cli import errors, signals
signals.PATIENCE = 0.2
def stubborn():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGTERM)  # a second one changes nothing
        time.sleep(600)
sys.exit(errors.run_command(stubborn))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (answer.returncode, answer.stderr) == (143, "fact-clip: interrupted\n")
