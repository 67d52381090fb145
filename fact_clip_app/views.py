"""JSON for the page, and segmentations for files."""

import logging
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.core import (
    NONE_OF_THESE,
    Clock,
    InputError,
    Json,
    Rating,
    Segment,
    Segmentation,
)
from fact_clip.core.colours import palette
from fact_clip.core.messages import join_names
from fact_clip.core.paths import file_name
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.formats import (
    FORMATS,
    Behaviour,
    Format,
    format_called,
    format_of,
    save,
    save_tracks,
)
from fact_clip.formats.nwb import NoSegmentsError
from fact_clip.metrics.agreement import (
    Omissions,
    Pair,
    agreement_of_pairs,
    time_agreement,
)
from fact_clip_app import answers
from fact_clip_app.controls import CONTROLS
from fact_clip_app.drafts import Draft, segmentation_of
from fact_clip_app.engine import run_of, typed_names
from fact_clip_app.history import Person
from fact_clip_app.jobs import Job
from fact_clip_app.label_files import MAIN
from fact_clip_app.page import Page
from fact_clip_app.project import (
    FIELDS,
    ROLES,
    UNUSED,
    Action,
    Label,
    LabelFacts,
    Track,
    VideoEntry,
    free_name,
)
from fact_clip_app.ratings import background_of, is_unowned, side_rating

logger = logging.getLogger(__name__)

DRAFTS = "drafts"
"""The track of a file that holds what the model predicts."""


def state(page: Page, viewer: str) -> answers.State:
    """Return everything but the segments, for one person."""
    engine = page.engine
    project = page.project
    run = page.options.run
    usage = project.usage(viewer)
    action_rows: Any = []
    for stored in project.action_rows():
        counts = usage.get(stored.name, UNUSED)
        action_rows.append({"id": stored.id, **asdict(stored.action), **counts})
    names = [row["name"] for row in action_rows]
    label_facts = project.label_facts(viewer)
    videos = []
    is_owner = project.owns(viewer)
    roles = project.setting(ROLES, {})
    for video in project.videos():
        facts = label_facts.get(video.id, LabelFacts())
        row: answers.VideoState = {
            **_facts(page, video, is_labelled=facts.is_labelled, is_complete=facts.is_complete),
            "labels": facts.n_segments,
            "share": facts.share,
            "annotators": list(facts.annotators),
            "predicted": engine.work(video.id).prediction is not None,
            "tests": is_owner and roles.get(video.id, False),
        }
        videos.append(row)
    training = job(page, page.training)
    if training is not None and not is_owner:  # it tells how many segments were found
        training["note"] = ""
    runs = {name: figures if is_owner else {} for name, (_, figures) in project.runs().items()}
    model = engine.model()
    adjustable: Sequence[str] = ()
    defaults = {"gamma": 0.0, "switch_penalty": 0.0}
    if model is not None:
        adjustable = model.scorer.adjustable
        defaults["switch_penalty"] = model.scorer.settings.switch_penalty or 0.0
        if model.scorer.calibration is not None:
            defaults["gamma"] = model.scorer.calibration.gamma
    title = "none" if engine.base is None else "no training"
    if run is not None:
        title = run.name
    return {
        "project": {
            "folder": str(project.folder),
            "name": project.folder.name,
            "blind": project.blind_owner is not None,
            "blind_owner": project.blind_owner or "",
        },
        "model": {
            "title": title,
            "exists": model is not None,
            "can_learn": run_of(model) is not None,
            "chosen": engine.run_name,
            "models": ["", *project.runs()],
        },
        "actions": action_rows,
        "colours": colours(page, names),
        "background": list(project.background),
        "unseen": sorted(engine.unseen(names)),
        "adjust": engine.settings,
        "sliders": CONTROLS,
        "adjustable": list(adjustable),
        "defaults": defaults,
        "videos": videos,
        "removed": [{"id": video.id, "name": video.name} for video in project.videos(removed=True)],
        "training": training,
        "runs": runs,
        "formats": list(FORMATS),
        "fields": list(dict.fromkeys(chain.from_iterable(project.setting(FIELDS, {}).values()))),
        "stamp": stamp(page),
    }


def stamp(page: Page) -> str:
    """Return a text that changes when anything changes, and does not tell what, or how often."""
    progress = page.queue.stamp() + page.conversions.queue.stamp()
    content = f"{id(page)}.{page.project.stamp()}.{progress}"
    return sha256(content.encode(errors="backslashreplace")).hexdigest()[:16]


def _facts(
    page: Page, video: VideoEntry, *, is_labelled: bool, is_complete: bool
) -> answers.VideoFacts:
    """Return what is said of a video wherever it occurs, to somebody who sees these labels."""
    progress: answers.Progress = "started" if is_labelled else "unlabelled"
    playback = page.conversions.playback(video)
    conversion = job(page, playback.job)  # at once, as the job goes on
    return {
        "id": video.id,
        "name": video.name,
        "revision": video.revision,
        "complete": is_complete,
        "progress": "complete" if is_complete else progress,
        "duration": page.project.duration(video.id),
        "media": playback.kind,
        "conversion": conversion,
        "job": job(page, page.engine.work(video.id).job),
    }


def job(page: Page, job: Job | None) -> answers.Work | None:
    """Return the progress of a job."""
    if job is None:
        return None
    error = job.error
    if isinstance(error, InputError):
        error = page.named(error)
    return {
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "note": job.note,
        "error": str(error),
        "place": page.queue.position(job) or page.conversions.queue.position(job),
    }


def video(page: Page, key: str, person: Person) -> answers.Video:
    """Return a video, by its id, with its tracks and drafts, in frames, for one person."""
    project = page.project
    video = project.video(key)
    if video is None:
        raise InputError("video", "it was removed a moment ago")
    viewer = person.annotator
    rows = project.labelled_tracks(video.id, viewer=viewer)
    drafted = page.draft_track(rows)
    drafts = []
    problem = ""
    try:
        video.check_file()
        drafts = page.drafts(video, rows, viewer)
    except InputError as error:  # labels need no model
        problem = str(page.named(error))
    titles = page.history.titles(video.id, person)
    labelled_tracks = [row for row in rows if row.is_labelled]
    names = [action.name for action in project.actions()]
    for row in rows:
        names += [segment.label for segment in row.segments]
    names += [draft.label for draft in drafts]
    prediction = page.engine.work(video.id).prediction
    warnings = []  # a line for each word of a name that is far from training
    for word in () if prediction is None else prediction.new_words:
        if word.far:
            line = f'"{word.word}" is new to the model'
            if word.nearest:
                line += f" (closest trained {word.slot}: {word.nearest})"
            warnings.append(f"{line}. Label some examples before you trust it.")
    return {
        **_facts(
            page,
            video,
            is_labelled=bool(labelled_tracks),
            is_complete=bool(labelled_tracks) and all(row.complete for row in labelled_tracks),
        ),
        "undo": titles["undo"],
        "redo": titles["redo"],
        "tracks": rows,
        "draft_track": None if drafted is None else drafted.id,
        "drafts": drafts,
        "problem": problem,
        "unseen": sorted(page.engine.unseen(names)),
        "background": list(project.background),
        "colours": colours(page, list(dict.fromkeys(names))),
        "new_words": list(dict.fromkeys(warnings)),
        "command": command(page, video),
    }


def colours(page: Page, names: Sequence[str]) -> dict[str, answers.Look]:
    """Return the colour and the sign of each name. Those of an action never change."""
    background = (*background_of(page), UNLABELLED)
    actions = {action.name: action for action in page.project.actions()}
    taken = {action.colour for action in actions.values()}
    free = (number for number in count() if number not in taken)
    for name in names:
        if name not in actions and name not in background:
            actions[name] = Action(name, next(free))
    hues = palette(max([action.colour for action in actions.values()], default=-1) + 1)
    no_look: answers.Look = {"colour": None, "number": None}
    result = dict.fromkeys([*names, *page.project.background], no_look)
    for position, action in enumerate(actions.values(), start=1):
        if action.name in result and action.name not in background:
            colour = action.paint or hues[action.colour]
            sign = action.key.upper() or f"#{position}"
            result[action.name] = {"colour": colour, "number": sign}
    return result


def tracks_by(
    page: Page, video: str, annotators: Collection[str] | None, viewer: str | None
) -> list[Track]:
    """Return the tracks of a video that a person sees.

    Args:
        page: the page.
        video: the id of the video.
        annotators: whose labels, on the tracks that have some. None stands for all people.
        viewer: the person.
    """
    tracks = page.project.labelled_tracks(video, annotators, viewer)
    if annotators is None:
        return tracks
    return [track for track in tracks if track.is_labelled] or tracks[:1]


def ethogram(page: Page) -> dict[str, Behaviour]:
    """Return the key and the colour of each action.

    A name that is made of its factors ("pour milk") is a behaviour with modifiers.
    """
    actions = page.project.actions()
    looks = colours(page, [action.name for action in actions])
    model = page.engine.model()
    behaviours = {}
    for action in actions:
        factors: Sequence[str | None] = ()
        if model is not None and action.name in model.vocabulary:
            factors = model.vocabulary.factors[model.vocabulary.index(action.name)]
        words = [factor for factor in factors if factor]
        if " ".join(words) != action.name:
            words = [action.name]
        behaviours[action.name] = Behaviour(
            key=action.key,
            colour=looks[action.name]["colour"] or "",
            description=action.description,
            code=words[0],
            modifiers=tuple(words[1:]),
            is_point=action.point,
        )
    return behaviours


def _clock(video: VideoEntry) -> Clock:
    rate = round(video.n_frames / video.duration, 6) if video.duration > 0 else None
    if video.media is None:
        return Clock(video.n_frames, rate, video.times)
    return Clock(video.n_frames, rate, video.times, video.name + video.media.suffix, rate)


def export_files(
    page: Page,
    folder: Path,
    formats: Iterable[str],
    background: bool,
    with_drafts: bool = False,
    annotators: Collection[str] | None = None,
    viewer: str | None = None,
) -> list[Path]:
    """Write every track of every video that is labelled, if only as complete.

    Args:
        page: the page.
        folder: the folder to write to.
        formats: names of formats. Tracks share a file where the format has tracks.
        background: write background to formats that leave it out.
        with_drafts: also write what the model predicts, as a track of its own.
        annotators: whose labels. None stands for all people.
        viewer: whose eyes see the tracks; None: of the owner of this computer.

    Returns:
        The files. If two videos have one name, the second file is named after its id too.
    """
    written: list[Path] = []
    forms = [format_called(kind) for kind in formats]
    for video in page.project.full_videos():
        tracks = tracks_by(page, video.id, annotators, viewer)
        drafts = page.drafts_between(video, viewer) if with_drafts else []
        if drafts or any(track.is_labelled for track in tracks):
            for form in forms:
                write_tracks(page, folder, video, tracks, form, background, drafts, written)
    return written


def write_tracks(
    page: Page,
    folder: Path,
    video: VideoEntry,
    tracks: Sequence[Track],
    form: Format,
    with_background: bool,
    drafts: Sequence[Draft],
    written: list[Path],
) -> None:
    """Write tracks of a video: one file if the format has tracks, else one a track.

    Unlabelled frames are background in a track that is complete, else UNLABELLED.

    Args:
        page: the page.
        folder: the folder to write to.
        video: the video.
        tracks: its tracks.
        form: the format.
        with_background: write background to formats that leave it out.
        drafts: predicted segments, which become a track of their own, named DRAFTS.
        written: earlier files, which are not replaced. The new ones are added. A file that its
            format cannot have without segments is left out, with a warning.
    """
    parts_of: dict[str, Sequence[Draft | Label]] = {track.name: track.segments for track in tracks}
    if drafts:
        parts_of[free_name(DRAFTS, parts_of)] = drafts
    if not parts_of:
        return
    segmentations = {}
    complete = {track.name for track in tracks if track.complete}
    for name, parts in parts_of.items():
        background = page.project.background
        if any(part.label == NONE_OF_THESE for part in parts):
            background = tuple(dict.fromkeys([*background, NONE_OF_THESE]))
        if name not in complete:  # there are no drafts where somebody has labelled
            background = (UNLABELLED, *background)
        segmentation = segmentation_of(parts, video.n_frames, background)
        segmentations[name] = _clock(video).apply_to(segmentation)
    files = {video.name: segmentations}
    if form.write_tracks is None and len(segmentations) > 1:
        files = {f"{video.name}.{name}": {name: track} for name, track in segmentations.items()}
    for title, tracks_of_file in files.items():
        stem = file_name(title)
        if format_of(Path(stem + form.ending)) != form:  # as CSV of a video named "take.frames"
            stem = stem.replace(".", "_")
        names = chain([stem, f"{stem}-{video.id}"], (f"{stem}-{n}" for n in count(2)))
        paths = (folder / f"{name}{form.ending}" for name in names)
        path = next(path for path in paths if path not in written)
        looks = ethogram(page)
        try:
            if form.write_tracks is None or [*tracks_of_file] == [MAIN]:
                (track,) = tracks_of_file.values()
                save(track, path, with_background=with_background, ethogram=looks)
            else:
                save_tracks(tracks_of_file, path, with_background=with_background, ethogram=looks)
        except NoSegmentsError:
            logger.warning("%s: left out, as it has no segments", path)
        else:
            written.append(path)


def comparison(
    page: Page, video: VideoEntry, sides: Sequence[tuple[str, Rating]]
) -> answers.Compared:
    """Compare two ratings of a video.

    Args:
        page: the page.
        video: the video.
        sides: the name and the rating of each of the two.

    Returns:
        Figures, what they leave out, and the rows of a timeline: both ratings, and where they
        differ.
    """
    (first_name, first), (second_name, second) = sides
    result = time_agreement([(first, second)])
    background = {*first.background, *second.background}
    rows = [
        _timeline_row(first_name, _shown(video, first)),
        _timeline_row(second_name, _shown(video, second)),
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
        "colours": colours(page, list(names)),
    }


def _shown(video: VideoEntry, rating: Rating) -> Segmentation:
    """Return a rating as segments without gaps. A point event in no action has one frame."""
    labels = rating.labels_at(video.times[:-1])
    for point in rating.points:
        frame = int(np.searchsorted(video.times[1:], point.time, side="right"))
        frame = min(frame, video.n_frames - 1)
        if labels[frame] in (UNLABELLED, *rating.background):
            labels[frame] = point.label
    return Segmentation.from_frames(labels)


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


def agreement_of_all(page: Page, first: str, second: str, viewer: str) -> answers.Agreement:
    """Return the agreement of two sides in the videos that have both, and their confusion.

    Args:
        page: the page.
        first: "track NAME" or "annotator NAME".
        second: the other side.
        viewer: whose eyes see the tracks.

    Returns:
        The figures of each video and of all videos, and the seconds in which the first side has
        one name (rows) and the second another (columns). Videos in which a side is not one
        labelling are left out, and named, and so are videos that a side has not rated.
    """
    videos = []
    shared = []
    unrated = []
    unowned = []
    pairs = []
    for video in page.project.full_videos():
        tracks = page.project.labelled_tracks(video.id, viewer=viewer)
        try:
            sides = [side_rating(page, video, tracks, key) for key in (first, second)]
        except InputError:
            shared.append(video.name)
            continue
        ratings = [side for side in sides if side is not None]
        if ratings and any(map(is_unowned, tracks)):
            unowned.append(video.name)
        if len(ratings) < 2:
            unrated += [video.name] * len(ratings)
            continue
        pair = Pair.of(*ratings)
        pairs.append(pair)
        if pair.is_empty:
            unrated.append(video.name)
            continue
        row: answers.VideoAgreement = {
            "id": video.id,
            "name": video.name,
            "figures": _figures(agreement_of_pairs([pair]).figures),
            "omissions": _omissions(pair.omissions),
        }
        videos.append(row)
    if not videos:
        fix = 'choose two of "track NAME" and "annotator NAME" that label the same videos'
        fix += blind_remark(page)
        if shared:
            fix += f"; people share a track, or tracks of one overlap, in {join_names(shared)}"
        if unowned:
            fix += f"; nobody is named for a fully labelled track in {join_names(unowned)}"
        raise InputError("agreement", f"no video has both {first!r} and {second!r}", fix)
    result = agreement_of_pairs(pairs)
    confusion: answers.Confusion = {
        "names": [name or page.project.background[0] for name in result.names],
        "seconds": result.confusion.round(3).tolist(),
    }
    omissions: answers.AgreementOmissions = {
        **_omissions(result.omissions),
        "videos": unrated,
        "unowned": [name for name in unowned if name in unrated],
    }
    return {
        "videos": videos,
        "figures": _figures(result.figures),
        "seconds": result.seconds,
        "confusion": confusion,
        "shared": shared,
        "omissions": omissions,
    }


def blind_remark(page: Page) -> str:
    """Return why labels may be missing from a comparison, or ""."""
    owner = page.project.blind_owner
    return "" if owner is None else "; while Blind is on, the labels of others are hidden"


def _timeline_row(name: str, segments: Iterable[Segment]) -> answers.TimelineRow:
    parts: list[answers.Span] = [
        {"start": part.start, "stop": part.stop, "label": part.label} for part in segments
    ]
    return {"name": name, "segments": parts}


def command(page: Page, video: VideoEntry) -> str:
    """Return the command line that gives the drafts, or "" without a model."""
    engine = page.engine
    model = engine.model()
    if model is None:
        return ""
    words = list(page.options.command)
    if engine.run_name:
        words = ["fact-clip", "segment", "--run", str(page.project.runs()[engine.run_name][0])]
    path = video.features or video.media
    words.insert(2, video.name + (".npy" if path is None else path.suffix))
    names = engine.names(model)
    if names:
        words += ["--actions", typed_names(names)]
    for name, value in engine.settings:
        if value is not None and name in model.scorer.adjustable:
            words += [CONTROLS[name].option, f"{value:g}"]
    return shlex.join(words)
