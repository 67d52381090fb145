"""A small data set in the common layout, sound until a test plants a fault in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.datasets.dataset import Dataset

from ..small import write_dataset

NAMES = ("idle", "pour milk", "stir")
# Frames of each video; none is near the 5 columns of the features.
LENGTHS = {"a": 40, "b": 55, "c": 61, "d": 38}
TRAIN, TEST = ("a", "b", "c"), ("d",)


def labels_of(name: str) -> list[str]:
    """Thirds of idle, pour milk and stir."""
    length = LENGTHS[name]
    return [NAMES[min(frame * 3 // length, 2)] for frame in range(length)]


def features_of(name: str) -> np.ndarray:
    rng = np.random.default_rng(len(name) + LENGTHS[name])
    return rng.standard_normal((LENGTHS[name], 5)).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder of the data set, features stored time first."""
    labels, features = ({name: of(name) for name in LENGTHS} for of in (labels_of, features_of))
    return write_dataset(tmp_path, NAMES, labels, features, train=TRAIN, test=TEST)


@pytest.fixture
def open_set(root: Path) -> Callable[..., Dataset]:
    """Open the data set; keys of DataConfig as arguments."""

    def opened(**keys: object) -> Dataset:
        return Dataset.open(DataConfig.model_validate({"root": str(root), "validation": 0.0, **keys}))

    return opened
