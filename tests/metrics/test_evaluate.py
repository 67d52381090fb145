"""evaluate as a whole: recorded figures, the slow version, profiles, edge cases, bad input."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fact_clip.metrics import PROFILES, evaluate

from ..published import RECORDED
from ..refusals import refused

SEEDED = settings(derandomize=True, deadline=None, max_examples=400)
OVERALL = ["frame_accuracy", "frame_accuracy_foreground", "edit", "f1@10", "f1@25", "f1@50"]


def _load_slow() -> ModuleType:
    # tests are no package (import mode importlib), so the neighbour is loaded by its place
    spec = importlib.util.spec_from_file_location("metrics_slow", Path(__file__).with_name("slow.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


slow = _load_slow()


def frames(*runs: tuple[int, int]) -> list[int]:
    """Runs (class, frames) as one label a frame."""
    return [label for label, length in runs for _ in range(length)]


@pytest.mark.parametrize(("name", "background"), [("background_counted", ()), ("background_excluded", (0,))])
def test_recorded_figures(name: str, background: tuple[int, ...]) -> None:
    recorded = json.loads((RECORDED / "metrics.json").read_text(encoding="utf-8"))
    truth, guess = ([frames(*video) for video in recorded[side]] for side in ("ground_truth", "prediction"))
    got = evaluate(truth, guess, background=background, unseen=recorded["unseen_classes"])
    expected = recorded["expected"][name]
    assert list(got) == list(expected)
    assert got == pytest.approx(expected, abs=1e-9)


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]]]:
    truth, guess = [], []
    for _ in range(draw(st.integers(1, 3))):
        lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
        truth.append(frames(*((draw(st.integers(-1, 4)), length) for length in lengths)))
        # mostly the truth, so that every overlap occurs
        guess.append([draw(st.sampled_from([max(label, 0)] * 5 + [0, 1, 2, 4])) for label in truth[-1]])
        if draw(st.booleans()):
            cut = draw(st.integers(1, len(truth[-1])))
            guess[-1] = frames((draw(st.integers(0, 4)), cut), (draw(st.integers(0, 4)), len(truth[-1]) - cut))
    return truth, guess


@SEEDED
@given(videos(), st.sampled_from([(), (0,), (0, 2)]), st.sampled_from([(), (3,), (1, 3)]), st.sampled_from([*PROFILES]))
def test_equals_slow_version(
    pair: tuple[list[list[int]], list[list[int]]], background: tuple[int, ...], unseen: tuple[int, ...], profile: str
) -> None:
    truth, guess = pair
    got = evaluate(truth, guess, background=background, unseen=unseen, profile=profile)
    expected = slow.evaluate(truth, guess, set(background), set(unseen), profile)
    assert got == pytest.approx(expected, abs=1e-9)
    assert all(type(value) is float and math.isfinite(value) and 0 <= value <= 100.01 for value in got.values())


@SEEDED
@given(videos())
def test_truth_is_perfect_in_every_profile(pair: tuple[list[list[int]], list[list[int]]]) -> None:
    truth = [video for video in pair[0] if max(video) >= 0]
    for profile in PROFILES:
        if truth:
            got = evaluate(truth, truth, profile=profile)
            assert got["frame_accuracy"] == got["edit"] == 100.0
            if profile != "mstcn-legacy":
                assert got["f1@50"] == pytest.approx(100, abs=0.01)


def test_every_figure_by_hand() -> None:
    #                0   ....   4 ....   8 ....  12
    truth = [frames((0, 4), (1, 4), (2, 4))]
    guess = [frames((0, 5), (1, 1), (3, 2), (2, 4))]
    got = evaluate(truth, guess, background=[0], unseen=[2, 3])
    # right: 4 + 1 + 4 of 12, foreground 1 + 4 of 8
    assert got["frame_accuracy"] == pytest.approx(75)
    assert got["frame_accuracy_foreground"] == pytest.approx(62.5)
    # 1 2 against 1 3 2: one insertion of three
    assert got["edit"] == pytest.approx(100 * (1 - 1 / 3))
    # 1: IoU 1/4; 3: nothing to match; 2: IoU 1
    assert got["f1@10"] == got["f1@25"] == pytest.approx(80, abs=0.01)  # TP 2, FP 1, FN 0
    assert got["f1@50"] == pytest.approx(40, abs=0.01)  # TP 1, FP 2, FN 1
    assert got["seen_frame_accuracy"] == pytest.approx(100 * 5 / 8)  # background counts as seen
    assert got["unseen_frame_accuracy"] == 100
    assert got["seen_class_mean_accuracy"] == 25  # class 1 alone
    assert got["unseen_class_mean_accuracy"] == 100  # class 3 has no true frame
    assert got["harmonic_mean"] == pytest.approx(2 * 25 * 100 / 125)
    assert got["seen_f1@25"] == 100
    assert got["seen_f1@50"] == 0  # class 1: a false positive and a miss
    assert got["unseen_f1@50"] == pytest.approx(100 * 2 / 3)  # class 2 hit; class 3 a false positive of its own group


def test_smoothing_of_pooled_f1() -> None:
    # TP 1, FP 0, FN 1: P = 1/1.00001, R = 1/2.00001
    got = evaluate([frames((1, 5), (2, 5)), [3]], [frames((1, 5), (0, 5)), [0]], background=[0, 3])
    precision, recall = 1 / 1.00001, 1 / 2.00001
    assert got["f1@50"] == pytest.approx(200 * precision * recall / (precision + recall + 1e-5), abs=1e-12)
    assert got["f1@50"] != pytest.approx(100 * 2 / 3, abs=1e-5)


def test_groups_are_exact_and_without_unseen_left_out() -> None:
    got = evaluate([[0, 1]], [[0, 1]], unseen=[1])
    assert got["seen_f1@50"] == got["unseen_f1@50"] == 100.0
    assert list(evaluate([[0, 1]], [[0, 1]])) == [*OVERALL]


def test_mstcn_is_fact_without_foreground() -> None:
    truth, guess = [frames((0, 3), (1, 4), (2, 5))], [frames((0, 4), (1, 4), (2, 4))]
    fact = evaluate(truth, guess, background=[0], unseen=[2])
    mstcn = evaluate(truth, guess, background=[0], unseen=[2], profile="mstcn")
    del fact["frame_accuracy_foreground"]
    assert mstcn == fact


def test_legacy_last_segment_ends_one_frame_early() -> None:
    # 2 is [6, 8) and is predicted as [4, 8): IoU 2/4. One frame shorter each: [6, 7) and [4, 7), IoU 1/3
    truth, guess = [frames((1, 6), (2, 2))], [frames((1, 4), (2, 4))]
    fact, legacy = (evaluate(truth, guess, profile=profile) for profile in ("fact", "mstcn-legacy"))
    assert fact["f1@50"] == pytest.approx(100, abs=0.01)
    assert legacy["f1@50"] == pytest.approx(50, abs=0.01)  # TP 1, FP 1, FN 1
    assert legacy["f1@25"] == pytest.approx(100, abs=0.01)
    assert "frame_accuracy_foreground" not in legacy


def test_legacy_one_frame_at_the_end_is_never_hit() -> None:
    truth = [frames((1, 5), (2, 1))]
    legacy = evaluate(truth, truth, profile="mstcn-legacy")
    assert legacy["edit"] == 100  # it still stands in the transcript
    assert legacy["f1@10"] == pytest.approx(50, abs=0.01)  # TP 1, FP 1, FN 1
    assert evaluate([[2]], [[2]], profile="mstcn-legacy")["f1@10"] == 0


def test_legacy_spares_the_segment_before_background() -> None:
    # the last run is background, so [2, 4) of class 1 keeps its length: IoU 2/4 with [0, 4)
    truth, guess = [frames((0, 2), (1, 2), (0, 3))], [frames((1, 4), (0, 3))]
    assert evaluate(truth, guess, background=[0], profile="mstcn-legacy")["f1@50"] == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("profile", ["fact", "mstcn", "mstcn-legacy"])
def test_background_that_counts_is_in_all_but_the_foreground(profile: str) -> None:
    truth, guess = [frames((0, 4), (1, 4), (0, 2))], [frames((0, 3), (1, 3), (2, 2), (0, 2))]
    got = evaluate(truth, guess, background=[0], count_background=True, profile=profile)
    plain = evaluate(truth, guess, profile=profile)
    if "frame_accuracy_foreground" in plain:
        assert got["frame_accuracy_foreground"] == 50  # of the frames of 1: two of four
    assert {key: value for key, value in got.items() if "foreground" not in key} == {
        key: value for key, value in plain.items() if "foreground" not in key
    }


def test_ltcontext_by_hand() -> None:
    truth = [frames((0, 4), (1, 2), (0, 2), (1, 2)), frames((2, 4), (1, 4))]
    guess = [frames((3, 4), (1, 2), (1, 2), (1, 2)), frames((2, 4), (2, 3), (0, 1))]
    got = evaluate(truth, guess, background=[0], profile="ltcontext")
    # first video without its background: 1111 against 1111; second: 2222 1111 against 2222 2220
    assert got["frame_accuracy"] == got["frame_accuracy_foreground"] == pytest.approx(100 * 8 / 12)
    assert got["edit"] == pytest.approx((100 + 50) / 2)
    # second video: 2 has IoU 4/7, so TP 1, FP 0, FN 1
    assert got["f1@50"] == pytest.approx((100 + 100 * 2 / 3) / 2)
    pooled = evaluate(truth, guess, background=[0])
    # 1 3 1 1 ... : counted with background, the first video has a false positive of 3 and one 1 of two
    assert pooled["f1@50"] == pytest.approx(100 * 2 * 1 / (2 * 1 + 2 + 3), abs=0.01)


def test_ltcontext_cuts_background_that_counts() -> None:
    truth, guess = [frames((0, 4), (1, 4))], [frames((0, 4), (1, 3), (0, 1))]
    got = evaluate(truth, guess, background=[0], profile="ltcontext", count_background=True)
    cut = evaluate([[1] * 4], [[1, 1, 1, 0]], background=[0], profile="ltcontext", count_background=True)
    assert got == cut
    assert (got["frame_accuracy"], got["edit"]) == (75, 50)  # 1 against 1 0


def test_also_unseen_is_in_neither_group() -> None:
    truth, guess = [frames((1, 4), (2, 4), (3, 4))], [frames((1, 4), (3, 2), (2, 2), (3, 4))]
    got = evaluate(truth, guess, unseen=[2], also_unseen=[3])
    assert (got["seen_frame_accuracy"], got["seen_class_mean_accuracy"], got["seen_f1@50"]) == (100, 100, 100)
    assert (got["unseen_frame_accuracy"], got["unseen_f1@50"]) == (50, 100)


def test_ltcontext_mean_leaves_out_videos_without_segments() -> None:
    truth, guess = [[0, 0], [1, 1]], [[1, 1], [1, 1]]
    got = evaluate(truth, guess, background=[0], profile="ltcontext")
    assert (got["f1@50"], got["edit"], got["frame_accuracy"]) == (100, 100, 100)
    alone = evaluate([[0, 0]], [[1, 1]], background=[0], profile="ltcontext")
    assert (alone["f1@50"], alone["edit"], alone["frame_accuracy"]) == (0, 100, 0)


@pytest.mark.parametrize("profile", PROFILES)
def test_both_transcripts_empty(profile: str) -> None:
    # a video of background alone, right away: edit 100, and F1 is what the other video gives
    alone = evaluate([[1, 1, 2, 2]], [[1, 1, 1, 1]], background=[0], profile=profile)
    both = evaluate([[1, 1, 2, 2], [0, 0]], [[1, 1, 1, 1], [0, 0]], background=[0], profile=profile)
    assert both["edit"] == (alone["edit"] + 100) / 2
    assert [both[f"f1@{k}"] for k in (10, 25, 50)] == [alone[f"f1@{k}"] for k in (10, 25, 50)]


@pytest.mark.parametrize("profile", ["fact", "mstcn", "mstcn-legacy"])
def test_only_one_transcript_empty(profile: str) -> None:
    perfect = ([1, 1], [1, 1])
    # two false positives beside one hit, then two misses beside one hit: 2TP / (2TP + 2) = 1/2 either way
    for truth, guess in (([0] * 4, [1, 1, 2, 2]), ([1, 1, 2, 2], [0] * 4)):
        got = evaluate([truth, perfect[0]], [guess, perfect[1]], background=[0], profile=profile)
        assert got["edit"] == 50
        assert got["f1@10"] == pytest.approx(50, abs=0.01)


@pytest.mark.parametrize("profile", PROFILES)
def test_background_alone_and_nothing_to_judge_give_numbers(profile: str) -> None:
    for truth, guess in (([0, 0], [0, 0]), ([0, 0], [1, 2]), ([-1, -1], [1, 2])):
        got = evaluate([truth], [guess], background=[0], unseen=[2], profile=profile)
        assert all(math.isfinite(value) for value in got.values())
        assert got["harmonic_mean"] == got["unseen_frame_accuracy"] == 0
    assert evaluate([[0, 0]], [[0, 0]], background=[0])["frame_accuracy"] == 100
    assert evaluate([[0, 0]], [[0, 0]], background=[0])["frame_accuracy_foreground"] == 0
    assert evaluate([[0, 0]], [[1, 2]], background=[0])["edit"] == 0
    assert evaluate([[-1, -1]], [[1, 2]])["edit"] == 0
    assert evaluate([[0, 0, 1, 1], [-1, -1, -1]], [[1, 1, 0, 0], [0, 1, 0]])["edit"] == 0
    assert evaluate([[0, 0, 1, 1], [-1, -1, -1]], [[0, 0, 1, 1], [0, 1, 0]])["edit"] == 100


def test_ignored_frames_are_cut_out_of_both() -> None:
    truth = [[1, 1, -1, -1, 1, 1, 2, 2]]
    guess = [[1, 1, 2, 3, 1, 1, 2, 1]]
    # without frames 2 and 3: 111122 against 111121
    assert evaluate(truth, guess) == evaluate([[1, 1, 1, 1, 2, 2]], [[1, 1, 1, 1, 2, 1]])
    assert evaluate(truth, guess)["frame_accuracy"] == pytest.approx(100 * 5 / 6)
    assert evaluate(truth, guess)["edit"] == pytest.approx(100 * 2 / 3)
    assert evaluate([[1, -1]], [[1, -1]])["frame_accuracy"] == 100  # what stands there does not matter


def test_stride_must_be_declared() -> None:
    truth = [np.array([1, 1, 1, 2, 2, 2, 2])]
    guess = [np.array([1, 2, 2])]
    with refused("prediction of video 0"):
        evaluate(truth, guess)
    # 1 1 1 2 2 2 2 from 1 2 2 at stride 3
    assert evaluate(truth, guess, stride=3)["frame_accuracy"] == 100
    with refused("labels"):
        evaluate(truth, guess, stride=2)


def test_integer_types_and_large_indices_do_not_matter() -> None:
    truth, guess = [[7, 7, 10**12]], [[7, 10**12, 10**12]]
    small = [np.array([0, 0, 1], dtype=np.uint8)], [np.array([0, 1, 1], dtype=np.int32)]
    assert evaluate(truth, guess, unseen=[10**12]) == evaluate(*small, unseen=[1])
    assert evaluate(*small, unseen=np.array([1]))["frame_accuracy"] == pytest.approx(100 * 2 / 3)


@pytest.mark.parametrize("profile", PROFILES)
def test_all_values_are_figures(profile: str) -> None:
    """So that a tracker takes the result as it is."""
    got = evaluate([[0, 1, 2]], [[0, 1, 1]], background=[0], unseen=[2], profile=profile)
    assert {type(value) for value in got.values()} == {float}
