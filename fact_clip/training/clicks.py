"""Training from clicks: labels start near the clicks, and a model then places the borders."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core.io import parse_value, read_mapping, write_value
from fact_clip.core.paths import inside
from fact_clip.datasets.clicks import (
    Gap,
    border_gains,
    border_gaps,
    expected_lengths,
    first_gaps,
    gap_labels,
    missed_stretches,
    widen_gaps,
)
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import class_scores
from fact_clip.inference.scorer import Scorer

FIRST_SHARE = 0.1
"""Share of the distance between two clicks that is labelled at first."""

MOVES = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Shares of the epochs after which borders are moved and all certain frames are labelled.

Both constants were chosen in experiments/clicks.md.
"""

MATCHES = 10
"""Number of iterations that correct scores until class lengths match the expected lengths."""

SECONDS_ALIKE = 0.8
"""Duration in which frames are nearly identical."""

PRIOR_SEGMENTS = 7
"""Mean segments added to the frames of each class, because rare classes give little evidence."""

_FILE = "clicks.json"

Gaps = dict[str, list[Gap]]
"""Unlabelled gaps by video name."""


class ClickBorders:
    """The borders between the clicks of the training videos.

    Frames near an uncertain border are unlabelled, as are segments that seem to have no click, and
    segments whose click seems to have a wrong label. ``RUN/clicks.json`` stores these gaps by
    epoch, so that a resumed run starts with the gaps of its epoch.

    Args:
        folder: Folder of the run that is trained.
        epochs: Number of epochs of the run.
        dataset: Data set of the run. The labels of its clicked training videos are changed.
        epoch: Number of completed epochs.

    Attributes:
        moves: Epochs after which borders are moved.
    """

    def __init__(self, folder: Path, epochs: int, dataset: Dataset, epoch: int) -> None:
        self.path = inside(folder, _FILE)
        self.dataset = dataset
        self.clicks = dataset.clicks(dataset.train)
        self.labels = {
            name: dataset.stored_labels(name)[frames] for name, frames in self.clicks.items()
        }
        self.alike = max(SECONDS_ALIKE * (dataset.fps or 1.0), 1.0)
        self.moves = {math.ceil(share * epochs) for share in MOVES if self.clicks}
        self._history: dict[int, Gaps] = {}
        if epoch and self.path.is_file():
            history = parse_value(
                dict[int, Gaps],
                read_mapping(self.path, "borders by epoch"),
                self.path,
                "train the run again",
            )
            self._history = {moved: gaps for moved, gaps in history.items() if moved <= epoch}
        if self._history:
            self._apply(self._history[max(self._history)])
        else:
            first = {}
            for name, frames in self.clicks.items():
                first[name] = first_gaps(frames, dataset.length(name), FIRST_SHARE)
            self._apply(first)

    def move(self, scorer: Scorer, epoch: int, *, is_main: bool) -> None:
        """Place the borders by the scores of a model.

        Args:
            scorer: Scorer with the model.
            epoch: Number of completed epochs.
            is_main: Whether this process writes files.
        """
        candidates = scorer.choose()
        gains = {}
        stretches = {}
        for name, frames in self.clicks.items():
            scores = scorer.score(self.dataset.features(name), candidates)
            probabilities = class_scores(scores, candidates).cpu().numpy()[scores.row_of_frame]
            logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
            gains[name] = border_gains(logs, frames, self.labels[name])
            stretches[name] = missed_stretches(logs, frames, self.labels[name], self.alike)
        gaps = {
            name: widen_gaps(video_gaps, stretches[name])
            for name, video_gaps in self._matched(gains).items()
        }
        self._apply(gaps)
        self._history[epoch] = gaps
        if is_main:
            by_epoch = {str(number): value for number, value in self._history.items()}
            write_value(self.path, by_epoch)

    def _matched(self, gains: dict[str, list[NDArray[np.floating]]]) -> Gaps:
        """Return gaps from scores with offsets that bring classes near their expected lengths."""
        labels = np.concatenate([*self.labels.values()])
        lengths = expected_lengths(
            [*self.clicks.values()], [*self.labels.values()], len(self.dataset.vocabulary)
        )
        counts = np.bincount(labels % len(lengths), minlength=len(lengths))
        expected = lengths * counts
        prior = PRIOR_SEGMENTS * expected.sum() / len(labels)

        offsets = np.zeros_like(lengths)
        gaps: Gaps = {}
        for _ in range(MATCHES):
            n_frames = np.zeros_like(lengths)
            for name, frames in self.clicks.items():
                labels = self.labels[name]
                length = self.dataset.length(name)
                gaps[name] = border_gaps(gains[name], frames, labels, offsets, length, self.alike)
                middles = np.mean(gaps[name], axis=1)
                np.add.at(n_frames, labels, np.diff(middles))
            offsets += np.log((expected + prior) / (n_frames + prior)) / 2
        return gaps

    def _apply(self, gaps: Gaps) -> None:
        """Set the labels of all frames outside the gaps."""
        for name, labels in self.labels.items():
            sure = gap_labels(labels.tolist(), gaps[name], self.dataset.length(name))
            self.dataset.set_labels(name, sure)
