"""Settings that have no effect beside others are told."""

from __future__ import annotations

import warnings

import pytest

from fact_clip.config import Config, warn_of_unused
from fact_clip.config.needs import NEEDS

FREE = {
    "model.head": "fact-clip",
    "data.stride": "2",
    "data.holdout": "[stir]",
    "decode.prior_weight": "1",
}


def told(*overrides: str) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_of_unused([Config.load("folder", overrides)], overrides)
    return [str(one.message) for one in seen]


@pytest.mark.parametrize(
    ("overrides", "needs"),
    [
        (("text.encoder=hash:64",), "a head that reads text, such as model.head=text"),
        (("model.alignment.dropout=.2", "model.head=text"), "model.head=fact-clip"),
        (("decode.gamma_cost=.1",), "data.holdout"),
        (("train.lr_decay=10", "train.schedule=cosine"), "train.schedule=step"),
        (("train.validate_every=3", "data.validation=0"), "data.validation"),
        (("model.pooled.hidden=8", "model.blocks=iu"), "a block U in model.blocks"),
    ],
)
def test_a_setting_beside_what_makes_it_idle(overrides, needs):
    assert told(*overrides) == [f"{overrides[0]} has no effect without {needs}"]


def test_settings_with_what_they_need():
    free = [f"{key}={value}" for key, value in FREE.items()]
    assert told(*free, "text.encoder=hash:64", "decode.gamma_cost=.1") == []
    assert told("model.tokens=10", "train.epochs=3", "loss.balance=.5", "data.fps=") == []


def test_every_entry_names_a_key():
    known = Config().model_dump()
    for setting in [setting for need in NEEDS for setting in need.settings]:
        tree = known
        for part in setting.split("."):
            assert part in tree, setting
            tree = tree[part]
