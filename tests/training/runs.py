"""What a run folder holds, compared bit for bit, and trainings that end before their time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fact_clip.runs.weights import read_weights
from fact_clip.training import trainer

ROOT = Path(__file__).resolve().parents[2]

RANDOM = {
    "data": {"standardize": True, "context": [5]},
    "model": {"input": {"dropout": 0.2}},
    "augment": {"channels": 0.3, "time_spans": 5},
}
"""Everything random that there is: dropout, channel and time masking."""


class Cut(Exception):  # noqa: N818
    """Stands for whatever ends a run before its time."""


def cut_at(patch: pytest.MonkeyPatch, number: int, method: str = "_step") -> list[None]:
    """Let trainings end in the middle of the call of this number; the calls, as they come."""
    real, calls = getattr(trainer.Trainer, method), []

    def failing(self, *args):
        calls.append(None)
        if len(calls) == number:
            raise Cut
        return real(self, *args)

    patch.setattr(trainer.Trainer, method, failing)
    return calls


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def weights(run: Path, name: str = "model") -> dict[str, torch.Tensor]:
    return load_file(run / f"{name}.safetensors")


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def assert_same_runs(one: Path, other: Path) -> None:
    """The log, and the weights and facts of the model and of the state of training."""
    assert log_of(one) == log_of(other)
    for name in ("model", "last"):
        assert_same(weights(one, name), weights(other, name))
        facts = (read_weights(run / f"{name}.safetensors")[1] for run in (one, other))
        assert next(facts) == next(facts)
