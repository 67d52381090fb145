"""Two labellings of a video against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fact_clip.app.sessions import Upload
from fact_clip.core import InputError, Segmentation, Vocabulary, runs
from fact_clip.core.clock import Clock
from fact_clip.formats import FORMATS, load
from fact_clip.formats.annotations import Options, to_frames
from fact_clip.metrics import cohen_kappa, edit, f1, frame_accuracy
from fact_clip.metrics.segmental import OVERLAPS


def read_labels(upload: Upload, clock: Clock, background: str | None) -> list[str]:
    """Read one name a frame from a label file in any format that can be read; gaps are `background`."""
    file_format = next((entry for entry in FORMATS.values() if entry.ending == upload.ending), None)
    if file_format is None or (file_format.read is None and file_format.annotations is None):
        readable = ", ".join(name for name, entry in FORMATS.items() if entry.read or entry.annotations)
        raise InputError(upload.path, "a format that is only written", f"choose one of {readable}")
    if file_format.read is not None:
        try:
            return load(upload.path, background=background, n_frames=clock.n_frames).to_frames()
        except InputError:
            if file_format.annotations is None:
                raise
    assert file_format.annotations is not None
    annotations = file_format.annotations(upload.path, Options())
    if len(annotations) != 1:
        raise InputError(upload.path, f"{len(annotations)} videos", "give the labels of one")
    return to_frames(annotations[0], clock, background).labels


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


def as_segmentation(labels: Sequence[str], clock: Clock) -> Segmentation:
    """Return labels on the clock of their video."""
    return replace(clock.put_on(Segmentation.from_frames(list(labels))))
