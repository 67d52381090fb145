"""The labels of videos: one class name per frame, and the corresponding class indices."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fact_clip.config import DataConfig
from fact_clip.core import UNLABELLED as UNLABELLED
from fact_clip.core import InputError, Integers, Location, Names
from fact_clip.core.frames import IGNORED
from fact_clip.core.messages import suggest

Labels = Integers

HIDDEN = -2  # label of hidden-class frames, where they end a segment


def unlabelled(config: DataConfig) -> Names:
    """Return the label names that are ignored."""
    return (*config.unlabelled, UNLABELLED)


@dataclass(frozen=True)
class VideoLabels:
    """The labels of one video, as read."""

    locate: Callable[[int | None], Location]  # location in errors of a line number or None
    indices: Labels  # (T,) class indices, -1 for ignored or unknown names; read-only
    counts: Counter[str]  # frames of each name, in order of first occurrence
    unknown: dict[str, int]  # first line of each unknown name; "" is a blank line

    @property
    def location(self) -> Location:
        """Return the location of the labels."""
        return self.locate(None)

    def empty_error(self) -> InputError:
        """Return the error for a video without labels."""
        fix = "write one class name per frame, or remove the video from the splits"
        return InputError(self.location, "no labels", fix)

    def unknown_error(
        self, label: str, class_names: Sequence[str], details: str = ""
    ) -> InputError:
        """Return the error for a label that is not a class, or for a blank line."""
        location = self.locate(self.unknown[label])
        if not label:
            fix = "write one class name per frame"
            return InputError(location, "a blank line between labels", fix)

        fix = suggest(label, class_names, 0.6) or "add it to the mapping"
        return InputError(location, f"label {label!r} is not in the mapping{details}", fix)


class LabelReader:
    """Reads the labels of videos as class indices. Each video is read once.

    Args:
        read_lines: Function from a video name to the label of each frame.
        locate: Function from a video name and a line number (or None) to a location for errors.
        class_names: Classes in the order of their indices.
        ignored: Label names that become -1.
    """

    def __init__(
        self,
        read_lines: Callable[[str], list[str]],
        locate: Callable[[str, int | None], Location],
        class_names: Names,
        ignored: Names,
    ) -> None:
        self.read_lines = read_lines
        self.locate = locate
        self.class_names = class_names
        self._index_of = dict.fromkeys(ignored, IGNORED)
        self._index_of |= {name: index for index, name in enumerate(class_names)}
        self._videos: dict[str, VideoLabels] = {}

    def read(self, video: str) -> VideoLabels:
        """Return the labels of a video, including faults."""
        if video not in self._videos:
            self._videos[video] = self._parse(video)
        return self._videos[video]

    def indices(self, video: str) -> Labels:
        """Return the class indices (T,) of a video. Raise its first fault as an InputError."""
        labels = self.read(video)
        if not labels.counts:
            raise labels.empty_error()
        for name in labels.unknown:
            raise labels.unknown_error(name, self.class_names)
        return labels.indices

    def _parse(self, video: str) -> VideoLabels:
        lines = self.read_lines(video)
        indices = np.array([self._index_of.get(name, IGNORED) for name in lines], dtype=np.int64)
        indices.flags.writeable = False
        counts = Counter(lines)
        unknown = {name: lines.index(name) + 1 for name in counts if name not in self._index_of}
        return VideoLabels(
            locate=partial(self.locate, video),
            indices=indices,
            counts=counts,
            unknown=unknown,
        )
