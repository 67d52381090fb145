"""Segments over all videos in an order: clips of a class, and the least sure drafts."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any, Literal

from fact_clip.core import InputError
from fact_clip_app.api import answers
from fact_clip_app.workspace.drafts import Draft, overlaid
from fact_clip_app.workspace.workspace import Workspace

MOST = 30
"""Maximum number of clips in an answer. The page shows the first of them (clips.js)."""

Order = Literal["longest", "shortest", "surest", "least sure"]

# Key of a clip by which each order sorts, and whether the order is descending.
_ORDERS: dict[Order, tuple[Literal["seconds", "confidence"], bool]] = {
    "longest": ("seconds", True),
    "shortest": ("seconds", False),
    "surest": ("confidence", True),
    "least sure": ("confidence", False),
}


def clips(workspace: Workspace, label: str, order: Order, viewer: str) -> list[answers.Clip]:
    """Return the first segments and drafts that a person can see, in an order.

    Args:
        workspace: Open project with its models and work.
        label: Name of the class, or "" for all classes.
        order: Order of the clips: by duration or, for drafts only, by confidence.
        viewer: Person who looks at the tracks.
    """
    rows: list[Any] = []  # `answers.Clip`, of which mypy cannot check the fields of `part`
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
    key, is_descending = _ORDERS[order]
    ranked = [row for row in rows if row.get(key) is not None]
    return sorted(ranked, key=lambda row: row[key], reverse=is_descending)[:MOST]
