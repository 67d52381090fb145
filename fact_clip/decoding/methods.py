"""From the scores of all frames to one class a frame: the ways that ``decode.method`` names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DecodeConfig
from fact_clip.decoding.switching import decode_switching
from fact_clip.decoding.transport import decode_transport

Method = Callable[[NDArray[np.floating], DecodeConfig], NDArray[np.int64]]


def _switching(log_scores: NDArray[np.floating], config: DecodeConfig) -> NDArray[np.int64]:
    return decode_switching(log_scores, config.switch_penalty)


def _transport(log_scores: NDArray[np.floating], config: DecodeConfig) -> NDArray[np.int64]:
    # A class that is ruled out has no part in the plan, whose classes are drawn to equal shares.
    candidates = np.flatnonzero(np.isfinite(log_scores).any(axis=0))
    return candidates[decode_transport(np.exp(log_scores[:, candidates]))]


METHODS: dict[str, Method] = {"switching": _switching, "transport": _transport}
"""Name -> (log scores (T, C), -inf where a class is no candidate; configuration) to class indices (T,)."""
