"""Requests that compare labellings."""

from fact_clip.core import InputError
from fact_clip_app.api import answers, request_bodies
from fact_clip_app.results.agreement import agreement_of_all, blind_remark, comparison
from fact_clip_app.results.ratings import rating_of, side_rating
from fact_clip_app.store.label_files import read_label_file, warnings_heard
from fact_clip_app.web.access import Asker, Served, Stored, check_drafts
from fact_clip_app.web.route_options import api_router
from fact_clip_app.workspace.class_colours import background_of

router = api_router()


@router.get("/agreement")
def agreement(workspace: Served, first: str, second: str, person: Asker) -> answers.Agreement:
    """Return the agreement of two tracks or two people in all videos that both labelled."""
    return agreement_of_all(workspace, first, second, person.annotator)


@router.post("/videos/{video}/compare")
def compare(workspace: Served, video: Stored, body: request_bodies.Comparison) -> answers.Compared:
    """Compare two labellings of a video."""
    tracks = workspace.project.labelled_tracks(video.id, viewer=body.annotator)
    background = background_of(workspace)
    sides = []
    warnings: list[str] = []
    for key in (body.first, body.second):
        name = key
        rating = side_rating(workspace, video, tracks, key)
        if key == "shown":
            timeline = workspace.timeline(video, body.annotator)
            rating = rating_of(video, timeline, background, source=key)
        elif key == "predicted":
            check_drafts(workspace, body.person)
            drafts = workspace.quick.run(lambda: workspace.engine.drafts(video))
            if workspace.engine.work(video.id).prediction is None:
                fix = "choose a model, or wait until the video is encoded"
                raise InputError(key, f"{video.name} has no prediction", fix)
            rating = rating_of(video, drafts, background, source=key)
        elif rating is None and " " in key:  # as no key of an upload has
            fix = f"choose another video or side{blind_remark(workspace)}"
            raise InputError(key, f"no labels in {video.name}", fix)
        elif rating is None:
            upload = workspace.upload(key)
            name = upload.name
            with warnings_heard() as lines:
                file = read_label_file(
                    upload.path,
                    video.times,
                    is_film=video.media is not None,
                    video_name=video.name,
                )
            warnings += upload.renamed(lines)
            if len(file.tracks) > 1:
                fix = "load it as labels, and compare the tracks"
                raise InputError(upload.path, f"{len(file.tracks)} tracks", fix)
            (labels,) = file.tracks.values()
            rating = rating_of(video, labels, file.background, source=name)
        sides.append((name, rating))
    return {**comparison(workspace, video, sides), "warnings": list(dict.fromkeys(warnings))}
