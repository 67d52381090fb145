"""fact-clip data summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fact_clip.cli.arguments import DataSet, Overrides, data_config
from fact_clip.cli.console import progress, table

MOST_FREQUENT = 15
"""Transitions that are shown; --json has all."""


def summary(
    data: DataSet,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that was counted as JSON.")] = False,
) -> None:
    """Count what a data set holds.

    Videos, frames, segments, durations, how even the classes are, and what follows what; and the number of action
    tokens that fits. Looks at the labels of all splits.

    \b
    Example:
      fact-clip data summary kscgr data.root=../shared/data/kscgr
    """
    from fact_clip.data.summary import summarize

    config = data_config(data, overrides)
    with progress("counting") as report:
        result = summarize(config, report)
    print(json.dumps(result, indent=1) if as_json else _text(result))


def _text(found: Mapping[str, Any]) -> str:
    fps, balance, suggested = found["fps"], found["balance"], found["suggested"]
    lines = [
        f"{found['root']}: {found['videos']} videos, {found['classes']} classes, {len(found['splits'])} splits",
        f"frames     {found['frames']:,}; a video {_spread(found['video_frames'], fps)}",
        f"segments   {found['segments']:,}; frames each {_spread(found['segment_frames'], fps)}",
        f"transcript {_spread(found['transcript_length'], None)} segments a video",
        f"balance    evenness {balance['evenness']:.2f} of 1; frames of the most frequent class over the least:"
        f" {balance['most_over_least']:.0f}; classes without frames: {balance['classes_without_frames']}",
        f"background {', '.join(found['background']) or 'none known'}",
        f"suggested  model.tokens={suggested['tokens']}; loss.null_weight=-1 is {suggested['null_weight']:.4f} then",
        "",
        _classes(found["per_class"], fps),
        "",
        table(
            ["from", "to", "times", "share"],
            [
                [row["from"], row["to"], str(row["count"]), f"{row['share']:.0%}"]
                for row in found["transitions"][:MOST_FREQUENT]
            ],
            right=(2, 3),
        ),
    ]
    left_out = len(found["transitions"]) - MOST_FREQUENT
    return "\n".join(lines + ([f"and {left_out} more transitions (--json)"] if left_out > 0 else []))


def _classes(rows: list[Mapping[str, Any]], fps: float | None) -> str:
    unit = "frames" if fps is None else "seconds"
    header = [
        "class",
        "videos",
        "frames",
        "share",
        "segments",
        "a video",
        f"mean {unit}",
        "least",
        "most",
        "transcript",
    ]
    cells = [
        [
            row["name"],
            str(row["videos"]),
            str(row["frames"]),
            f"{row['share']:.1%}",
            str(row["segments"]),
            f"{row['segments_per_video']:.1f}",
            *(_time(row["segment_frames"][key], fps) for key in ("mean", "least", "most")),
            f"{row['transcript_length']['mean']:.1f}",
        ]
        for row in rows
    ]
    return table(header, cells, right=range(1, len(header)))


def _time(frames: float, fps: float | None) -> str:
    return f"{frames:.0f}" if fps is None else f"{frames / fps:.1f}"


def _spread(values: Mapping[str, float], fps: float | None) -> str:
    text = f"mean {values['mean']:.1f}, median {values['median']:g}, {values['least']} to {values['most']}"
    return text if fps is None else f"{text} (mean {values['mean'] / fps:.1f} s at {fps:g} a second)"
