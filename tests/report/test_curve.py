"""The seen-unseen curve as a picture."""

from __future__ import annotations

from matplotlib.image import imread

from fact_clip.report import curve, save_curve

POINTS = {"gamma": [-1, 0, 1], "seen": [80.0, 60.0, 0.0], "unseen": [0.0, 30.0, 50.0]}


def test_seen_over_unseen_with_the_point_in_use():
    axes = curve({"AUSUC 30.0": POINTS}, used={"S": 60.0, "U": 30.0}).axes[0]
    line, dot = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == (POINTS["unseen"], POINTS["seen"])
    assert (list(dot.get_xdata()), list(dot.get_ydata())) == ([30.0], [60.0])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["AUSUC 30.0", "gamma in use"]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 100), (0, 100))
    assert axes.get_xlabel().startswith("unseen")
    assert len(curve({"a": POINTS, "b": POINTS}).axes[0].lines) == 2


def test_files(tmp_path):
    assert imread(save_curve({"a": POINTS}, tmp_path / "c.png")).shape == (675, 750, 4)
    first = save_curve({"a": POINTS}, tmp_path / "c.svg").read_bytes()
    assert save_curve({"a": POINTS}, tmp_path / "c.svg").read_bytes() == first
