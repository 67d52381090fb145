"""The words of the frames around: by hand, and against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fact_clip.core import Vocabulary
from fact_clip.decoding import Voters
from fact_clip.decoding.fusion import FACTOR_FLOOR, factor_evidence, with_factors

NAMES = {
    "idle": (None, None),
    "take cup": ("take", "cup"),
    "put cup": ("put", "cup"),
    "put jar": ("put", "jar"),
    "wave": ("wave", None),
}
KITCHEN = Vocabulary.from_names(NAMES, ["idle"], NAMES, ("verb", "object"))
ACTIONS = np.array([1, 2, 3, 4])


def voters(frames: int = 7, seed: int = 0) -> Voters:
    torch.manual_seed(seed)
    table = torch.randn(1, frames, 5).mul(2).softmax(-1)
    return Voters(table, torch.randn(1, frames, 5), torch.ones(1, frames, dtype=torch.bool))


def test_one_frame_by_hand():
    shares = np.array([[0.4, 0.1, 0.2, 0.1]])  # 0.2 of the frame is background
    found = factor_evidence(shares, KITCHEN, ACTIONS, deviation=1.0)
    verb = [math.log(share / 0.8 + FACTOR_FLOOR) for share in (0.4, 0.3, 0.1)]  # take, put, wave
    cup, jar = (math.log(share / 0.8 + FACTOR_FLOOR) for share in (0.5, 0.2))
    expected = [verb[0] + cup, verb[1] + cup, verb[1] + jar, verb[2] + (cup + jar) / 2]
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_where_there_is_hardly_an_action_no_word_is_near():
    """Actions of a millionth part: half of what is there is a word, and half nothing."""
    found = factor_evidence(np.array([[1e-6, 0.0, 0.0, 0.0]]), KITCHEN, ACTIONS, deviation=1.0)
    known, none = math.log(0.5 + FACTOR_FLOOR), math.log(FACTOR_FLOOR)  # of take and cup; of put, wave and jar
    expected = [2 * known, none + known, 2 * none, none + (known + none) / 2]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_a_slot_that_no_action_fills_says_nothing():
    words = Vocabulary.from_names(("a", "b"), (), {"a": (None, "cup"), "b": (None, "jar")}, ("verb", "object"))
    found = factor_evidence(np.array([[0.75, 0.25]]), words, np.array([0, 1]), deviation=1.0)
    np.testing.assert_allclose(found[0], np.log([0.75 + FACTOR_FLOOR, 0.25 + FACTOR_FLOOR]), atol=1e-5)


def test_against_loops_over_frames_and_words():
    of, weight, deviation = voters(), 0.6, 1.5
    found = with_factors(of, KITCHEN, weight, deviation)
    table = of.frames[0].double().numpy()
    rows, n = list(NAMES.values()), len(table)

    def near(values, t):
        """Gaussian weights up to four deviations; beyond the ends the first and the last value go on."""
        reach = int(4 * deviation + 0.5)
        weights = [math.exp(-(d**2) / (2 * deviation**2)) for d in range(-reach, reach + 1)]
        terms = [w * values[min(max(t + d, 0), n - 1)] for w, d in zip(weights, range(-reach, reach + 1), strict=True)]
        return sum(terms) / sum(weights)

    for t in range(n):
        added = dict.fromkeys(range(1, 5), 0.0)
        for slot in (0, 1):
            words = sorted({row[slot] for row in rows if row[slot]})
            whole = near(table[:, 1:].sum(1), t) + 1e-6
            logs = {
                word: math.log(
                    near(sum(table[:, c] for c in range(1, 5) if rows[c][slot] == word), t) / whole + FACTOR_FLOOR
                )
                for word in words
            }
            for c in added:
                added[c] += logs[rows[c][slot]] if rows[c][slot] else sum(logs.values()) / len(logs)
        for before, after, is_log in ((of.frames, found.frames, False), (of.tokens, found.tokens, True)):
            own = before[0, t].double().exp() if is_log else before[0, t].double()
            moved = {c: float(own[c]) * math.exp(weight * added[c]) for c in added}
            scale = float(own[1:].sum()) / sum(moved.values())
            expected = [float(own[0]), *(moved[c] * scale for c in added)]
            got = after[0, t].exp() if is_log else after[0, t]
            assert got.tolist() == pytest.approx(expected, rel=1e-4)


def test_background_keeps_its_share_and_no_weight_changes_nothing():
    of = voters(seed=1)
    found = with_factors(of, KITCHEN, 0.8, 3.0)
    torch.testing.assert_close(found.frames[..., 0], of.frames[..., 0])
    torch.testing.assert_close(found.frames.sum(-1), of.frames.sum(-1))
    same = with_factors(of, KITCHEN, 0.0, 3.0)
    torch.testing.assert_close(same.frames, of.frames)
    torch.testing.assert_close(same.tokens, of.tokens)
    assert with_factors(Voters(of.frames, None, of.has_token), KITCHEN, 0.5, 1.0).tokens is None


def test_a_word_nearby_decides_between_equal_actions():
    table = torch.full((1, 9, 5), 0.02)
    table[..., 1] = 0.92  # take cup
    table[0, 4] = torch.tensor([0.02, 0.0, 0.45, 0.45, 0.08])
    of = Voters(table, None, torch.ones(1, 9, dtype=torch.bool))
    after = with_factors(of, KITCHEN, 0.5, 2.0).frames[0, 4]
    assert after[2] > 2 * after[3]  # put cup before put jar
