"""Two labellings of a video against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fact_clip.core import InputError, Vocabulary, runs
from fact_clip.metrics import cohen_kappa, edit, f1, frame_accuracy
from fact_clip.metrics.segmental import OVERLAPS


def compared(first: Sequence[str], second: Sequence[str], background: Sequence[str] = ()) -> dict[str, Any]:
    """Return how far two labellings (T,) agree, in percent but kappa, and where they differ.

    Returns:
        ``{"figures": {"frame_accuracy", "f1@10", "f1@25", "f1@50", "edit", "kappa"}, "differences": [{"start", "stop",
        "label"}, ...]}``, differences in frames. Labellings of different length are an InputError.
    """
    if len(first) != len(second):
        problem = f"{len(first)} frames against {len(second)}"
        raise InputError("labels", problem, "compare labels of one video at one rate")
    vocabulary = Vocabulary.from_names(dict.fromkeys([*first, *second]))
    indices, others = vocabulary.encode(first), vocabulary.encode(second)
    left_out = [vocabulary.index(name) for name in background if name in vocabulary]
    figures = {
        "frame_accuracy": frame_accuracy([indices], [others]),
        **{f"f1@{overlap}": f1([indices], [others], overlap, left_out) for overlap in OVERLAPS},
        "edit": edit([indices], [others], left_out),
        "kappa": cohen_kappa([indices], [others]),
    }
    pairs = indices * len(vocabulary) + others
    differences = [
        {"start": start, "stop": stop, "label": f"{first[start]} / {second[start]}"}
        for start, stop, _ in runs(pairs)
        if first[start] != second[start]
    ]
    return {"figures": figures, "differences": differences}
