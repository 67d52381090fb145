"""Public functions refuse a wrong argument where they are called, at its name; nothing is read or written before."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import fact_clip_compat
from fact_clip import Config, Segment, Segmentation, Vocabulary, load, metrics, training
from fact_clip.config import BlockConfig, LossConfig
from fact_clip.datasets.splits import divide
from fact_clip.decoding import Confidence, DecodeSettings
from fact_clip.losses import Criterion
from fact_clip.models import FACT, Classes
from fact_clip.unseen.choice import rank, select
from fact_clip.unseen.holdout import Holdout
from fact_clip.video.extract import Settings
from fact_clip.video.frames import frames
from fact_clip.video.write import write_video
from fact_clip_batch import extract_batch

from ..refusals import refused
from ..small import model_config

NAN = math.nan
BLACK = np.zeros((32, 32, 3), np.uint8)
ABC = Vocabulary.from_names(["a", "b", "c"], ["a"])
EYE = np.eye(4, dtype=np.float32)
TIMED = Segmentation((Segment(0, 2, "a"),), times=(0, 0.1, 0.3))
ONE = {"x": Segmentation.from_frames(["a", "b"], fps=5.0)}
STEPS = tuple(np.linspace(0, 1, 101).tolist())
BLOCK = BlockConfig(hidden=8, action_dim=8, action_layers=1, frame_dim=8, frame_layers=1)
MODEL = model_config(blocks="iu", tokens=3, input=BLOCK)

CALLS: dict[str, list[tuple[Callable[[], object], str]]] = {
    "core": [
        (lambda: Segment("x", 3, "a"), "segment 'a'"),
        (lambda: Segment(0, 3, "a", 2.0), "the confidence of segment 'a'"),
        (lambda: Segment(0, 3, "a", "90%"), "the confidence of segment 'a'"),
        (lambda: Segmentation.from_frames(["a", "b"], confidence=[0.5, 7]), "confidence"),
        (lambda: Segmentation.load(None), "path"),
        (lambda: TIMED.seconds(3), "frame"),
        (lambda: TIMED.seconds("1"), "frame"),
        (lambda: Vocabulary("ab", (), ("s",), (("a",), ("b",))), "names"),
        (lambda: Vocabulary.from_mapping(3), "mapping"),
        (lambda: Vocabulary.from_names([]), "names"),
        (lambda: Vocabulary.from_names(["a", "a"]), "names"),
        (lambda: Vocabulary.from_names(["a", "b"], factors={"a": ("x",)}), "class 'b'"),
        (lambda: Vocabulary.from_names(["a", "b"], factors={"a": ("x",), "b": ("x", "y")}), "class 'a'"),
        (lambda: Vocabulary.from_names(["a"], factors={"a": ("x",)}, slots=("v", "n")), "class 'a'"),
        (lambda: Vocabulary.from_names(["a"], factors={"a": {"noun": "x"}}, slots=("v", "n")), "class 'a'"),
        (lambda: ABC.decode([3]), "indices"),
        (lambda: Segmentation.from_frames([]), "labels"),
        (lambda: Segmentation(TIMED.segments, -1.0), "fps"),
    ],
    "metrics": [
        (lambda: metrics.f1([[0]], [[0]], 0.5), "overlap"),
        (lambda: metrics.harmonic_mean("0.5", 0.5), "seen"),
        (lambda: metrics.harmonic_mean(5, NAN), "unseen"),
        (lambda: metrics.share_called_seen([[0, 1]], [[0, 2]], (-1,), (0,)), "unseen"),
        (lambda: metrics.SeenUnseenCurve([0], [1], [-4]), "unseen"),
        (lambda: metrics.frame_accuracy([np.ma.masked_greater([0, 1], 0)], [[0, 1]]), "ground truth of video 0"),
        (lambda: metrics.evaluate([[0]], [[0]], profile="ms-tcn"), "profile"),
        (lambda: metrics.evaluate([], []), "ground truth"),
        (lambda: metrics.evaluate([[0]], [[-1]]), "prediction of video 0"),
        (lambda: metrics.evaluate([[0]], [[0]], unseen=[1], background=[1]), "unseen"),
        (lambda: metrics.seen_unseen_auroc([[0, 1]], [[["x", "y"]] * 2], [1]), "scores of video 0"),
    ],
    "decoding": [
        (lambda: Confidence(1.0, 0.0, STEPS[::-1], 1), "quantiles"),
        (lambda: DecodeSettings(threshold=1.5), "threshold"),
        (lambda: DecodeSettings(gamma=NAN), "gamma"),
        (lambda: DecodeSettings(reject=True), "reject"),
        (lambda: DecodeSettings(anything=1), "anything"),
    ],
    "models and losses": [
        (lambda: FACT(MODEL, 0, Classes(3)), "input_dim"),
        (lambda: FACT(MODEL.model_copy(update={"head": "text"}), 5, Classes(3)), "head 'text'"),
        (lambda: Classes(2, (0, 1), (0, 2), 2, 2), "classes.noun"),
        (lambda: FACT(MODEL, 5, Classes(3))(torch.zeros(1, 4, 6)), "model"),
        (lambda: Criterion(LossConfig(), Classes(3), (3,)), "background"),
    ],
    "video": [
        (lambda: write_video("x.mp4", [BLACK], NAN), "fps"),
        (lambda: next(frames("x.mp4", fps="5")), "fps"),
        (lambda: Settings(batch=2.5), "batch"),
        (lambda: extract_batch(None, "ab", "."), "inputs"),
    ],
    "data sets": [
        (lambda: divide({"a": "a", "b": "b"}, "test", NAN), "--test"),
        (lambda: Holdout(("a",), train_videos="v"), "holdout.train_videos"),
        (lambda: rank(ABC, "cut ham"), "held_out"),
        (lambda: Holdout(()), "holdout.unseen"),
        (lambda: Holdout(("a",), mode="hide"), "holdout.mode"),
        (lambda: Holdout(("d",)).check(ABC), "holdout.unseen"),
        (lambda: Holdout(("b", "c")).check(ABC), "holdout"),
        (lambda: select(ABC, 1, candidates="ab"), "candidates"),
    ],
    "front doors": [
        (lambda: load("nowhere"), "nowhere"),
        (lambda: load("nowhere", trust_encoder="no"), "trust_encoder"),
        (lambda: training.train(3, "nowhere"), "config"),
        (lambda: training.train(Config.load("demo"), "nowhere", resume="yes"), "resume"),
        (lambda: training.evaluate("nowhere", trust_encoder="no"), "trust_encoder"),
        (lambda: fact_clip_compat.convert("a", "no.yaml", "c", "d"), "no.yaml"),
        (lambda: load("grid", actions=["a"], prompts="x"), "prompts"),
    ],
}


@pytest.mark.parametrize(
    ("call", "place"),
    [
        pytest.param(*row, id=f"{room}, {row[1]} {number}")
        for room, rows in CALLS.items()
        for number, row in enumerate(rows)
    ],
)
def test_a_wrong_argument_is_refused_at_its_name(call, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(place):
        call()
    assert list(tmp_path.iterdir()) == []


def test_bounds_themselves_are_in():
    assert metrics.harmonic_mean(0, 0) == 0
    assert metrics.harmonic_mean(100.0, 50) == pytest.approx(200 / 3)
    assert [each.confidence for each in Segmentation.from_frames(["a", "b"], confidence=[0, 1])] == [0, 1]
    assert (TIMED.seconds(np.int64(2)), ONE["x"].seconds(2)) == (0.3, 0.4)
