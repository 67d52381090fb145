"""Labels of published data sets, and numbers that the published code computed (README.md)."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

from fact_clip.core import Vocabulary

TESTS = Path(__file__).resolve().parent
RECORDED = TESTS / "compat" / "recorded"
LABELS = TESTS / "labels"
BREAKFAST_MAPPING = LABELS / "breakfast" / "mapping.txt"
HAVID_MAPPING = LABELS / "havid" / "primitive_tasks.txt"

CASES = tuple(sorted(path.name.partition(".")[0] for path in RECORDED.glob("*.safetensors.xz")))
"""The recorded models."""

BREAKFAST_TEST_PERSONS = {1: range(3, 16), 2: range(16, 29), 3: range(29, 42), 4: range(42, 55)}
"""The persons in the test videos of each published split."""


def read_case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts of a recorded model (configuration, classes) and its tensors by name."""
    from safetensors.torch import load

    facts = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    tensors = load(lzma.decompress((RECORDED / f"{name}.safetensors.xz").read_bytes()))
    return facts, tensors


def breakfast_classes() -> tuple[str, ...]:
    """Return the 48 class names of Breakfast."""
    return Vocabulary.from_mapping(BREAKFAST_MAPPING).names


def breakfast_segments() -> dict[str, list[tuple[int, int]]]:
    """Return the segments (class index, frames) of each of the 1,712 videos of Breakfast."""
    content = (LABELS / "breakfast" / "segments.json").read_text(encoding="utf-8")
    return {
        video: [(label, n_frames) for label, n_frames in segments] for video, segments in json.loads(content).items()
    }


def breakfast_split(split: int) -> dict[str, list[str]]:
    """Return the training and test videos of a published split of Breakfast."""
    persons = BREAKFAST_TEST_PERSONS[split]
    videos: dict[str, list[str]] = {"train": [], "test": []}
    for video in breakfast_segments():
        person = int(video[1:3])
        videos["test" if person in persons else "train"].append(video)
    return videos


def havid_tasks() -> tuple[str, ...]:
    """Return the codes of the 75 primitive tasks of HA-ViD."""
    return Vocabulary.from_mapping(HAVID_MAPPING).names
