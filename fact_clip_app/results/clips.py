"""Segments over all videos in an order: clips of a class, and the least sure drafts."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any, Literal

from fact_clip.core import InputError
from fact_clip_app.workspace.drafts import Draft, overlaid
from fact_clip_app.workspace.workspace import Workspace

MOST = 30
"""Segments that are listed."""

Order = Literal["longest", "shortest", "surest", "least sure"]

_ORDERS = {
    "longest": ("seconds", True),
    "shortest": ("seconds", False),
    "surest": ("confidence", True),
    "least sure": ("confidence", False),
}


def clips(workspace: Workspace, label: str, order: Order, viewer: str) -> list[Any]:
    """Return the segments and drafts of a class, or of all classes, that a person can see, in the
    given order.

    Args:
        workspace: Open project with its models and work.
        label: Name of the class, or "" for all.
        order: Order of the clips: by duration or, for drafts only, by confidence.
        viewer: Person who looks at the tracks.
    """
    rows: list[Any] = []
    for video in workspace.project.full_videos():
        tracks = workspace.project.labelled_tracks(video.id, viewer=viewer)
        drafted = workspace.draft_track(tracks)
        drafts: list[Draft] = []
        with suppress(InputError):  # the page shows it at the video
            drafts = workspace.drafts(video, tracks, viewer)
        for track in tracks:
            parts = overlaid(drafts if track is drafted else [], track.segments)
            for part in parts:
                if label not in ("", part.label) or part.start == part.stop:
                    continue
                time = float(video.times[part.start])
                seconds = float(video.times[part.stop]) - time
                clip = {"video": video.id, "name": video.name, "track": track.id}
                rows.append({**clip, "time": time, "seconds": seconds, **asdict(part)})
    key, is_falling = _ORDERS[order]
    ranked = [row for row in rows if row.get(key) is not None]
    return sorted(ranked, key=lambda row: row[key], reverse=is_falling)[:MOST]
