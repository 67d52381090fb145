"""Labels of a project as label files of any format."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from fact_clip.core import NONE_OF_THESE, Clock, Segmentation
from fact_clip.core.paths import file_name
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.formats import Behaviour, Format, format_called, format_of, save, save_tracks
from fact_clip.formats.nwb import NoSegmentsError
from fact_clip_app.store.label_files import MAIN
from fact_clip_app.store.project import Label, Track, VideoEntry, free_name
from fact_clip_app.workspace.class_colours import colours
from fact_clip_app.workspace.drafts import Draft, segmentation_of
from fact_clip_app.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

DRAFTS = "drafts"
"""Name of the track that contains the drafts in a file."""


def export_files(
    workspace: Workspace,
    folder: Path,
    formats: Iterable[str],
    *,
    with_background: bool = False,
    with_drafts: bool = False,
    annotators: Collection[str] | None = None,
    viewer: str | None = None,
) -> list[Path]:
    """Write the tracks of every video that is labelled or marked as fully labelled.

    Args:
        workspace: The open project.
        folder: The folder to write to.
        formats: Names of formats. Tracks share a file if the format has tracks.
        with_background: Whether to write background to formats that leave it out.
        with_drafts: Whether to write what the model predicts as a track of its own.
        annotators: The people whose labels are written, or None for all people.
        viewer: The person who sees the tracks, or None for the owner of this computer.

    Returns:
        The files. If two videos have one name, the second file is named after its id, too.
    """
    writer = LabelWriter(workspace, folder, with_background=with_background)
    file_formats = [format_called(name) for name in formats]
    for video in workspace.project.full_videos():
        tracks = tracks_by(workspace, video.id, annotators, viewer)
        drafts = workspace.drafts_between(video, viewer) if with_drafts else []
        if drafts or any(track.is_labelled for track in tracks):
            for file_format in file_formats:
                writer.write(VideoLabels(video, tracks, drafts), file_format)
    return writer.written


def tracks_by(
    workspace: Workspace, video: str, annotators: Collection[str] | None, viewer: str | None
) -> list[Track]:
    """Return the tracks of a video that are written, with the labels of some people.

    For some people, tracks without labels of theirs are left out, except the first one if no track
    has labels.

    Args:
        workspace: Open project with its models and work.
        video: ID of the video.
        annotators: People whose labels are exported. None stands for all people.
        viewer: Person who looks at the tracks.
    """
    tracks = workspace.project.labelled_tracks(video, annotators, viewer)
    if annotators is None:
        return tracks
    return [track for track in tracks if track.is_labelled] or tracks[:1]


@dataclass(frozen=True)
class VideoLabels:
    """The labels of a video that are written."""

    video: VideoEntry
    tracks: Sequence[Track]
    drafts: Sequence[Draft] = ()  # predicted segments, which become a track named DRAFTS


@dataclass(frozen=True)
class _TrackParts:
    """A track of a file."""

    name: str
    parts: Sequence[Draft | Label]
    is_complete: bool  # whether unlabelled frames are background


class LabelWriter:
    """Writes labels of videos to a folder, and never replaces a file that it has written."""

    def __init__(self, workspace: Workspace, folder: Path, *, with_background: bool) -> None:
        self.written: list[Path] = []
        self._folder = folder
        self._with_background = with_background
        self._background = workspace.project.background
        self._ethogram = ethogram(workspace)

    def write(self, labels: VideoLabels, file_format: Format) -> None:
        """Write one file if the format has tracks, else one file per track.

        A file that its format cannot have without segments is left out, with a warning.

        Args:
            labels: The tracks and the drafts of a video.
            file_format: The format.
        """
        segmentations = self._segmentations(labels)
        if not segmentations:
            return
        name = labels.video.name
        files = {name: segmentations}
        if not file_format.has_tracks and len(segmentations) > 1:
            files = {f"{name}.{track}": {track: part} for track, part in segmentations.items()}
        for title, tracks in files.items():
            path = self._free_path(title, labels.video, file_format)
            try:
                self._save(tracks, path, file_format)
            except NoSegmentsError:
                logger.warning("%s: left out, as it has no segments", path)
            else:
                self.written.append(path)

    def _segmentations(self, labels: VideoLabels) -> dict[str, Segmentation]:
        """Return the tracks by their names, with drafts as the last one.

        Unlabelled frames are background in a track that is complete, else UNLABELLED.
        """
        tracks = [
            _TrackParts(track.name, track.segments, track.complete) for track in labels.tracks
        ]
        if labels.drafts:
            name = free_name(DRAFTS, [track.name for track in tracks])
            # Frames with labels have no drafts, so gaps between drafts are not background.
            tracks.append(_TrackParts(name, labels.drafts, is_complete=False))
        segmentations = {}
        for written in tracks:
            background = self._background
            if any(part.label == NONE_OF_THESE for part in written.parts):
                background = tuple(dict.fromkeys([*background, NONE_OF_THESE]))
            if not written.is_complete:
                background = (UNLABELLED, *background)
            segmentation = segmentation_of(written.parts, labels.video.n_frames, background)
            segmentations[written.name] = _clock(labels.video).apply_to(segmentation)
        return segmentations

    def _free_path(self, title: str, video: VideoEntry, file_format: Format) -> Path:
        """Return a path that no earlier file of this writer has."""
        stem = file_name(title)
        # The stem and the ending may form the ending of a different format: "take.frames" + ".csv".
        if format_of(Path(stem + file_format.ending)) != file_format:
            stem = stem.replace(".", "_")
        stems = chain([stem, f"{stem}-{video.id}"], (f"{stem}-{number}" for number in count(2)))
        paths = (self._folder / f"{free_stem}{file_format.ending}" for free_stem in stems)
        return next(path for path in paths if path not in self.written)

    def _save(self, tracks: dict[str, Segmentation], path: Path, file_format: Format) -> None:
        """Write the tracks of one file."""
        options: Any = {"with_background": self._with_background, "ethogram": self._ethogram}
        if not file_format.has_tracks or [*tracks] == [MAIN]:
            (track,) = tracks.values()
            save(track, path, **options)
        else:
            save_tracks(tracks, path, **options)


def ethogram(workspace: Workspace) -> dict[str, Behaviour]:
    """Return the key and the colour of each action.

    A name that is made of its factors ("pour milk") is a behaviour with modifiers.
    """
    actions = workspace.project.actions()
    looks = colours(workspace, [action.name for action in actions])
    model = workspace.engine.model()
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
    """Return the times of the frames of a video, with the name of its video file."""
    rate = round(video.n_frames / video.duration, 6) if video.duration > 0 else None
    if video.media is None:
        return Clock(video.n_frames, rate, video.times)
    return Clock(video.n_frames, rate, video.times, video.name + video.media.suffix, rate)
