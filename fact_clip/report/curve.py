"""The seen-unseen curve: what each point of unseen accuracy costs in seen accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fact_clip.core import InputError
from fact_clip.export import whole_file
from fact_clip.report.timeline import check_suffix

Points = Mapping[str, Sequence[float]]
"""Lists "gamma", "seen" and "unseen" of one length, as `SeenUnseenCurve.to_dict` gives."""


def save_curve(curves: Mapping[str, Points], path: str | Path, *, used: Mapping[str, float] | None = None) -> Path:
    """Draw `curve` into a picture file whose suffix names the format (.png, .svg, .pdf).

    Raises:
        InputError: no curve, another suffix, or a place that cannot be written to.
    """
    path = Path(path)
    check_suffix(path)
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fact-clip"}), whole_file(path) as unfinished:
        curve(curves, used=used).savefig(unfinished, dpi=150, metadata=metadata)
    return path


def curve(curves: Mapping[str, Points], *, used: Mapping[str, float] | None = None) -> Figure:
    """S over U as gamma grows, a line a curve; both axes in percent.

    Args:
        curves: name -> points.
        used: {"S", "U"} of the gamma in use, drawn as a dot.

    Raises:
        InputError: no curve.
    """
    if not curves:
        raise InputError("curve", "none", "at least one seen-unseen curve")
    figure = Figure(figsize=(5.0, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in curves.items():
        axes.plot(points["unseen"], points["seen"], label=name)
    if used is not None:
        axes.plot([used["U"]], [used["S"]], "o", color="black", label="gamma in use")
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="unseen class-mean accuracy, U (%)")
    axes.set_ylabel("seen class-mean accuracy, S (%)")
    axes.legend(loc="upper right")
    return figure
