"""Requests that compare labellings."""

from collections.abc import Sequence
from dataclasses import dataclass

from fact_clip.core import InputError, Rating
from fact_clip_app.api import answers, request_bodies
from fact_clip_app.results.agreement import agreement_of_all, blind_remark, comparison
from fact_clip_app.results.ratings import is_track_key, rating_of, side_rating
from fact_clip_app.store.label_files import read_label_file, warnings_heard
from fact_clip_app.store.project import VideoEntry
from fact_clip_app.web.access import Asker, Served, Stored, check_drafts
from fact_clip_app.web.route_options import api_router
from fact_clip_app.workspace.class_colours import background_of
from fact_clip_app.workspace.workspace import Workspace

router = api_router()


@router.get("/agreement")
def agreement(workspace: Served, first: str, second: str, person: Asker) -> answers.Agreement:
    """Return the agreement of two tracks or two people in all videos that both labelled."""
    return agreement_of_all(workspace, first, second, person.annotator)


@router.post("/videos/{video}/compare")
def compare(workspace: Served, video: Stored, body: request_bodies.Comparison) -> answers.Compared:
    """Compare two labellings of a video."""
    sides = []
    warnings: list[str] = []
    for key in (body.first, body.second):
        side = _side(workspace, video, body, key)
        sides.append((side.name, side.rating))
        warnings += side.warnings
    return {**comparison(workspace, video, sides), "warnings": list(dict.fromkeys(warnings))}


@dataclass(frozen=True)
class _Side:
    """One side of a comparison."""

    name: str
    rating: Rating
    warnings: Sequence[str] = ()


def _side(
    workspace: Workspace, video: VideoEntry, body: request_bodies.Comparison, key: str
) -> _Side:
    """Return one side of a comparison.

    Args:
        workspace: Open project.
        video: The video.
        body: Request, with the person who asks.
        key: "shown" for the labels on the screen, "predicted" for drafts, "track NAME",
            "annotator NAME", or the key of an uploaded label file.

    Raises:
        InputError: The video has no such labels, or they are not one labelling.
    """
    background = background_of(workspace)
    if key == "shown":
        timeline = workspace.timeline(video, body.annotator)
        return _Side(key, rating_of(video, timeline, background, source=key))
    if key == "predicted":
        check_drafts(workspace, body.person)
        drafts = workspace.quick.run(lambda: workspace.engine.drafts(video))
        if workspace.engine.work(video.id).prediction is None:
            fix = "choose a model, or wait until the video is encoded"
            raise InputError(key, f"{video.name} has no prediction", fix)
        return _Side(key, rating_of(video, drafts, background, source=key))
    if is_track_key(key):
        tracks = workspace.project.labelled_tracks(video.id, viewer=body.annotator)
        rating = side_rating(workspace, video, tracks, key)
        if rating is None:
            fix = f"choose a different video or side{blind_remark(workspace)}"
            raise InputError(key, f"no labels in {video.name}", fix)
        return _Side(key, rating)
    return _uploaded_side(workspace, video, key)


def _uploaded_side(workspace: Workspace, video: VideoEntry, key: str) -> _Side:
    """Return the labels of an uploaded file, which has a single track."""
    upload = workspace.upload(key)
    with warnings_heard() as lines:
        file = read_label_file(
            upload.path,
            video.times,
            is_film=video.media is not None,
            video_name=video.name,
        )
    if len(file.tracks) > 1:
        fix = "load it as labels, and compare the tracks"
        raise InputError(upload.path, f"{len(file.tracks)} tracks", fix)
    (labels,) = file.tracks.values()
    rating = rating_of(video, labels, file.background, source=upload.name)
    return _Side(upload.name, rating, upload.renamed(lines))
