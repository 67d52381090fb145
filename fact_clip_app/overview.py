"""How far a project is: videos, people, their agreement, and a sentence for a paper."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from fact_clip.core import InputError, Rating
from fact_clip.core.messages import join_names
from fact_clip.core.version import __version__
from fact_clip.datasets.labels import UNLABELLED
from fact_clip_app import answers
from fact_clip_app.page import Page
from fact_clip_app.ratings import background_of, side_rating
from fact_clip_app.views import agreement_of_all

MOMENTS = 100_000
"""How many moments the time stands for in which the labels of several people are compared."""


def overview(page: Page, viewer: str) -> answers.Overview:
    """Return the overview of what a person sees of a project."""
    origins: Counter[str] = Counter()
    classes = set()
    people = set()
    seconds = 0.0
    n_videos = 0
    n_labelled = 0
    n_complete = 0
    for video in page.project.full_videos():
        tracks = page.project.labelled_tracks(video.id, viewer=viewer)
        n_videos += 1
        tracks = [track for track in tracks if track.is_labelled]
        if tracks:
            n_complete += all(track.complete for track in tracks)
            n_labelled += 1
            seconds += video.duration
        for track in tracks:
            for label in track.segments:
                if label.label not in page.project.background:
                    origins[label.origin] += 1
                    classes.add(label.label)
                people.add(track.author(label))
    names = sorted(people - {""})
    kappa = None
    alpha = None
    sentences = [
        f"{n_labelled} of {n_videos} videos ({seconds / 60:.1f} minutes, {n_complete} of them"
        f" labelled completely) were labelled with FACT-CLIP {__version__}: {origins.total()}"
        f" segments of {len(classes)} classes"
    ]
    if names:
        sentences[0] += f", by {join_names(names)}"
    if len(names) == 2:
        first, second = [f"annotator {name}" for name in names]
        with suppress(InputError):  # no video has labels of both
            agreement = agreement_of_all(page, first, second, viewer)
            kappa = agreement["figures"]["kappa"]
            omissions = agreement["omissions"]
            exception = _exception(agreement["shared"])
            sentences.append(
                f"Cohen's kappa over the time that both have labelled was {kappa:.2f}{exception}"
            )
            sentences += _omission_sentence(
                "both", omissions["unrated_seconds"], omissions["points"], omissions["videos"]
            )
    if len(names) > 2:
        result = _alpha(page, names, viewer)
        alpha = result.alpha
        if alpha is not None:
            sentences.append(
                "Krippendorff's alpha over the time that two or more have labelled was"
                f" {alpha:.2f}{_exception(result.shared)}"
            )
            sentences += _omission_sentence(
                "two or more", result.unrated_seconds, result.points, result.unrated_videos
            )
    n_drafted = origins["predicted"] + origins["corrected"]
    if n_drafted:
        sentences.append(
            f"A model drafted {n_drafted} of the segments, of which {origins['corrected']} were"
            " corrected and the others accepted as they were"
        )
    return {
        "videos": n_videos,
        "complete": n_complete,
        "people": names,
        "kappa": kappa,
        "alpha": alpha,
        "sentence": f"{'. '.join(sentences)}.",
    }


def _exception(shared: Sequence[str]) -> str:
    return f" (without {join_names(shared)})" if shared else ""


def _omission_sentence(
    raters: str, seconds: float, n_points: int, videos: Sequence[str]
) -> list[str]:
    """Return a sentence about what a figure leaves out, unless that is nothing."""
    omissions = []
    if seconds >= 0.05:
        omissions.append(f"{seconds:.1f} s that not {raters} have labelled")
    if n_points:
        omissions.append(f"{n_points} point events")
    if videos:
        omissions.append(f"all of {join_names(videos)}")
    return [f"This leaves out {join_names(omissions)}"] if omissions else []


@dataclass
class _Alpha:
    """Krippendorff's alpha of three people or more, and what it leaves out."""

    alpha: float | None = None
    unrated_seconds: float = 0.0  # that fewer than two have labelled
    points: int = 0
    shared: list[str] = field(default_factory=list)  # videos in which a person has no one rating
    unrated_videos: list[str] = field(default_factory=list)  # that one person has labelled


def _alpha(page: Page, names: Sequence[str], viewer: str) -> _Alpha:
    """Return Krippendorff's alpha over the time that two people or more have labelled."""
    result = _Alpha()
    seconds = defaultdict[tuple[str, ...], float](float)  # of each combination of their labels
    for video in page.project.full_videos():
        tracks = page.project.labelled_tracks(video.id, viewer=viewer)
        try:
            sides = [side_rating(page, video, tracks, f"annotator {name}") for name in names]
        except InputError:
            result.shared.append(video.name)
            continue
        ratings = [side or Rating(background=background_of(page)) for side in sides]
        rated_seconds = 0.0
        frames = zip(*(rating.labels_at(video.times[:-1]) for rating in ratings), strict=True)
        for combination, length in zip(frames, np.diff(video.times).tolist(), strict=True):
            if combination.count(UNLABELLED) < len(names) - 1:
                seconds[combination] += length
                rated_seconds += length
        if not any(sides):
            continue
        if rated_seconds == 0:
            result.unrated_videos.append(video.name)
        result.unrated_seconds += video.duration - rated_seconds
        result.points += sum(len(rating.events) for rating in ratings)
    table = np.array([*seconds], dtype=object).reshape(-1, len(names)).T  # (people, combinations)
    lengths = np.array([*seconds.values()])
    for name in background_of(page):
        table[table == name] = background_of(page)[0]
    values, codes = np.unique(table, return_inverse=True)
    codes = np.where(table == UNLABELLED, np.nan, codes.reshape(table.shape))
    if len({*values} - {UNLABELLED}) < 2:  # without another class there is no chance to agree by
        return result
    import krippendorff

    n_moments = np.rint(MOMENTS * lengths / lengths.sum()).astype(int)
    moments = np.repeat(codes, n_moments, axis=1)
    result.alpha = float(krippendorff.alpha(moments, level_of_measurement="nominal"))
    return result
