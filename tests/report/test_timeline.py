"""Timelines: the right bars, the right axis, and a legend that stays readable with 60 classes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from fact_clip.core import Segment, Segmentation
from fact_clip.core.colours import BACKGROUND_COLOUR, palette
from fact_clip.report.plots import curve, save_figure, timeline

SHORT = Segmentation((Segment(0, 30, "no action"), Segment(30, 40, "pour milk"), Segment(40, 60, "stir")), fps=10.0)


def many(count: int, fps: float | None = 15.0, shift: int = 0) -> Segmentation:
    """`count` classes of 30 frames each, with names as long as those of HA-ViD."""
    names = [f"screw part number {(n + shift) % count} with the hex screwdriver" for n in range(count)]
    return Segmentation(tuple(Segment(30 * n, 30 * (n + 1), name) for n, name in enumerate(names)), fps)


def test_bars_lie_where_the_segments_are_in_seconds():
    figure = timeline({"truth": SHORT, "prediction": SHORT}, background=["no action"])
    axes = figure.axes[0]
    assert axes.get_xlabel() == "time (s)"
    assert axes.get_xlim() == (0, 6.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["truth", "prediction"]
    top, bottom = (bars.get_paths() for bars in axes.collections)
    spans = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in top]
    assert np.allclose(spans, [(0, 3), (3, 4), (4, 6)])
    # the y axis points down: the first row stands above
    low, high = axes.get_ylim()
    assert low > high
    assert top[0].vertices[:, 1].max() < bottom[0].vertices[:, 1].min()


def test_background_is_grey_and_last_in_the_legend():
    figure = timeline({"truth": SHORT}, background=["no action"])
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["1  pour milk", "2  stir", "no action"]
    assert legend.get_patches()[-1].get_facecolor()[:3] == to_rgb(BACKGROUND_COLOUR)
    colours = figure.axes[0].collections[0].get_facecolors()
    assert tuple(colours[0][:3]) == to_rgb(BACKGROUND_COLOUR)
    assert tuple(colours[1][:3]) == to_rgb(palette(2)[0])


def test_axis_is_in_frames_where_one_rate_is_unknown():
    unknown = Segmentation(SHORT.segments)
    axes = timeline({"truth": SHORT, "prediction": unknown}).axes[0]
    assert axes.get_xlabel() == "frame"
    assert axes.get_xlim() == (0, 60)


def test_rows_may_differ_in_length_and_rate():
    assert timeline({"a": SHORT, "b": many(4)}).axes[0].get_xlim() == (0, 8.0)


@pytest.mark.parametrize("count", [1, 2, 12, 60, 200])
def test_nothing_lies_on_anything(count):
    figure = timeline({"truth": many(count), "prediction": many(count, shift=3)}, title="video $x$_1")
    figure.draw_without_rendering()
    legend, axes = figure.legends[0], figure.axes[0]
    box = legend.get_window_extent()
    tight = axes.get_tightbbox()  # with tick labels, axis label and title
    assert box.y0 >= 0
    assert box.y1 < tight.y0
    assert box.x0 >= 0
    assert tight.x0 >= 0
    assert max(box.x1, tight.x1) <= figure.bbox.width
    assert tight.y1 <= figure.bbox.height
    assert len(legend.get_texts()) == count
    assert all(text.get_fontsize() >= 8 for text in legend.get_texts())
    texts = [text.get_window_extent() for text in legend.get_texts()]
    assert not any(left.overlaps(right) for left, right in combinations(texts, 2))


def test_numbers_stand_on_wide_segments_only():
    figure = timeline({"a": Segmentation((Segment(0, 1, "blink"), Segment(1, 1000, "pour")))})
    assert [text.get_text() for text in figure.axes[0].texts] == ["2"]


def test_pictures_are_written_by_suffix(tmp_path):
    rows = {"truth": many(60), "prediction": many(60, shift=1)}
    png = save_figure(timeline(rows, background=["no action"]), tmp_path / "plots/a.png")
    height, width = imread(png).shape[:2]
    assert width == 1800
    assert 300 < height < 1800
    svg = save_figure(timeline(rows), tmp_path / "plots/a.SVG")
    text = svg.read_text()
    assert "60  screw part number 59 with the hex screwdriver" in text
    assert save_figure(timeline(rows), tmp_path / "b.svg").read_bytes() == svg.read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.SVG", "a.png", "b.svg"]


def test_letters_of_other_languages_come_from_fonts_that_are_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("fact_clip.report.plots.OTHER_FONTS", ("No Such Font", "DejaVu Serif"))
    text = save_figure(timeline({"a": Segmentation((Segment(0, 5, "切火腿"),))}), tmp_path / "a.svg").read_text()
    assert "切火腿" in text
    assert "'DejaVu Serif'" in text
    assert "No Such Font" not in text


def test_a_dollar_is_a_dollar(tmp_path):
    name = "pay $5 and _$"
    path = save_figure(timeline({"_a $b$": Segmentation((Segment(0, 5, name),))}), tmp_path / "a.svg")
    assert name in path.read_text()
    assert "_a $b$" in path.read_text()


def test_a_name_without_end_is_shortened():
    figure = timeline({"r" * 90: Segmentation((Segment(0, 5, "long " * 60),))})
    assert len(figure.legends[0].get_texts()[0].get_text()) == 70
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.width


def test_frame_times_place_the_bars():
    """Three rows, of which the first lasts two seconds; a row of a rate alone stands beside it in seconds too."""
    uneven = Segmentation((Segment(0, 1, "a"), Segment(1, 3, "b")), 4.0, (0.0, 2.0, 2.25, 2.5))
    axes = timeline({"x": uneven, "y": Segmentation.from_frames(["a"] * 8, fps=4.0)}).axes[0]
    bars = [[path.get_extents() for path in each.get_paths()] for each in axes.collections]
    assert [(each.x0, each.x1) for each in bars[0]] == [(0, 2), (2, 2.5)]
    assert [(each.x0, each.x1) for each in bars[1]] == [(0, 2)]
    assert axes.get_xlim() == (0, 2.5)
    assert axes.get_xlabel() == "time (s)"
    no_rate = timeline({"x": Segmentation(uneven.segments, times=uneven.times)}).axes[0]
    assert (no_rate.get_xlim(), no_rate.get_xlabel()) == ((0, 2.5), "time (s)")


def test_seen_over_unseen_with_the_point_in_use():
    points = {"gamma": [-1, 0, 1], "seen": [80.0, 60.0, 0.0], "unseen": [0.0, 30.0, 50.0]}
    axes = curve({"ausuc": 30.0, "curve": points, "ways": {"in use": {"S": 60.0, "U": 30.0}}}).axes[0]
    line, dot = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == (points["unseen"], points["seen"])
    assert (list(dot.get_xdata()), list(dot.get_ydata())) == ([30.0], [60.0])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["AUSUC 30.0", "gamma in use"]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 100), (0, 100))
