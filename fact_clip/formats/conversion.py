"""Conversion of label files between the formats of different tools, without features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fact_clip.core import (
    BACKGROUND,
    UNLABELLED,
    Clock,
    FileLocation,
    InputError,
    Instant,
    Names,
    Segment,
    Segmentation,
    located,
    runs,
)
from fact_clip.core.paths import check_place, file_name, inside
from fact_clip.formats import (
    FORMATS,
    READERS,
    Format,
    format_called,
    format_of,
    load,
    save,
    save_tracks,
)
from fact_clip.formats.base import OURS, Annotation, Options, Span, TiersError
from fact_clip.formats.binary import read_classes
from fact_clip.formats.boris import Ethogram, read_ethogram
from fact_clip.formats.gaps import boundaries, last_frame, to_frames

_CLASSES: dict[str, Callable[[Path], Ethogram]] = {
    "boris": read_ethogram,
    "binary.csv": read_classes,
}
"""Functions that read the classes of a file, for formats that list classes without a segment."""

_NO_TIER = "\n"  # not a possible name of a tier, so that a reader lists the existing tiers


@dataclass(frozen=True)
class ConvertedTrack:
    """One tier of a label file as a segmentation, with the decisions of the conversion.

    Attributes:
        segmentation: Labels of all frames.
        contested: Number of frames in which segments with different labels overlap. The segment
            that started last gets the frame.
        lost: Number of segments without a frame, because they are too short or covered by others.
    """

    segmentation: Segmentation
    contested: int = 0
    lost: int = 0


@dataclass(frozen=True)
class ConvertedVideo:
    """The label files that were written for one video.

    Attributes:
        tracks: Tracks of the video, by the name of their tier.
        written: Files.
        comments: Number of comments that at least one of the formats cannot store.
    """

    tracks: Mapping[str, ConvertedTrack]
    written: tuple[Path, ...]
    comments: int


def convert_label_files(
    files: Sequence[Path],
    kind: str,
    out: Path,
    formats: Sequence[str],
    clock_of: Callable[[str], Clock | None],
    options: Options | None = None,
    background: str | None = None,
) -> dict[str, ConvertedVideo]:
    """Write label files of one format as label files of other formats.

    All files are read before anything is written. Point events stay point events if a format has
    them. `save` warns about other formats. If a file has several tiers, formats with tracks get one
    file with a track for each tier. "binary.csv" gets one file if no class occurs in two tiers. For
    each other format, there is one file NAME.TIER per tier.

    Args:
        files: Label files.
        kind: Format of these files, a key of `READERS`, or "json", "jsonl" or "txt".
        out: Folder to write to.
        formats: Names of the formats to write.
        clock_of: Function that returns the frames of a video by its name, or None to use the rate
            of its file.
        options: Options of the reader. A tier selects one of several.
        background: Label of frames without a segment, or None to use the name in the file.

    Returns:
        The written files, by the name of the video.

    Raises:
        InputError: A file cannot be read, a video occurs twice, or the duration of a frame is
            unknown.
    """
    targets = [format_called(name, "--to") for name in formats]
    sources = {path.resolve() for path in files}
    videos: dict[str, dict[str, ConvertedTrack]] = {}
    source_of: dict[str, Path] = {}
    ethograms: dict[str, Ethogram] = {}
    for path in files:
        for name, tracks in _read_tracks(path, kind, clock_of, options or Options(), background):
            if name in videos:
                problem = f"video {name!r} is repeated, after {source_of[name]}"
                raise InputError(path, problem, "give each video once")
            videos[name] = tracks
            source_of[name] = path
            ethograms[name] = _CLASSES[kind](path) if kind in _CLASSES else {}
    plans = {name: _files(name, tracks, out, targets) for name, tracks in videos.items()}
    video_of: dict[Path, str] = {}
    for name, plan in plans.items():
        for path in plan:
            check_place(path)
            if path.resolve() in sources:
                raise InputError(
                    path, "it is one of the files to convert", "choose a different --out"
                )
            if video_of.setdefault(path, name) != name:
                problem = f"the videos {video_of[path]!r} and {name!r} become one file"
                raise InputError(path, problem, "convert them to different folders")
    converted = {}
    for name, plan in plans.items():
        for path, (form, file_tracks) in plan.items():
            segmentations = {tier: track.segmentation for tier, track in file_tracks.items()}
            if form.write_tracks is not None:
                save_tracks(segmentations, path, ethogram=ethograms[name])
            else:
                (segmentation,) = segmentations.values()
                save(segmentation, path)
        n_comments = 0
        if not all(form.has_comments for form in targets):
            n_comments = sum(_n_comments(track.segmentation) for track in videos[name].values())
        converted[name] = ConvertedVideo(videos[name], tuple(plan), n_comments)
    return converted


def _read_tracks(
    path: Path,
    kind: str,
    clock_of: Callable[[str], Clock | None],
    options: Options,
    background: str | None,
) -> list[tuple[str, dict[str, ConvertedTrack]]]:
    """Return the videos of a file, with their tracks by tier."""
    form = FORMATS.get(kind)
    if form is not None and form.read is not None and kind != "csv":
        segmentation = load(path, background=background)
        name = Annotation(path, ()).name
        clock = clock_of(name)
        if clock is None:
            return [(name, {OURS: ConvertedTrack(segmentation)})]
        return [(name, {OURS: _on_clock(path, segmentation, clock)})]
    annotations: dict[str, dict[str, Annotation]] = {}
    for tier, of_videos in _tiers(path, kind, options).items():
        for annotation in of_videos:
            of_tiers = annotations.setdefault(annotation.name, {})
            if of_tiers.setdefault(annotation.tier or tier, annotation) is not annotation:
                problem = f"labels of the video {annotation.name!r} are repeated"
                raise InputError(path, problem, "give each video once")
    videos = []
    for name, of_tiers in annotations.items():
        clock = clock_of(name)
        tracks = {}
        for tier, annotation in of_tiers.items():
            tracks[tier] = _track(annotation, clock or _own_clock(annotation), background)
        videos.append((name, _of_one_length(tracks)))
    return videos


def _on_clock(path: Path, segmentation: Segmentation, clock: Clock) -> ConvertedTrack:
    """Return a segmentation in the frames of a clock.

    Frames without times are the frames of the clock. Others are converted by their seconds.
    """
    count = segmentation.n_frames
    if segmentation.seconds(0) is None:
        if clock.n_frames not in (None, count):
            problem = f"{count} labels for a video of {clock.n_frames} frames"
            raise InputError(path, problem, "give their rate with --fps instead of --film")
        return ConvertedTrack(clock.apply_to(segmentation))
    if clock.n_frames in (None, count) and clock.apply_to(segmentation) == segmentation:
        return ConvertedTrack(segmentation)
    seconds = [segmentation.seconds(frame) or 0.0 for frame in range(count + 1)]
    where = FileLocation(path)
    parts: list[Segment | Instant] = [*segmentation.segments, *segmentation.instants]
    spans = []
    for part in parts:
        start = seconds[part.start]
        spans.append(Span(start, seconds[part.stop], part.label, where, part.comment))
    annotation = Annotation(path, spans, end=seconds[-1])
    track = _track(annotation.with_background(segmentation.background), clock, None)
    background = segmentation.background
    return replace(track, segmentation=replace(track.segmentation, background=background))


def _of_one_length(tracks: Mapping[str, ConvertedTrack]) -> dict[str, ConvertedTrack]:
    """Return the tracks of a video, extended with background to the longest of them."""
    n_frames = max(track.segmentation.n_frames for track in tracks.values())
    long_tracks = {}
    for tier, track in tracks.items():
        labels = track.segmentation
        if labels.n_frames < n_frames:
            end = Segment(labels.n_frames, n_frames, labels.background[0])
            labels = replace(labels, segments=(*labels.segments, end))
        long_tracks[tier] = replace(track, segmentation=labels)
    return long_tracks


def _tiers(path: Path, kind: str, options: Options) -> dict[str, list[Annotation]]:
    """Return the annotations of a file, by tier."""
    options = replace(options, instants=True)
    if options.tier is not None:
        return {options.tier: READERS[kind](path, options)}
    try:
        return {OURS: READERS[kind](path, replace(options, tier=_NO_TIER))}
    except TiersError as error:
        tiers = error.tiers
    by_tier = {}
    for tier in tiers:
        by_tier[tier or OURS] = READERS[kind](path, replace(options, tier=tier))
    return by_tier


def _own_clock(annotation: Annotation) -> Clock:
    """Return the frames of an annotation that has its own frame rate."""
    if annotation.unit != "frames" or annotation.fps is None:
        problem = "nothing determines how long a frame of the video is"
        raise InputError(annotation.path, problem, "give --fps, or the video with --film")
    return Clock(fps=annotation.fps, video_fps=annotation.fps)


def _track(annotation: Annotation, clock: Clock, background: str | None) -> ConvertedTrack:
    """Return an annotation as a segmentation of the frames of its video."""
    states = [span for span in annotation.spans if span.start < span.stop]
    points = [span for span in annotation.spans if span.start == span.stop]
    if not states and clock.n_frames is None and annotation.end is None:
        problem = f"{annotation.name!r} has no segments, and the video's length is unknown"
        raise InputError(annotation.path, problem, "give the video with --film")
    annotation = replace(annotation, spans=states, end=_end(annotation, clock))
    frames = to_frames(annotation, clock, background)
    n_frames = len(frames.labels)
    segments = []
    for start, stop, number in runs(frames.owners):
        label = frames.background
        comment = ""
        if number >= 0:
            label = frames.spans[number].label
            comment = frames.spans[number].comment
        segments.append(Segment(start, stop, label, comment=comment))
    instants = []
    for span, frame in zip(
        points, boundaries(annotation, [span.start for span in points], clock), strict=True
    ):
        if frame > last_frame(n_frames):
            problem = f"the point event {span.label!r} at {span.start:g} is after the end"
            raise InputError(span.where, problem, "check --fps, --source-fps and --film")
        instants.append(Instant(min(int(frame), n_frames), span.label, span.comment))
    names: Names = (frames.background, *annotation.further_background)
    with located(annotation.path):
        segmentation = Segmentation(
            tuple(segments),
            background=tuple(dict.fromkeys((*names, BACKGROUND))),
            instants=tuple(sorted(instants, key=lambda instant: instant.frame)),
        )
    return ConvertedTrack(clock.apply_to(segmentation), frames.contested, frames.lost)


def _end(annotation: Annotation, clock: Clock) -> float | None:
    """Return the end of a video in the unit of its annotation, after its last point event."""
    if clock.n_frames is not None:
        return annotation.end
    points = [span.start for span in annotation.spans if span.start == span.stop]
    if not points:
        return annotation.end
    frame = 1.0
    if annotation.unit == "seconds" and clock.rate is not None:
        frame = 1 / clock.rate
    stops = [span.stop for span in annotation.spans]
    return max(annotation.end or 0, *stops, max(points) + frame)


def _files(
    name: str, tracks: Mapping[str, ConvertedTrack], out: Path, targets: Sequence[Format]
) -> dict[Path, tuple[Format, Mapping[str, ConvertedTrack]]]:
    """Return the files of a video, each with its format and its tracks."""
    files: dict[Path, tuple[Format, Mapping[str, ConvertedTrack]]] = {}
    stem = file_name(name)
    for form in targets:
        if len(tracks) == 1 or form.has_tracks or (form.joins_tracks and _are_apart(tracks)):
            files[_path(out, stem, form)] = (form, tracks)
            continue
        for tier, track in tracks.items():
            path = _path(out, f"{stem}.{file_name(tier)}", form)
            if path in files:
                problem = f"two tiers become {path.name}"
                raise InputError(path, problem, "choose one with --tier")
            files[path] = (form, {tier: track})
    return files


def _are_apart(tracks: Mapping[str, ConvertedTrack]) -> bool:
    """Return whether each class occurs in only one track, so that joining loses nothing."""
    names: list[str] = []
    for track in tracks.values():
        background = {UNLABELLED, *track.segmentation.background}
        names += set(track.segmentation.transcript) - background
    return len(set(names)) == len(names)


def _path(out: Path, stem: str, form: Format) -> Path:
    """Return the path of a file, whose name must not have the ending of a different format."""
    if format_of(f"{stem}{form.ending}") != form:  # such as the CSV of a video "take.frames"
        stem = stem.replace(".", "_")
    return inside(out, f"{stem}{form.ending}")


def _n_comments(segmentation: Segmentation) -> int:
    parts: list[Segment | Instant] = [*segmentation.segments, *segmentation.instants]
    return sum(bool(part.comment) for part in parts)
