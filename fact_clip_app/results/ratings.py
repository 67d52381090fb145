"""The ratings of a project: the labels of each track, person, label file or model as ratings."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from fact_clip.core import InputError, Json, Names, Rating
from fact_clip.core.messages import join_names
from fact_clip_app.store.project import FIELDS, Label, Track, VideoEntry
from fact_clip_app.workspace.class_colours import background_of
from fact_clip_app.workspace.drafts import Draft
from fact_clip_app.workspace.workspace import Workspace

logger = logging.getLogger(__name__)


def rating_of(
    video: VideoEntry,
    parts: Iterable[Draft | Label],
    background: Names,
    *,
    is_complete: bool = True,
    owner: str = "",
    source: str = "",
) -> Rating:
    """Return labels or drafts in frames of a video as a rating.

    Args:
        video: Video that was labelled.
        parts: Labels and drafts. Parts with the label UNLABELLED are not rated.
        background: Names that mean no action.
        is_complete: Whether frames without a label are background, or else unlabelled.
        owner: Name of the rater.
        source: Origin of the labels, for messages.

    Returns:
        The rating.
    """
    times = video.times.tolist()
    return Rating.of(
        [(times[part.start], times[part.stop], part.label) for part in parts],
        is_complete=is_complete,
        start=times[0],
        end=times[-1],
        background=background,
        owner=owner,
        source=source,
    )


def track_rating(video: VideoEntry, track: Track, background: Names) -> Rating:
    """Return the rating of a track."""
    return rating_of(
        video,
        track.segments,
        background,
        is_complete=track.complete,
        owner=track.annotator,
        source=track.name,
    )


def side_rating(
    workspace: Workspace, video: VideoEntry, tracks: Iterable[Track], key: str
) -> Rating | None:
    """Return the rating of one side of a comparison, or None if a video does not have it.

    Args:
        workspace: Open project with its models and jobs.
        video: Video that was labelled.
        tracks: Tracks of the video.
        key: "track NAME", or "annotator NAME" for a person's labels on all tracks.

    Raises:
        InputError: The labels of a person are not one labelling, because others have labels on the
            same track, or because labels of several tracks overlap.
    """
    ratings = []
    for track in tracks:
        is_personal = key in {f"annotator {name}" for name in track.raters}
        if is_personal and len(track.raters) > 1:
            fix = "give each person a track, or compare tracks"
            raise InputError(key, f"others label the track {track.name!r}, too", fix)
        if track.is_labelled and (is_personal or key == f"track {track.name}"):
            ratings.append(track_rating(video, track, background_of(workspace)))
    if not ratings:
        return None
    try:
        return Rating.union(ratings)
    except InputError as error:
        raise InputError(key, error.problem, error.fix) from None


def is_unowned(track: Track) -> bool:
    """Return whether an unknown person has marked a track as fully labelled."""
    return track.complete and track.raters == {""}


@dataclass(frozen=True)
class RatedRows:
    """The tracks that are labelled, at least in part, each as a row of tables and plots."""

    ratings: dict[str, Rating]  # by the name of the row
    fields: dict[str, dict[str, str]]  # of the video of each row
    ids: dict[str, str]  # of the video of each row
    segments: list[Json]  # each action with its track, its people and its origin
    several: list[str]  # names of the videos that have more than one row
    unrated: list[str]  # names of the videos without a row
    unowned: list[str]  # names of unrated videos that an unknown person marked as fully labelled


def rated_rows(
    workspace: Workspace,
    annotators: Collection[str] | None = None,
    viewer: str | None = None,
    most: int | None = None,
) -> RatedRows:
    """Return a row for each labelled track that a person sees, with the labels of some people.

    Args:
        workspace: Open project with its models and jobs.
        annotators: People whose labels count, or None for all people.
        viewer: Person who sees the tracks, or None for the owner of this computer.
        most: Number of rows after which no further video is read, or None to read all videos.

    Returns:
        The rows.
    """
    rows = RatedRows({}, {}, {}, [], [], [], [])
    fields = workspace.project.setting(FIELDS, {})
    background = background_of(workspace)
    for video in workspace.project.full_videos():
        if most is not None and len(rows.ratings) >= most:
            break
        tracks = workspace.project.labelled_tracks(video.id, annotators, viewer)
        labelled_tracks = [track for track in tracks if track.is_labelled]
        if len(labelled_tracks) > 1:
            rows.several.append(video.name)
        if not labelled_tracks:
            rows.unrated.append(video.name)
            if any(map(is_unowned, workspace.project.labelled_tracks(video.id, viewer=viewer))):
                rows.unowned.append(video.name)
        for track in labelled_tracks:
            name = video.name if len(tracks) == 1 else f"{video.name}, {track.name}"
            if name in {*rows.ratings, "all"}:  # which means all videos in tables
                name = f"{name} ({video.id})"
            rows.fields[name] = fields.get(video.id, {})
            rows.ids[name] = video.id
            rows.ratings[name] = track_rating(video, track, background)
            rows.segments.extend(_segment_rows(name, video, track, background))
    return rows


def warn_of_unrated(rows: RatedRows) -> None:
    """Warn of videos without a row, because a table does not show that it lacks them."""
    if rows.unrated:
        message = "%d videos have no rows, since these people have not labelled them: %s"
        logger.warning(message, len(rows.unrated), join_names(rows.unrated))
    if rows.unowned:
        message = "nobody is named for an empty track that is marked as fully labelled: %s"
        logger.warning(message, join_names(rows.unowned))


def _segment_rows(name: str, video: VideoEntry, track: Track, background: Names) -> Sequence[Json]:
    """Return a row for each action of a track, with the values that a rating does not have."""
    times = video.times.tolist()
    rows = []
    for label in track.segments:
        if label.label not in background:
            rows.append(
                {
                    "video": name,
                    "track": track.name,
                    "start": times[label.start],
                    "stop": times[label.stop],
                    "label": label.label,
                    "origin": label.origin,
                    "annotator": track.author(label),
                    "comment": label.comment,
                }
            )
    return rows
