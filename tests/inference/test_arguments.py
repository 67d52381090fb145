"""Consent, flags and settings of segmenters: what is no answer is refused before anything is read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip import compat, load, training
from fact_clip.config import Config, checked_config
from fact_clip.core import Vocabulary
from fact_clip.datasets.holdout import Holdout, rank, select
from fact_clip.datasets.splits import Split, divide, write_splits
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.encoders import text_encoder
from fact_clip.encoders.cache import encode_cached
from fact_clip.inference.sources import check_features
from fact_clip.inference.training_free import SimilaritySettings

from ..refusals import refused

CONFIG = Config.load("demo")
WORDS = Vocabulary.from_names(["rest", "cut ham", "cut egg"], ["rest"])
GROUPS = {"a": "a", "b": "b"}
ENDLESS: dict = {}
ENDLESS["a"] = ENDLESS


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: load("nowhere", trust_encoder="no"), "trust_encoder"),
        (lambda: load("nowhere", keep_going="no"), "keep_going"),
        (lambda: training.evaluate("nowhere", trust_encoder="no"), "trust_encoder"),
        (lambda: training.evaluate("nowhere", "test", (), None, None, "cpu", 1), "trust_encoder"),
        (lambda: training.train(CONFIG, "nowhere", resume="yes"), "resume"),
        (lambda: training.train(3, "nowhere"), "config"),
        (
            lambda: checked_config(
                CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"epochs": "x"})})
            ),
            "config",
        ),
        (lambda: compat.read_config(ENDLESS), "a"),
        (lambda: compat.convert(3, "b", "c", "d"), "checkpoint"),
        (lambda: compat.convert("a", "no.yaml", "c", "d"), "no.yaml"),
        (
            lambda: check_features(np.ma.masked_greater(np.arange(6.0).reshape(3, 2), 1), "features", 2, "the run"),
            "features",
        ),
        (lambda: divide(GROUPS, "fold", 2), "way"),
        (lambda: divide(GROUPS, "test", math.nan), "--test"),
        (lambda: divide(GROUPS, "folds", 1), "--folds"),
        (lambda: Holdout("cut ham"), "holdout.unseen"),
        (lambda: Holdout(("a",), train_videos="v"), "holdout.train_videos"),
        (lambda: rank(WORDS, "cut ham"), "held_out"),
        (lambda: select(WORDS, 1, candidates="cut ham"), "candidates"),
        (lambda: write_workbench("nowhere", videos=2.5), "workbench, videos"),
        (lambda: write_workbench("nowhere", fps=math.nan), "workbench, fps"),
        (lambda: encode_cached(text_encoder("hash:16"), "cut ham"), "texts"),
        (lambda: SimilaritySettings(templates="x"), "--prompts"),
        (lambda: SimilaritySettings(smoothing=math.inf), "smoothing"),
    ],
)
def test_what_is_refused_before_the_work(call, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused(place):
        call()
    assert list(tmp_path.iterdir()) == []


def test_a_good_configuration_stays_what_it_is():
    assert checked_config(CONFIG) == CONFIG


def test_splits_name_no_other_folder(tmp_path):
    with refused("splits"):
        write_splits(tmp_path, [Split(("../x",), ("a",), ("a",))])
    assert list(tmp_path.iterdir()) == []
