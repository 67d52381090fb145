"""fact-clip data summary."""

from fact_clip.cli.arguments import data_config
from fact_clip.cli.console import print_result, progress, table
from fact_clip.cli.options import AsJson, DataSet, Overrides
from fact_clip.core import Json

MAX_TRANSITIONS = 15
"""Number of transitions to print. --json has all of them."""


def summary(data: DataSet, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Count the contents of a data set.

    The command counts videos, frames and segments in the labels of all splits. It also reports
    durations, the share of each class, and transitions between classes.

    \b
    Example:
      fact-clip data summary kscgr data.root=data/kscgr
    """
    from fact_clip.datasets.summary import summarize

    config = data_config(data, overrides)
    with progress("counting") as report:
        result = summarize(config, report)
    print_result(result, _as_text(result), as_json)


def _as_text(summary: Json) -> str:
    counts = f"{summary['videos']} videos, {summary['classes']} classes"
    frames = (
        f"{summary['frames']} frames, {summary['unlabelled_frames']} unlabelled, "
        f"{summary['segments']} segments"
    )
    if summary["fps"]:
        frames += f", {summary['fps']:g} frames per second"
    if summary["clicked_videos"]:
        frames += f"; {summary['clicked_videos']} videos with clicks are left out"
    lengths = [
        {"": "frames of a video", **summary["video_frames"]},
        {"": "frames of a segment", **summary["segment_frames"]},
    ]
    lines = [
        f"{summary['root']}: {counts}, {len(summary['splits'])} splits",
        frames,
        table(lengths),
        f"background: {', '.join(summary['background']) or 'none known'}",
        "",
        _class_table(summary["per_class"]),
        "",
        table(summary["transitions"][:MAX_TRANSITIONS]),
        "(--json has all transitions)",
    ]
    return "\n".join(lines)


def _class_table(classes: list[Json]) -> str:
    rows = []
    for counts in classes:
        row = {
            "class": counts["name"],
            "videos": counts["videos"],
            "frames": counts["frames"],
            "share, %": 100 * counts["share"],
            "segments": counts["segments"],
        }
        for key, value in counts["segment_frames"].items():
            row[f"{key} frames"] = value
        rows.append(row)
    return table(rows)
