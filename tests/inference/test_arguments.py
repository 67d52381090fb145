"""Consent, flags and settings of segmenters: what is no answer is refused before anything is read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip import compat, load, training
from fact_clip.config import Config, checked_config
from fact_clip.core import InputError, Vocabulary
from fact_clip.datasets.holdout import Holdout, rank, select
from fact_clip.datasets.splits import Split, divide, write_splits
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.encoders import text_encoder
from fact_clip.encoders.cache import encode_cached
from fact_clip.inference.prepared import Adjust
from fact_clip.inference.sources import SegmentsMany, check_features
from fact_clip.inference.training_free import TrainingFreeSettings

CONFIG = Config.load("demo")
WORDS = Vocabulary.from_names(["rest", "cut ham", "cut egg"], ["rest"])
GROUPS = {"a": "a", "b": "b"}
ENDLESS: dict = {}
ENDLESS["a"] = ENDLESS


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: load("nowhere", trust_encoder="no"), "trust_encoder: 'no'; expected true or false"),
        (lambda: load("nowhere", keep_going="no"), "keep_going: 'no'; expected true or false"),
        (lambda: training.evaluate("nowhere", trust_encoder="no"), "trust_encoder: 'no'; expected true or false"),
        (lambda: training.evaluate("nowhere", "test", (), None, None, "cpu", 1), "trust_encoder: 1; expected true"),
        (lambda: training.train(CONFIG, "nowhere", resume="yes"), "resume: 'yes'; expected true or false"),
        (
            lambda: training.train(CONFIG.model_copy(update={"train": 3}), "nowhere"),
            "config: train = 3; expected settings, a TrainConfig; change single settings: Config.load(recipe, ['train.",
        ),
        (lambda: training.train(3, "nowhere"), "config: a int; expected a Config, as Config.load gives it"),
        (
            lambda: training.sweep(CONFIG.model_copy(update={"data": {}}), "nowhere", {"train.seed": [0]}),
            "config: data = {}; expected settings, a DataConfig",
        ),
        (
            lambda: checked_config(
                CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"epochs": "x"})})
            ),
            "config: train.epochs = 'x'; expected a whole number",
        ),
        (lambda: compat.read_config(ENDLESS), "a: keys within keys, over 20 deep; expected a reference configuration"),
        (lambda: compat.convert(3, "b", "c", "d"), "checkpoint: 3; expected a path"),
        (lambda: compat.convert("a", "no.yaml", "c", "d"), "no.yaml: no such file; expected the YAML"),
        (
            lambda: check_features(np.ma.masked_greater(np.arange(6.0).reshape(3, 2), 1), "features", 2, "the run"),
            "features: an array with masked entries; expected an array of numbers, (T, 2)",
        ),
        (lambda: divide(GROUPS, "fold", 2), "way: 'fold'; expected one of leave-out, folds, test"),
        (lambda: divide(GROUPS, "test", math.nan), "--test: nan; expected a number"),
        (lambda: divide(GROUPS, "folds", 1), "--folds: 1; expected a whole number, 2 to"),
        (lambda: Holdout("cut ham"), "holdout.unseen: one text, 'cut ham'; expected a list of names"),
        (lambda: Holdout(("a",), train_videos="v"), "holdout.train_videos: one text, 'v'; expected a list of names"),
        (lambda: rank(WORDS, "cut ham"), "held_out: one text, 'cut ham'; expected a list of names"),
        (lambda: select(WORDS, 1, candidates="cut ham"), "candidates: one text, 'cut ham'; expected a list of names"),
        (lambda: select(WORDS, 1.5), "n_unseen: 1.5; expected a whole number"),
        (lambda: write_workbench("nowhere", videos=2.5), "workbench, videos: 2.5; expected a whole number, 2 to"),
        (lambda: write_workbench("nowhere", fps=math.nan), "workbench, fps: nan; expected frames per second"),
        (lambda: encode_cached(text_encoder("hash:16"), "cut ham"), "texts: one text, 'cut ham'; expected a list of"),
        (lambda: TrainingFreeSettings(threshold="x"), "threshold: 'x'; expected a probability, 0 to 1"),
        (lambda: TrainingFreeSettings(temperature=0), "temperature: 0; expected more than 0"),
        (lambda: TrainingFreeSettings(shortest=math.inf), "shortest: inf; expected seconds, 0 or more"),
        (lambda: Adjust(threshold=2), "threshold: 2; expected a probability, 0 to 1"),
    ],
)
def test_what_is_refused_before_the_work(call, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(told)
    assert list(tmp_path.iterdir()) == []


def test_a_good_configuration_stays_what_it_is():
    assert checked_config(CONFIG) == CONFIG


def test_adjust_is_an_adjust():
    class Nothing(SegmentsMany):
        prepare = encoder_for = _open = _segment = None

    segmenter = Nothing()
    segmenter.adjust = "x"
    with pytest.raises(InputError, match=r"^adjust: 'x'; expected an Adjust$"):
        segmenter.segment(np.zeros((3, 2)))


def test_splits_name_no_other_folder(tmp_path):
    with pytest.raises(InputError, match=r"splits: the video '\.\./x'; expected names of files in features"):
        write_splits(tmp_path, [Split(("../x",), ("a",), ("a",))])
    with pytest.raises(InputError, match=r"^overwrite: 'no'; expected true or false$"):
        write_splits(tmp_path, [Split(("x",), ("a",), ("a",))], overwrite="no")
    assert list(tmp_path.iterdir()) == []
