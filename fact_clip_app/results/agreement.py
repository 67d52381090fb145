"""Agreement of two labellings, in one video and in all, and of several people."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fact_clip.core import InputError, Instant, Json, Names, Rating, Segment, Segmentation
from fact_clip.core.messages import join_names
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.metrics.agreement import (
    Agreement,
    Omissions,
    Pair,
    agreement_of_pairs,
    time_agreement,
)
from fact_clip_app.api import answers
from fact_clip_app.results.ratings import is_unowned, side_rating
from fact_clip_app.store.project import VideoEntry
from fact_clip_app.workspace.class_colours import background_of, colours
from fact_clip_app.workspace.workspace import Workspace

MOMENTS = 100_000
"""Number of moments that sample the compared time for Krippendorff's alpha."""


def comparison(
    workspace: Workspace, video: VideoEntry, sides: Sequence[tuple[str, Rating]]
) -> answers.Compared:
    """Compare two ratings of a video.

    Args:
        workspace: Open project with its models and jobs.
        video: Video that was labelled.
        sides: Name and rating of each of the two sides.

    Returns:
        Figures, what they leave out, and the rows of a timeline: both ratings, and their
        differences.
    """
    (first_name, first), (second_name, second) = sides
    result = time_agreement([(first, second)])
    background = {*first.background, *second.background}
    rows = [
        _timeline_row(first_name, _timeline_parts(video, first)),
        _timeline_row(second_name, _timeline_parts(video, second)),
        _timeline_row("differences", _differences(video, first, second, background)),
    ]
    names: dict[str, None] = {}
    for row in rows[:2]:
        names |= dict.fromkeys(part["label"] for part in row["segments"])
    return {
        "figures": _figures(result.figures),
        "seconds": result.seconds,
        "omissions": _omissions(result.omissions),
        "rows": rows,
        "colours": colours(workspace, list(names)),
    }


def _timeline_parts(video: VideoEntry, rating: Rating) -> list[Segment | Instant]:
    """Return a rating as segments without gaps, and the point events above them, in order."""
    parts: list[Segment | Instant] = []
    parts += Segmentation.from_frames(rating.labels_at(video.times[:-1]))
    for point in rating.points:
        frame = int(np.searchsorted(video.times[1:], point.time, side="right"))
        parts.append(Instant(min(frame, video.n_frames - 1), point.label))
    return sorted(parts, key=lambda part: (part.start, part.stop))


def _differences(
    video: VideoEntry, first: Rating, second: Rating, background: Collection[str]
) -> list[Segment]:
    """Return the runs of frames on which two ratings differ, called "first / second".

    All names of background are one.
    """
    gap = first.background[0]
    first_labels, second_labels = [
        [gap if label in background else label for label in rating.labels_at(video.times[:-1])]
        for rating in (first, second)
    ]
    pairs = zip(first_labels, second_labels, strict=True)
    joined = Segmentation.from_frames([f"{label} / {other}" for label, other in pairs])
    differences = []
    for segment in joined:
        labels = {first_labels[segment.start], second_labels[segment.start]}
        if len(labels) == 2 and UNLABELLED not in labels:
            differences.append(segment)
    return differences


def _figures(figures: Json) -> answers.Figures:
    """Return figures by the names that the page has for them."""
    return {
        "frame_accuracy" if name == "accuracy" else name: value for name, value in figures.items()
    }


def _omissions(omissions: Omissions) -> answers.Omissions:
    return {
        "unrated_seconds": round(omissions.unrated_seconds, 6),
        "points": omissions.points,
        "one_sided": list(omissions.one_sided),
    }


@dataclass(frozen=True)
class _LabelledVideo:
    """A video that at least one side of a comparison has labelled."""

    video: VideoEntry
    sides: Sequence[Rating | None]  # of each side; None if it has no labels
    is_unowned: bool  # whether an unknown person has marked a track as fully labelled


def _labelled_videos(
    workspace: Workspace, keys: Sequence[str], viewer: str
) -> tuple[list[_LabelledVideo], list[str]]:
    """Return the videos that at least one side has labelled.

    Args:
        workspace: Open project with its models and jobs.
        keys: Sides, as for `side_rating`.
        viewer: Person who sees the tracks.

    Returns:
        The videos, and the names of the videos that are left out because a side is not one
        labelling.
    """
    labelled_videos = []
    shared = []
    for video in workspace.project.full_videos():
        tracks = workspace.project.labelled_tracks(video.id, viewer=viewer)
        try:
            sides = [side_rating(workspace, video, tracks, key) for key in keys]
        except InputError:
            shared.append(video.name)
            continue
        if any(side is not None for side in sides):
            labelled = _LabelledVideo(video, sides, any(map(is_unowned, tracks)))
            labelled_videos.append(labelled)
    return labelled_videos, shared


class _ComparedVideo(NamedTuple):
    """A video in which two sides have something to compare."""

    video: VideoEntry
    pair: Pair


@dataclass(frozen=True)
class _Pairs:
    """The videos of a project that two sides have labelled, and what is left out.

    Attributes:
        compared: Videos with something to compare.
        empty_pairs: Pairs of ratings without anything to compare, which add to the omissions.
        shared: Names of the videos in which a side is not one labelling.
        unrated: Names of the videos with nothing to compare.
        unowned: Names of the unrated videos that have a fully labelled track without an owner.
    """

    shared: list[str]
    compared: list[_ComparedVideo] = field(default_factory=list)
    empty_pairs: list[Pair] = field(default_factory=list)
    unrated: list[str] = field(default_factory=list)
    unowned: list[str] = field(default_factory=list)

    @property
    def agreement(self) -> Agreement:
        """Return the agreement in all videos together."""
        pairs = [compared.pair for compared in self.compared]
        return agreement_of_pairs([*pairs, *self.empty_pairs])

    def omissions(self, agreement: Agreement) -> answers.AgreementOmissions:
        """Return what the agreement in all videos leaves out."""
        omissions = _omissions(agreement.omissions)
        return {**omissions, "videos": self.unrated, "unowned": self.unowned}


def _pairs_of(workspace: Workspace, first: str, second: str, viewer: str) -> _Pairs:
    """Return the videos that two sides have labelled. Raise an InputError if there are none."""
    labelled_videos, shared = _labelled_videos(workspace, (first, second), viewer)
    pairs = _Pairs(shared)
    for labelled in labelled_videos:
        video = labelled.video
        ratings = [side for side in labelled.sides if side is not None]
        if len(ratings) == 2:
            pair = Pair.of(*ratings)
            if not pair.is_empty:
                pairs.compared.append(_ComparedVideo(video, pair))
                continue
            pairs.empty_pairs.append(pair)
        pairs.unrated.append(video.name)
        if labelled.is_unowned:
            pairs.unowned.append(video.name)
    if not pairs.compared:
        fix = 'choose two of "track NAME" and "annotator NAME" that label the same videos'
        fix += blind_remark(workspace)
        if shared:
            fix += f"; people share a track, or tracks of one overlap, in {join_names(shared)}"
        if pairs.unowned:
            fix += f"; nobody is named for a fully labelled track in {join_names(pairs.unowned)}"
        raise InputError("agreement", f"no video has both {first!r} and {second!r}", fix)
    return pairs


def agreement_of_all(
    workspace: Workspace, first: str, second: str, viewer: str
) -> answers.Agreement:
    """Return the agreement of two sides in the videos that have both, and their confusion.

    Args:
        workspace: Open project with its models and jobs.
        first: "track NAME" or "annotator NAME".
        second: Second side, in the same form.
        viewer: Person who sees the tracks.

    Returns:
        The figures of each video and of all videos, and the seconds of each pair of names. Rows are
        names of the first side, and columns are names of the second side. Videos in which a side is
        not one labelling are left out and listed, and so are videos that a side has not rated.
    """
    pairs = _pairs_of(workspace, first, second, viewer)
    rows: list[answers.VideoAgreement] = []
    for video, pair in pairs.compared:
        row: answers.VideoAgreement = {
            "id": video.id,
            "name": video.name,
            "figures": _figures(agreement_of_pairs([pair]).figures),
            "omissions": _omissions(pair.omissions),
        }
        rows.append(row)
    result = pairs.agreement
    confusion: answers.Confusion = {
        "names": [name or workspace.project.background[0] for name in result.names],
        "seconds": result.confusion.round(3).tolist(),
    }
    return {
        "videos": rows,
        "figures": _figures(result.figures),
        "seconds": result.seconds,
        "confusion": confusion,
        "shared": pairs.shared,
        "omissions": pairs.omissions(result),
    }


class Coefficient(NamedTuple):
    """A coefficient of agreement over all videos.

    Attributes:
        value: The coefficient, or None if no time is compared or only one class is used.
        shared: Names of the videos in which the labels of a person are not one labelling.
        omissions: What else the coefficient leaves out.
    """

    value: float | None
    shared: list[str]
    omissions: answers.AgreementOmissions


def kappa_of_all(workspace: Workspace, first: str, second: str, viewer: str) -> Coefficient:
    """Return Cohen's kappa of two sides in all videos that have both.

    Args:
        workspace: Open project with its models and jobs.
        first: "track NAME" or "annotator NAME".
        second: Second side, in the same form.
        viewer: Person who sees the tracks.

    Returns:
        The coefficient.
    """
    pairs = _pairs_of(workspace, first, second, viewer)
    result = pairs.agreement
    return Coefficient(result.figures["kappa"], pairs.shared, pairs.omissions(result))


def blind_remark(workspace: Workspace) -> str:
    """Return why labels may be missing from a comparison, or ""."""
    owner = workspace.project.blind_owner
    return "" if owner is None else "; while Blind is on, the labels of others are hidden"


def _timeline_row(name: str, segments: Iterable[Segment | Instant]) -> answers.TimelineRow:
    parts: list[answers.Span] = [
        {"start": part.start, "stop": part.stop, "label": part.label} for part in segments
    ]
    return {"name": name, "segments": parts}


def krippendorff_alpha(workspace: Workspace, names: Sequence[str], viewer: str) -> Coefficient:
    """Return Krippendorff's alpha over the time that two people or more have labelled.

    Args:
        workspace: Open project with its models and jobs.
        names: Names of the people.
        viewer: Person who sees the tracks.

    Returns:
        The coefficient.
    """
    unrated = []
    unowned = []
    unrated_seconds = 0.0
    n_points = 0
    seconds = defaultdict[tuple[str, ...], float](float)  # of each combination of their labels
    background = background_of(workspace)
    keys = [f"annotator {name}" for name in names]
    labelled_videos, shared = _labelled_videos(workspace, keys, viewer)
    for labelled in labelled_videos:
        video = labelled.video
        ratings = [side or Rating(background=background) for side in labelled.sides]
        rated_seconds = 0.0
        # The label of each person, by frame.
        frames = zip(*(rating.labels_at(video.times[:-1]) for rating in ratings), strict=True)
        for combination, length in zip(frames, np.diff(video.times).tolist(), strict=True):
            n_labels = len(names) - combination.count(UNLABELLED)
            if n_labels >= 2:
                seconds[combination] += length
                rated_seconds += length
        if rated_seconds == 0:
            unrated.append(video.name)
            if labelled.is_unowned:
                unowned.append(video.name)
        unrated_seconds += video.duration - rated_seconds
        n_points += sum(len(rating.events) for rating in ratings)
    omissions: answers.AgreementOmissions = {
        "unrated_seconds": round(unrated_seconds, 6),
        "points": n_points,
        "one_sided": [],
        "videos": unrated,
        "unowned": unowned,
    }
    return Coefficient(_nominal_alpha(seconds, background), shared, omissions)


def _nominal_alpha(seconds: Mapping[tuple[str, ...], float], background: Names) -> float | None:
    """Return Krippendorff's alpha of labels, or None if there is no chance to agree by.

    Args:
        seconds: Duration of each combination of the labels of all people.
        background: Names that are treated as one class.
    """
    if not seconds:
        return None
    table = np.array([*seconds], dtype=object).T  # (people, combinations)
    lengths = np.array([*seconds.values()])
    for name in background:
        table[table == name] = background[0]
    values, codes = np.unique(table, return_inverse=True)
    # The number of each label, (people, combinations), NaN for unlabelled.
    codes = np.where(table == UNLABELLED, np.nan, codes.reshape(table.shape))
    if len({*values} - {UNLABELLED}) < 2:
        return None
    import krippendorff

    n_moments = np.rint(MOMENTS * lengths / lengths.sum()).astype(int)
    moments = np.repeat(codes, n_moments, axis=1)  # (people, about MOMENTS)
    return float(krippendorff.alpha(moments, level_of_measurement="nominal"))
