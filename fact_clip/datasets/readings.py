"""The labels of the videos of a split, with a separate method for each use."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from fact_clip.core import FileLocation, InputError, Integers, Location, Names
from fact_clip.core.frames import IGNORED
from fact_clip.core.io import read_lines
from fact_clip.datasets.labels import HIDDEN, UNLABELLED, LabelReader, Labels
from fact_clip.datasets.reader import VideoReader
from fact_clip.unseen.masking import check_leak, masked, masked_rows
from fact_clip.unseen.roles import VideoRoles


class LabelledVideos(VideoReader):
    """The labels of the videos of a split, for evaluation, for the loss and for statistics.

    All readings return class indices (T,), and -1 for unlabelled frames. They differ in how they
    treat frames of hidden classes, drafts of ``data.drafts``, and videos with clicks, whose labels
    a training run spreads from click to click (`set_labels`).

    ================  ==============  ===========  ======  ======================================
    reading           hidden classes  with clicks  drafts  used by
    ================  ==============  ===========  ======  ======================================
    `all_labels`      kept            spread       no      hold-outs, and the check for leaks
    `stored_labels`   -1              as in file   no      clicks, and the record of what was seen
    `labels`          -1              spread       no      evaluation, validation and statistics
    `training_labels` -1              spread       yes     the loss and statistics of training
    `cut_labels`      -2 (`HIDDEN`)   spread       yes     durations, as hidden frames end segments
    `drafts`          as drafted      -            only    the check for leaks
    ================  ==============  ===========  ======  ======================================

    Labels leave a data set through `unseen.masking`, except in `all_labels`.

    Attributes:
        roles: Roles of videos and classes, which determine the hidden classes in each video.
    """

    roles: VideoRoles

    def labels(self, name: str) -> Labels:
        """Return the labels (T,) of a video, read-only, without hidden classes."""
        return masked(self.all_labels(name), self._hidden_in(name))

    def stored_labels(self, name: str) -> Labels:
        """Return the labels (T,) in the file of a video, without hidden classes."""
        stored = self.label_reader.indices(name)[: self.length(name)]
        return masked(stored, self._hidden_in(name))

    def training_labels(self, name: str, stride: int = 1) -> Labels:
        """Return the labels that a model learns.

        Args:
            name: Name of the video.
            stride: Frames per row. A row has the label of most of its frames; see `masked_rows`.

        Returns:
            Class indices (ceil(T / stride),), with drafts in rows without a label.
        """
        rows = masked_rows(self.all_labels(name), self._hidden_in(name), stride)
        if self._draft_reader is None:
            return rows
        return np.where(rows == IGNORED, self.drafts(name)[::stride], rows)

    def cut_labels(self, name: str) -> Labels:
        """Return `training_labels` (T,) with `HIDDEN` in unlabelled frames of hidden classes.

        A frame of a hidden class ends the segment before it. Other unlabelled frames may continue
        it.
        """
        labels = self.training_labels(name)
        is_hidden = (labels == IGNORED) & (self.all_labels(name) != IGNORED)
        return np.where(is_hidden, HIDDEN, labels)

    def drafts(self, name: str) -> Labels:
        """Return the drafts (T,) of a video in ``data.drafts``, -1 for frames without one."""
        assert self._draft_reader is not None
        labels = self._draft_reader.indices(name)
        if len(labels) != self.length(name):
            problem = f"{len(labels)} lines for {self.length(name)} frames"
            raise InputError(self._draft_reader.locate(name, None), problem, "write them again")
        return labels

    def labelled(self, names: Names) -> Names:
        """Return the videos with a label or a draft in at least one frame."""
        return tuple(name for name in names if (self.training_labels(name) != IGNORED).any())

    def clicks(self, names: Iterable[str]) -> dict[str, list[int]]:
        """Return the clicked frames of the videos that have clicks instead of labels."""
        frames = {}
        for name in names:
            marks = self.folder.clicks(name)
            if marks:
                frames[name] = [click.frame for click in marks]
        return frames

    def check_leak(self, names: Names, frames: Integers, labels: Integers) -> None:
        """Raise an InputError if a row in a training batch shows a hidden class and has a label.

        Args:
            names: Names of the B videos.
            frames: Frame of each row, (B, T), -1 in padding.
            labels: Label of each row, (B, T).
        """
        hidden = self.roles.classes.hidden
        class_names = self.label_reader.class_names
        drafts = None if self._draft_reader is None else self.drafts
        check_leak(names, frames, labels, self.all_labels, hidden, class_names, drafts)

    def _hidden_in(self, name: str) -> tuple[int, ...]:
        return self.roles.hidden_in.get(name, self.roles.classes.hidden)

    @cached_property
    def _draft_reader(self) -> LabelReader | None:
        if self.config.drafts is None:
            return None
        folder = Path(self.config.drafts)

        def locate(name: str, line: int | None) -> Location:
            return FileLocation(folder / f"{name}.txt", line)

        def read(name: str) -> list[str]:
            return read_lines(folder / f"{name}.txt", "one class name per frame")

        return LabelReader(read, locate, self.label_reader.class_names, (UNLABELLED,))
