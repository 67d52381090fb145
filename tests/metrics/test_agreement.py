"""Agreement of two labellings of one video."""

from __future__ import annotations

import pytest

from fact_clip.core import Segment
from fact_clip.metrics.agreement import agreement

from ..refusals import refused


def test_figures_and_differences():
    first = ["stir"] * 6 + ["pour"] * 4
    second = ["stir"] * 4 + ["pour"] * 6
    result = agreement(first, second)
    assert result.figures["frame_accuracy"] == pytest.approx(80.0)
    assert result.figures["f1@50"] == pytest.approx(100.0, abs=0.01)
    assert result.figures["edit"] == pytest.approx(100.0, abs=0.01)
    # p_o = 0.8, p_e = 0.6 * 0.4 + 0.4 * 0.6
    assert result.figures["kappa"] == pytest.approx((0.8 - 0.48) / (1 - 0.48))
    assert result.differences == (Segment(4, 6, "stir / pour"),)


def test_background_counts_in_no_segment_figure():
    first = ["stir"] * 4 + ["idle"] * 4
    second = ["stir"] * 4 + ["pour"] * 4
    assert agreement(first, second, ["idle"]).figures["edit"] == pytest.approx(50.0, abs=0.01)
    assert agreement(first, first, ["idle"]).figures["edit"] == pytest.approx(100.0, abs=0.01)


def test_labellings_of_different_length_are_refused():
    with refused("labels"):
        agreement(["stir"], ["stir", "stir"])
