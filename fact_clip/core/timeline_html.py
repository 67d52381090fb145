"""Segments as a timeline in HTML, for notebooks."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from fact_clip.core.colours import class_colours
from fact_clip.core.segments import Segment
from fact_clip.core.types import Names


def timeline_html(
    segments: Sequence[Segment], edges: Sequence[float], unit: str, background: Names
) -> str:
    """Return a coloured bar for each segment and a legend, as HTML that loads no other files.

    Args:
        segments: The N segments of a video, in order.
        edges: Start of each segment and end of the last one, (N + 1,).
        unit: Unit of the edges, "s" or "frames".
        background: Labels that are grey.
    """
    length = edges[-1] - edges[0]
    labels = [segment.label for segment in segments]
    colours = {}
    for label, look in class_colours(labels, background).items():
        colours[label] = look["colour"] or "rgba(128,128,128,.35)"

    bars = []
    for segment, (start, stop) in zip(segments, pairwise(edges), strict=True):
        title = f"{segment.label}: {start:.6g} to {stop:.6g} {unit}"
        if segment.confidence is not None:
            title += f", confidence {segment.confidence:.2f}"
        width = 100 * (stop - start) / length
        style = f"width:{width:.4f}%;background:{colours[segment.label]}"
        bars.append(f'<span title="{escape(title)}" style="{style}"></span>')

    legend = []
    swatch = "display:inline-block;width:.8em;height:.8em;margin-right:.3em"
    for label, colour in colours.items():
        legend.append(
            '<span style="white-space:nowrap;margin-right:1em">'
            f'<span style="{swatch};background:{colour}"></span>{escape(label)}</span> '
        )

    summary = f"{len(segments)} segments, {edges[0]:.6g} to {edges[-1]:.6g} {unit}"
    return (
        f'<div style="font:13px system-ui,sans-serif;color:inherit"><div>{summary}</div>'
        f'<div style="display:flex;height:28px;margin:4px 0">{"".join(bars)}</div>'
        f"<div>{''.join(legend)}</div></div>"
    )
