"""Agreement of two labellings of one video, such as the labels of two people."""

from collections.abc import Sequence
from dataclasses import dataclass

from fact_clip.core import InputError, Segment, Vocabulary, runs
from fact_clip.metrics.frame import cohen_kappa, frame_accuracy
from fact_clip.metrics.segmental import OVERLAPS, edit, f1


@dataclass(frozen=True)
class Agreement:
    """Figures of two labellings, and where they differ."""

    figures: dict[str, float]  # in percent, but Cohen's kappa is at most 1
    differences: tuple[Segment, ...]  # labelled "first / second"


def agreement(
    first: Sequence[str], second: Sequence[str], background: Sequence[str] = ()
) -> Agreement:
    """Compute how far two labellings of one video agree.

    Args:
        first: the class name of each frame, (T,).
        second: the class names of another labelling, (T,).
        background: class names whose segments do not count in F1 and edit.

    Returns:
        The frame accuracy, F1 at the usual overlaps, edit score and Cohen's kappa, with the runs
        of frames on which the labellings differ.

    Raises:
        InputError: if the lengths differ.
    """
    if len(first) != len(second):
        problem = f"{len(first)} frames against {len(second)}"
        raise InputError("labels", problem, "compare labels of one video")
    vocabulary = Vocabulary.from_names(dict.fromkeys([*first, *second]))
    truth = vocabulary.encode(first)  # (T,)
    prediction = vocabulary.encode(second)  # (T,)
    ignored = [vocabulary.index(name) for name in background if name in vocabulary]

    figures = {"frame_accuracy": frame_accuracy([truth], [prediction])}
    for overlap in OVERLAPS:
        figures[f"f1@{overlap}"] = f1([truth], [prediction], overlap, ignored)
    figures["edit"] = edit([truth], [prediction], ignored)
    figures["kappa"] = cohen_kappa([truth], [prediction])

    differences = []
    for start, stop, _ in runs(truth * len(vocabulary) + prediction):
        if first[start] != second[start]:
            differences.append(Segment(start, stop, f"{first[start]} / {second[start]}"))
    return Agreement(figures, tuple(differences))
