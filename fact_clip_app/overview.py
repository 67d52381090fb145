"""How far a project is: videos, people, their agreement, and a sentence for a paper."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from fact_clip.core import InputError, Names, Rating
from fact_clip.core.messages import join_names
from fact_clip.core.version import __version__
from fact_clip.datasets.labels import UNLABELLED
from fact_clip_app import answers
from fact_clip_app.page import Page
from fact_clip_app.ratings import background_of, is_unowned, side_rating
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
            people |= track.raters
    names = sorted(people - {""})
    kappa = None
    alpha = None
    omissions: answers.AgreementOmissions | None = None
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
            sentences += _omission_sentence("both", omissions)
    if len(names) > 2:
        alpha, shared, alpha_omissions = _alpha(page, names, viewer)
        if alpha is not None:
            omissions = alpha_omissions
            sentences.append(
                "Krippendorff's alpha over the time that two or more have labelled was"
                f" {alpha:.2f}{_exception(shared)}"
            )
            sentences += _omission_sentence("two or more", omissions)
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
        "omissions": omissions,
        "sentence": f"{'. '.join(sentences)}.",
    }


def _exception(shared: Sequence[str]) -> str:
    return f" (without {join_names(shared)})" if shared else ""


def _omission_sentence(raters: str, omissions: answers.AgreementOmissions) -> list[str]:
    """Return a sentence about what a figure leaves out, unless that is nothing."""
    parts = []
    if omissions["unrated_seconds"] >= 0.05:
        parts.append(f"{omissions['unrated_seconds']:.1f} s that not {raters} have labelled")
    if omissions["points"]:
        parts.append(f"{omissions['points']} point events")
    if omissions["videos"]:
        parts.append(f"all of {join_names(omissions['videos'])}")
    return [f"This leaves out {join_names(parts)}"] if parts else []


def _alpha(
    page: Page, names: Sequence[str], viewer: str
) -> tuple[float | None, list[str], answers.AgreementOmissions]:
    """Return Krippendorff's alpha over the time that two people or more have labelled.

    Args:
        page: the page.
        names: the people.
        viewer: whose eyes see the tracks.

    Returns:
        The coefficient, or None if there is no chance to agree by; the names of the videos in which
        the labels of a person are not one labelling; and what else is left out.
    """
    shared = []
    unrated = []
    unowned = []
    unrated_seconds = 0.0
    n_points = 0
    seconds = defaultdict[tuple[str, ...], float](float)  # of each combination of their labels
    background = background_of(page)
    for video in page.project.full_videos():
        tracks = page.project.labelled_tracks(video.id, viewer=viewer)
        try:
            sides = [side_rating(page, video, tracks, f"annotator {name}") for name in names]
        except InputError:
            shared.append(video.name)
            continue
        if not any(sides):
            continue
        ratings = [side or Rating(background=background) for side in sides]
        rated_seconds = 0.0
        frames = zip(*(rating.labels_at(video.times[:-1]) for rating in ratings), strict=True)
        for combination, length in zip(frames, np.diff(video.times).tolist(), strict=True):
            if combination.count(UNLABELLED) < len(names) - 1:
                seconds[combination] += length
                rated_seconds += length
        if rated_seconds == 0:
            unrated.append(video.name)
            unowned += [video.name] * any(map(is_unowned, tracks))
        unrated_seconds += video.duration - rated_seconds
        n_points += sum(len(rating.events) for rating in ratings)
    omissions: answers.AgreementOmissions = {
        "unrated_seconds": round(unrated_seconds, 6),
        "points": n_points,
        "one_sided": [],
        "videos": unrated,
        "unowned": unowned,
    }
    return _nominal_alpha(seconds, background), shared, omissions


def _nominal_alpha(seconds: Mapping[tuple[str, ...], float], background: Names) -> float | None:
    """Return Krippendorff's alpha of labels, or None if there is no chance to agree by.

    Args:
        seconds: of each combination of the labels of all people.
        background: names that are one class.
    """
    if not seconds:
        return None
    table = np.array([*seconds], dtype=object).T  # (people, combinations)
    lengths = np.array([*seconds.values()])
    for name in background:
        table[table == name] = background[0]
    values, codes = np.unique(table, return_inverse=True)
    codes = np.where(table == UNLABELLED, np.nan, codes.reshape(table.shape))
    if len({*values} - {UNLABELLED}) < 2:
        return None
    import krippendorff

    n_moments = np.rint(MOMENTS * lengths / lengths.sum()).astype(int)
    moments = np.repeat(codes, n_moments, axis=1)
    return float(krippendorff.alpha(moments, level_of_measurement="nominal"))
