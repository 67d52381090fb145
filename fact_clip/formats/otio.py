"""OpenTimelineIO (.otio): a timeline with a clip a segment, for video editors."""

from __future__ import annotations

from pathlib import Path

from fact_clip.core import InputError, Segmentation
from fact_clip.formats.base import Format, milliseconds, span


def write(segmentation: Segmentation, path: Path) -> None:
    """One video track, a clip a segment named by its action; the confidence is metadata of the clip.

    The time base is the frame rate; with frame times it is the millisecond, as one rate cannot say them.

    Raises:
        InputError: no seconds are known, or OpenTimelineIO is missing.
    """
    try:
        import opentimelineio as otio
    except ImportError:
        raise InputError(path, "OpenTimelineIO is not installed", "", "pip install 'fact-clip[otio]'") from None
    span(path, segmentation, segmentation.segments[0])
    if segmentation.times is None:
        rate = segmentation.fps
        cuts = [(segment.start, segment.stop, segment) for segment in segmentation]
    else:
        rate, cuts = 1000.0, milliseconds(path, segmentation)
    video = Path(segmentation.media or "video")
    address = video.as_uri() if video.is_absolute() else segmentation.media or "video"
    track = otio.schema.Track("action", kind=otio.schema.TrackKind.Video)
    for start, stop, segment in cuts:
        media = otio.schema.ExternalReference(target_url=address)
        place = otio.opentime.TimeRange(
            otio.opentime.RationalTime(start, rate), otio.opentime.RationalTime(stop - start, rate)
        )
        sure = {} if segment.confidence is None else {"fact_clip": {"confidence": segment.confidence}}
        track.append(otio.schema.Clip(segment.label, media, place, sure))
    timeline = otio.schema.Timeline(video.stem)
    timeline.tracks.append(track)
    path.write_text(timeline.to_json_string(indent=2) + "\n", encoding="utf-8")


FORMAT = Format(write, None, "OpenTimelineIO: a clip a segment, for video editors")
