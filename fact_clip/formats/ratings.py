"""Conversion of label files in any format to ratings of their videos."""

from dataclasses import replace
from pathlib import Path

from fact_clip.core import BACKGROUND, UNLABELLED, InputError, Names, Rating, Segmentation
from fact_clip.formats.base import Annotation, Options, Unit
from fact_clip.formats.csv_file import usual_unit

_MOST_BEYOND = 0.5  # seconds by which labels may extend beyond the end of their video


def rating_of_segmentation(
    segmentation: Segmentation, source: str = "", fps: float | None = None
) -> Rating:
    """Convert a segmentation to a rating. All time is rated except its segments "?".

    Args:
        segmentation: Segmentation to convert.
        source: Origin of the segmentation, for messages.
        fps: Frames per second, if it has neither times nor a rate.

    Returns:
        The rating.

    Raises:
        InputError: The segmentation has no times.
    """
    segmentation = replace(segmentation, fps=segmentation.fps or fps)
    start = segmentation.seconds(0)
    end = segmentation.seconds(segmentation.n_frames)
    if start is None or end is None:
        raise InputError(source or "segmentation", "labels without times", "give --fps")
    parts = []
    for part in (*segmentation, *segmentation.instants):
        first = segmentation.seconds(part.start)
        last = segmentation.seconds(part.stop)
        assert first is not None
        assert last is not None
        parts.append((first, last, part.label))
    return Rating.of(
        parts,
        is_complete=True,
        start=start,
        end=end,
        background=_names(segmentation.background),
        source=source,
    )


def rating_of_annotation(
    annotation: Annotation,
    fps: float | None = None,
    span: tuple[float, float] | None = None,
) -> Rating:
    """Convert an annotation with gaps to a rating. Gaps are rated, unless their name is "?".

    Args:
        annotation: Annotation to convert.
        fps: Frames per second, if it counts frames and has no rate.
        span: Time of the first frame and end of the video in seconds, if the annotation does not
            contain them.

    Returns:
        The rating. Its end is None if the length of the video is unknown.

    Raises:
        InputError: The annotation counts frames of an unknown rate, or extends beyond the video.
    """
    path = annotation.path
    scale = 1.0 if annotation.unit == "seconds" else annotation.fps or fps
    if scale is None and not annotation.spans and annotation.end is None:
        scale = 1.0  # nothing needs to be converted
    if scale is None:
        raise InputError(path, "frames without a rate", "give --fps")
    parts = [(part.start / scale, part.stop / scale, part.label) for part in annotation.spans]
    last_stop = max((stop for _, stop, _ in parts), default=0.0)
    start, end = span or (0.0, None)
    if annotation.start is not None:
        start = annotation.start / scale
    if annotation.end is not None:
        end = max(annotation.end / scale, last_stop)
    elif end is not None and end < last_stop - _MOST_BEYOND:
        problem = f"segments up to {last_stop:.1f} s, but the video has {end:.1f} s"
        raise InputError(path, problem, "give the duration of this video")
    names = (annotation.background or BACKGROUND, *annotation.further_background)
    return Rating.of(
        parts,
        is_complete=annotation.background != UNLABELLED,
        start=start,
        end=end,
        background=_names(names),
        source=str(path),
    )


def _names(background: Names) -> Names:
    """Return the names that mean no action in a file, which always include BACKGROUND."""
    return (*background, BACKGROUND)


def load_rating(
    path: str | Path,
    *,
    tier: str | None = None,
    fps: float | None = None,
    unit: Unit | None = None,
    span: tuple[float, float] | None = None,
) -> Rating:
    """Read a label file of any format as a rating of its video.

    Args:
        path: Path of the file.
        tier: Tier or subject, if the file has several.
        fps: Frames per second, for a file that does not contain them.
        unit: Unit of the columns start and stop in a CSV file: "seconds" (the default) or
            "frames".
        span: Time of the first frame and end of the video in seconds, for files that do not
            contain them.

    Returns:
        The rating.

    Raises:
        InputError: The file cannot be read, has labels of several videos, or has no times.
    """
    from fact_clip.formats import format_of, load

    path = Path(path)
    read = format_of(path).annotations
    if read is None:
        if tier is not None:
            raise InputError("--tier", f"{path} has no tiers", "leave it out")
        return rating_of_segmentation(load(path), str(path), fps)
    options = Options(tier=tier, unit=unit or usual_unit(path), instants=True, default_fps=fps)
    annotations = read(path, options)
    if len(annotations) != 1:
        raise InputError(path, f"{len(annotations)} videos", "give files of one video")
    return rating_of_annotation(annotations[0], fps, span)
