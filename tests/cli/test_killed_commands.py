"""`extract` and `segment` that are cut off at any time leave whole files, and go on where they stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from fact_clip.cli import main

from ..films import numbered, write_video
from ..launch import begin
from ..training.test_ensemble import wait_until
from ..training.test_kills import KILLS

SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
pytestmark = pytest.mark.slow


def cut_off(words: list[str], number: int, begun: Path, pattern: str) -> tuple[int, str]:
    """Start a command, send a signal a moment after the first file is there; exit code and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        stderr = Path(folder, "stderr")
        process = begin("-m", "fact_clip", *words, err=stderr)
        wait_until(lambda: any(begun.glob(pattern)) or not process.is_alive(), 300)
        time.sleep(random.uniform(0, 0.3))
        with suppress(ProcessLookupError):  # it was done before
            os.kill(process.pid, number)
        process.join()
        return process.exitcode, stderr.read_text()


def below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file() and path.name[0] != "."}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Thirty copies of a short video under different names."""
    folder = tmp_path_factory.mktemp("films")
    first = write_video(folder / "a00.mp4", numbered(150))
    for number in range(1, 30):
        shutil.copy(first, folder / f"a{number:02}.mp4")
    return folder


@pytest.fixture(scope="module")
def extracted(films, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    assert main(["extract", str(films), "--encoder", "grid", "--fps", "30", "--out", str(out)]) == 0
    return below(out)


@pytest.mark.parametrize("turn", range(KILLS))
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130)])
def test_extract(turn, number, code, films, extracted, tmp_path):
    """SIGKILL is that of `tests/batch/test_kills.py`, and SIGTERM ends commands as SIGINT does (`test_segment`)."""
    words = ["extract", str(films), "--encoder", "grid", "--fps", "30", "--out", str(tmp_path)]
    found, said = cut_off(words, number, tmp_path, "*.npy")
    assert found in (code, 0), said
    told = [line for line in said.splitlines() if line.startswith("fact-clip")]
    answers = [["fact-clip: interrupted; repeat the command to process the remaining inputs"]] if found > 0 else [[]]
    if found > 0 and below(tmp_path) == extracted:  # the signal came after the last video
        answers.append(["fact-clip: interrupted"])
    assert told in answers
    for name, content in below(tmp_path).items():
        assert name.endswith(".part") or content == extracted[name], name
    assert main(words) == 0
    assert below(tmp_path) == extracted


@pytest.mark.parametrize("turn", range(KILLS))
@pytest.mark.parametrize(("number", "code"), SIGNALS.items())
def test_segment(turn, number, code, tiny_run, workbench, tmp_path):
    features, out = tmp_path / "in", tmp_path / "out"
    features.mkdir()
    array = np.load(workbench / "features" / "person1_video1.npy")
    for place in range(80):
        np.save(features / f"a{place:02}.npy", array)
    words = ["segment", "--run", str(tiny_run), str(features), "--format", "csv,eaf,json", "--out", str(out)]
    found, said = cut_off(words, number, out, "*.csv")
    assert found in (code, 0), said
    first = below(out)
    assert main(words) == 0
    whole = below(out)
    assert len(whole) == 240
    assert all(whole[name] == content for name, content in first.items())
    tables = {content for name, content in whole.items() if name.endswith(".csv")}
    assert len(tables) == 1  # one array, one result
