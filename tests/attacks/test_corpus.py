"""Every row of the corpus is answered in one plain line, in time and memory, and touches nothing that it should not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .law import faults
from .row import Row
from .rows import ROWS
from .server import NO_MOUNT

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The answer to each row that is asked for, by its name; all are run at once."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    asked = [row.name for each in params if isinstance(row := each.get("row"), Row)]
    command = [sys.executable, "-m", "tests.attacks.server", str(tmp_path_factory.mktemp("attacks")), str(os.cpu_count() or 1)]  # fmt: skip
    done = subprocess.run(command, input="\n".join(asked), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return {answer["name"]: answer for answer in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[row.name]
    if answer["signal"] == NO_MOUNT:
        pytest.skip(NO_MOUNT)
    assert not faults(row, answer), f"{row.command}\n{answer['err'][-2000:]}"
