"""Segments, the half-open frame ranges of actions, and events at a frame."""

from dataclasses import dataclass, field
from typing import NamedTuple

from fact_clip.core.arguments import number_of, whole_of
from fact_clip.core.errors import InputError

MIN_FPS = 1e-6  # frames per second: one frame in twelve days
MAX_FPS = 100_000.0  # frames per second: twice the rate of sound
MAX_FRAMES = 20_000_000  # frames of a video: a week at 30 frames per second


class Alternative(NamedTuple):
    """A candidate for the frames of a segment, and its mean score, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True, order=True)
class Segment:
    """One action of a video, in the frames `[start, stop)`.

    Segments are ordered by start, then stop, then label.

    Args:
        start: First frame.
        stop: Frame after the last one.
        label: Name of the action.
        confidence: Confidence from 0 to 1, or None if unknown.
        comment: Remark of an annotator.
        alternatives: Candidates that come after the label of a prediction, best first. The
            alternatives, the comment and the confidence are ignored when segments are compared.
    """

    start: int
    stop: int
    label: str
    confidence: float | None = field(default=None, compare=False)
    comment: str = field(default="", compare=False)
    alternatives: tuple[Alternative, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        where = f"segment {self.label!r}"
        if not isinstance(self.label, str):
            raise InputError(where, "label is not a string")
        if not isinstance(self.comment, str):
            raise InputError(where, "comment is not a string")
        # Converted to plain integers, so that integers of numpy are never written to a file.
        object.__setattr__(self, "start", whole_of(self.start, where, 0, MAX_FRAMES))
        object.__setattr__(self, "stop", whole_of(self.stop, where, self.start + 1, MAX_FRAMES))
        if self.confidence is not None:
            where = f"the confidence of {where}"
            number_of(self.confidence, where, "a number from 0 to 1", least=0, most=1)

    @property
    def duration(self) -> int:
        """Return the length in frames."""
        return self.stop - self.start


@dataclass(frozen=True)
class Instant:
    """A moment at which something happens, at the start of a frame.

    Args:
        frame: The frame.
        label: Name of the action.
        comment: Remark of an annotator.
    """

    frame: int
    label: str
    comment: str = ""

    @property
    def start(self) -> int:
        """Return the frame. Segments have the same property."""
        return self.frame

    @property
    def stop(self) -> int:
        """Return the frame. Segments have the same property."""
        return self.frame

    @property
    def confidence(self) -> None:
        """Return None, because instants are not predicted."""


@dataclass(frozen=True)
class NewWord:
    """A word of a candidate that no trained class has, and the most similar word of a trained
    class."""

    action: str  # the candidate
    slot: str  # slot of the word, such as "verb"; "phrase" for a complete name without parts
    word: str
    # The most similar trained word in this slot, or the most similar trained name for a phrase, or
    # "".
    nearest: str = ""
    similarity: float = 0.0  # cosine of their vectors of the sentence encoder, -1 to 1
    far: bool = True  # whether the similarity is too low for the model to recognise the word
