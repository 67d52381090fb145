"""How far a project is: videos, people, their agreement, and a sentence for a paper."""

from collections import Counter
from contextlib import suppress
from itertools import combinations

from fact_clip.core import InputError
from fact_clip.core.messages import join_names
from fact_clip.core.version import __version__
from fact_clip_app import answers
from fact_clip_app.page import Page
from fact_clip_app.views import agreement_of_all


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
        n_complete += bool(tracks) and all(track.complete for track in tracks)
        if any(track.segments or track.complete for track in tracks):
            n_labelled += 1
            seconds += video.duration
        for track in tracks:
            for label in track.segments:
                if label.label not in page.project.background:
                    origins[label.origin] += 1
                    classes.add(label.label)
                people.add(track.author(label))
    names = sorted(people - {""})
    kappas = []
    for first, second in combinations(names, 2):
        with suppress(InputError):  # no video has labels of both
            pair = agreement_of_all(page, f"annotator {first}", f"annotator {second}", viewer)
            value = pair["figures"]["kappa"]
            if value is not None:
                kappas.append(value)
    kappa = sum(kappas) / len(kappas) if kappas else None

    sentences = [
        f"{n_labelled} of {n_videos} videos ({seconds / 60:.1f} minutes, {n_complete} of them"
        f" labelled completely) were labelled with FACT-CLIP {__version__}: {origins.total()}"
        f" segments of {len(classes)} classes"
    ]
    if names:
        sentences[0] += f", by {join_names(names)}"
    if kappa is not None and len(kappas) == 1:
        sentences.append(f"Cohen's kappa over time was {kappa:.2f}")
    elif kappa is not None:
        sentences.append(f"The mean of Cohen's kappa over {len(kappas)} pairs was {kappa:.2f}")
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
        "sentence": f"{'. '.join(sentences)}.",
    }
