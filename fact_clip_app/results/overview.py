"""How far a project is: videos, people, their agreement, and a sentence for a paper."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from fact_clip.core import InputError
from fact_clip.core.messages import join_names
from fact_clip.core.version import __version__
from fact_clip_app.api import answers
from fact_clip_app.results.agreement import agreement_of_all, krippendorff_alpha
from fact_clip_app.workspace.workspace import Workspace


def overview(workspace: Workspace, viewer: str) -> answers.Overview:
    """Return the overview of what a person sees of a project."""
    origins: Counter[str] = Counter()
    classes = set()
    people = set()
    seconds = 0.0
    n_videos = 0
    n_labelled = 0
    n_complete = 0
    background = {*workspace.project.background}
    for video in workspace.project.full_videos():
        tracks = workspace.project.labelled_tracks(video.id, viewer=viewer)
        n_videos += 1
        tracks = [track for track in tracks if track.is_labelled]
        if tracks:
            n_complete += all(track.complete for track in tracks)
            n_labelled += 1
            seconds += video.duration
        for track in tracks:
            for label in track.segments:
                if label.label not in background:
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
            agreement = agreement_of_all(workspace, first, second, viewer)
            kappa = agreement["figures"]["kappa"]
            omissions = agreement["omissions"]
            value = "is undefined because both used only one class"
            if kappa is not None:
                value = f"was {kappa:.2f}"
            sentences.append(
                "Cohen's kappa over the time that both have labelled"
                f" {value}{_exception(agreement['shared'])}"
            )
            sentences += _omission_sentence("both", omissions)
    if len(names) > 2:
        alpha, shared, alpha_omissions = krippendorff_alpha(workspace, names, viewer)
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
    if origins["grouped"]:
        sentences.append(
            f"{origins['grouped']} of the segments were labelled in groups of similar unlabelled"
            " stretches, with one answer for each group"
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
