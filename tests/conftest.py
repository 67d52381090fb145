"""What every test may rely on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import fact_clip
from fact_clip.config import Config
from fact_clip.data.synthetic import write_workbench

# The same examples in every run; no time limit an example, because the machines of CI are shared.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and parity files beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        reason = f"{folder} is missing: the real data and parity files lie beside the repository"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


# Large enough for the 23 classes of the workbench and their null class, small enough for an epoch in a moment.
TINY: dict[str, dict[str, Any]] = {
    "data": {"name": "workbench", "stride": 4},
    "model": {
        "blocks": "iu",
        "tokens": 40,
        "frame_weight": 0.5,
        "input": {
            "hidden": 40,
            "frame": "m",
            "frame_dim": 8,
            "frame_layers": 2,
            "action_dim": 8,
            "action_layers": 1,
            "heads": 2,
            "feedforward": 8,
        },
        "update": {"frame_layers": 1},
    },
    "train": {"epochs": 2, "batch_size": 2, "lr": 1e-3, "device": "cpu"},
}


def _joined(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    nested = {key: _joined(base.get(key, {}), value) for key, value in top.items() if isinstance(value, dict)}
    return {**base, **top, **nested}


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small videos; split 1 trains on three, validates on one and tests on two. Tests only read it."""
    return write_workbench(tmp_path_factory.mktemp("workbench"), videos=6, persons=3, dim=8)


@pytest.fixture(scope="session")
def tiny(workbench: Path) -> Callable[..., Config]:
    """Make a small configuration on the workbench: ``tiny(train={"epochs": 3})`` changes one key."""

    def make(**groups: dict[str, Any]) -> Config:
        here = {"data": {"root": str(workbench)}}
        return Config.from_tree(_joined(_joined(TINY, here), groups), "tests")

    return make


@pytest.fixture(scope="session")
def tiny_run(tiny: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run folder; tests only read it."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    fact_clip.training.train(tiny(data={"standardize": True, "context": [5]}), folder)
    return folder
