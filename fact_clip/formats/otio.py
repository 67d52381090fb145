"""OpenTimelineIO (.otio): a timeline with one clip per segment, for video editors."""

from __future__ import annotations

from pathlib import Path

from fact_clip.core import Segmentation
from fact_clip.formats.base import library, milliseconds, timed


def write(segmentation: Segmentation, path: Path) -> None:
    """Write one video track with a clip per segment, in frames, or in milliseconds if there are frame times."""
    otio = library(path, "opentimelineio", "OpenTimelineIO", "otio")
    next(timed(path, segmentation))  # refuses a segmentation without seconds
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
        times = (otio.opentime.RationalTime(time, rate) for time in (start, stop - start))
        metadata = {} if segment.confidence is None else {"fact_clip": {"confidence": segment.confidence}}
        track.append(otio.schema.Clip(segment.label, media, otio.opentime.TimeRange(*times), metadata))
    timeline = otio.schema.Timeline(video.stem)
    timeline.tracks.append(track)
    path.write_text(timeline.to_json_string(indent=2) + "\n", encoding="utf-8")
