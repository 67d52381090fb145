"""Plots for papers: which videos, which shares, and where texts lie among frames."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import Segment, Segmentation, Vocabulary
from fact_clip.report.plots import (
    chosen_videos,
    save_plots,
    timeline,
)

from .conftest import rows_of

NAMES = Vocabulary.from_names(["rest", "pour", "stir"], background=["rest"])


def test_videos_are_spread_from_the_lowest_accuracy_to_the_highest(evaluated):
    videos = [rows_of([1] * 24, [1] * right + [2] * (24 - right), f"{right}") for right in range(23, -1, -1)]
    assert [video.name for video in chosen_videos(evaluated(videos))] == [
        "0", "2", "4", "6", "8", "10", "13", "15", "17", "19", "21", "23",
    ]  # fmt: skip
    assert [video.name for video in chosen_videos(evaluated(videos[:2]))] == ["22", "23"]
    unlabelled = rows_of([-1] * 24, [1] * 24, "unlabelled")
    assert [video.name for video in chosen_videos(evaluated([*videos[:2], unlabelled]))] == ["22", "23"]


def test_all_timelines_number_the_classes_alike():
    row = Segmentation((Segment(0, 5, "stir"), Segment(5, 9, "rest")))
    figure = timeline({"truth": row}, background=["rest"], names=NAMES.names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["2  stir", "rest"]


@pytest.mark.parametrize("unseen", [(), ("stir",)])
def test_a_run_gets_a_curve_only_with_unseen_classes(evaluated, tmp_path, unseen):
    one = evaluated([rows_of([1, 1, 2, -1], [1, 2, 2, 2], times=np.arange(5.0))], NAMES.names, unseen=unseen)
    written = {path.name for path in save_plots(one, tmp_path)}
    expected = {"timeline_one"} | ({"curve"} if unseen else set())
    assert written == {f"{name}{suffix}" for name in expected for suffix in (".png", ".svg")}
