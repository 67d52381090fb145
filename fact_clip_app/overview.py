"""How far a project is: videos, people, their agreement, and a sentence for a paper."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from fact_clip.core import InputError
from fact_clip.core.messages import join_names
from fact_clip.core.version import __version__
from fact_clip.datasets.labels import UNLABELLED
from fact_clip_app import answers
from fact_clip_app.page import Page
from fact_clip_app.project import gaps_between
from fact_clip_app.views import agreement_of_all, labelling, side

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
    omitted: list[str] = []
    if len(names) == 2:
        first, second = [f"annotator {name}" for name in names]
        with suppress(InputError):  # no video has labels of both
            agreement = agreement_of_all(page, first, second, viewer)
            kappa = agreement["figures"]["kappa"]
            omitted = agreement["shared"]
    alpha = _alpha(page, names, viewer, omitted)
    exception = f" (without {join_names(omitted)})" if omitted else ""

    sentences = [
        f"{n_labelled} of {n_videos} videos ({seconds / 60:.1f} minutes, {n_complete} of them"
        f" labelled completely) were labelled with FACT-CLIP {__version__}: {origins.total()}"
        f" segments of {len(classes)} classes"
    ]
    if names:
        sentences[0] += f", by {join_names(names)}"
    if kappa is not None:
        sentences.append(
            f"Cohen's kappa over the time that both have labelled was {kappa:.2f}{exception}"
        )
    if alpha is not None:
        sentences.append(
            "Krippendorff's alpha over the time that two or more have labelled was"
            f" {alpha:.2f}{exception}"
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


def _alpha(page: Page, names: Sequence[str], viewer: str, omitted: list[str]) -> float | None:
    """Return Krippendorff's alpha of three people or more, over the time that two have labelled.

    Videos in which the labels of a person are not one labelling are left out, and added to
    `omitted`.
    """
    if len(names) < 3:
        return None
    seconds = defaultdict[tuple[str, ...], float](float)  # of each combination of their labels
    for video in page.project.full_videos():
        tracks = page.project.labelled_tracks(video.id, viewer=viewer)
        try:
            sides = [side(video, tracks, f"annotator {name}") for name in names]
        except InputError:
            omitted.append(video.name)
            continue
        unknown = gaps_between([], video.n_frames)
        parts_of = [unknown if labels is None else labels for labels in sides]
        rows = [labelling(page, video, parts).to_frames() for parts in parts_of]
        frames = zip(*rows, strict=True)
        for combination, length in zip(frames, np.diff(video.times).tolist(), strict=True):
            if combination.count(UNLABELLED) < len(names) - 1:
                seconds[combination] += length
    table = np.array([*seconds], dtype=object).reshape(-1, len(names)).T  # (people, combinations)
    lengths = np.array([*seconds.values()])
    for name in page.project.background:
        table[table == name] = page.project.background[0]
    values, codes = np.unique(table, return_inverse=True)
    codes = np.where(table == UNLABELLED, np.nan, codes.reshape(table.shape))
    if len({*values} - {UNLABELLED}) < 2:  # without another class there is no chance to agree by
        return None
    import krippendorff

    n_moments = np.rint(MOMENTS * lengths / lengths.sum()).astype(int)
    moments = np.repeat(codes, n_moments, axis=1)
    return float(krippendorff.alpha(moments, level_of_measurement="nominal"))
