"""An encoder that counts what it is asked."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.encoders.sentence import HashEncoder


class Counting:
    """The hashed encoder under a name of its own; remembers the texts of each call."""

    def __init__(self, name: str = "counting", size: int = 32) -> None:
        self.name = name
        self.calls: list[list[str]] = []
        self._inner = HashEncoder(size)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.calls.append(list(texts))
        return self._inner.encode_texts(texts)


@pytest.fixture
def counting() -> Counting:
    return Counting()
