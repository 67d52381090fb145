"""Which of our values each key of a reference configuration becomes (fact_clip_compat/README.md)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from fact_clip.config import Config, with_values
from fact_clip_compat.settings import flatten, read_config

from ..refusals import refused


def read(**keys: Any):
    """Our configuration of reference keys; a double underscore stands for the dot."""
    return read_config({key.replace("__", "."): value for key, value in keys.items()})[0]


def sizes(block) -> tuple[int, int, int, int]:
    return (block.hidden, block.frame_dim, block.action_dim, block.frame_layers)


INPUT = {"Bi__hid_dim": 48, "Bi__f_dim": 32, "Bi__a_dim": 24, "Bi__f_layers": 4}


def test_null_keys_count_as_absent():
    nulls = {"Bu__f_dim": None, "BU__f_dim": None, "BU__hid_dim": "None", "BU__f_layers": None, "Bi__a": None}
    model = read(**INPUT, Bu__a_dim=8, **nulls, FACT__block="iuU").model
    assert model.input.action == "sca"
    assert sizes(model.update) == (48, 32, 8, 5)
    assert sizes(model.pooled) == (48, 32, 8, 5)


def test_defaults():
    config = read()
    loss = config.loss
    assert (loss.match, loss.class_cost, loss.overlap_cost, loss.background_weight) == ("o2o", 1.0, 1.0, 1.0)
    assert config.model.transcript is False
    assert config.model.head == "closed"
    alignment = config.model.alignment
    assert (alignment.temperature, alignment.projection_dim, alignment.dropout) == (0.07, 512, 0.1)
    assert (loss.fact_weight, loss.contrastive_weight) == (0.5, 0.5)
    assert config.augment.time_spans == 0  # TM.use is off
    assert config.augment.channels == 0.0


def test_every_key_finds_its_place():
    text = """
        {Bi: {f_ngp: 2}, BU: {s_layers: 3}, FACT: {ntoken: 7, mwt: 0.25, fpos: true, trans: true, cmr: 0.4},
        Loss: {pc: 0.3, a2fc: 0.6, match: o2m, bgw: 0.5, nullw: 0.05, sw: 2.5},
        TM: {use: true, t: 60, p: 0.1, m: 3}, use_clip: true,
        CLIP: {temp: 0.1, projection_hidden_dim: 40, projection_dropout: 0.3},
        CLIP.fact_loss_weight: 0.7, CLIP.contrastive_weight: 0.3,
        lr: 0.02, epoch: 9, lr_decay: 4, clip_grad_norm: 5.0, batch_size: 3, weight_decay: 0.01, optimizer: SGD,
        sr: 4, eval_bg: false, split: split3}
    """
    config, _ = read_config(yaml.safe_load(text))
    model, loss, augment, settings = config.model, config.loss, config.augment, config.train
    assert (model.tokens, config.decode.frame_weight, model.frame_positions, model.transcript) == (7, 0.25, True, True)
    assert (model.input.frame_groups, model.pooled.segment_layers, model.head) == (2, 3, "fact-clip")
    assert (loss.class_cost, loss.overlap_cost, loss.match) == (0.3, 0.6, "o2m")
    assert (loss.background_weight, loss.null_weight, loss.smoothing) == (0.5, 0.05, 2.5)
    assert (augment.channels, augment.time_length, augment.time_share, augment.time_spans) == (0.4, 60, 0.1, 3)
    alignment = model.alignment
    assert (alignment.temperature, alignment.projection_dim, alignment.dropout) == (0.1, 40, 0.3)
    assert (loss.fact_weight, loss.contrastive_weight) == (0.7, 0.3)
    assert (settings.lr, settings.epochs, settings.lr_decay, settings.schedule) == (0.02, 9, 4, "step")
    assert (settings.clip_norm, settings.batch_size, settings.optimizer) == (5.0, 3, "sgd")
    assert settings.weight_decay == 0.01
    assert (config.data.stride, config.data.split) == (4, 3)
    assert config.evaluation.count_background is False


@pytest.mark.parametrize("decay", [None, -1, 0, "None"])
def test_a_rate_that_never_falls(decay):
    assert read(lr_decay=decay).train.schedule == "constant"


def test_unknown_keys_are_reported():
    keys = {"lr": 0.1, "aux": {"gpu": 0, "mark": ""}, "TM": {"use": False, "inplace": True}, "FACT.nToken": 3}
    assert read_config(keys)[1] == ("FACT.nToken", "TM.inplace", "aux.gpu", "aux.mark")
    assert read_config({"lr": 0.1, "dataset": "gtea", "use_clip": False, "holdout_mode": False})[1] == ()


def test_nested_yaml_equals_flat_keys():
    nested = yaml.safe_load("""
        Bi: {hid_dim: 48, f: m, a_dim: 24}
        BU: {f_layers: 3, a_dim: null, dropout: None}
        FACT: {block: iuU, ntoken: 12}
        TM: {use: true, t: 30}
        lr: 0.01
    """)
    flat = yaml.safe_load("""
        {Bi.hid_dim: 48, Bi.f: m, Bi.a_dim: 24, BU.f_layers: 3, BU.a_dim: null, BU.dropout: null,
        FACT.block: iuU, FACT.ntoken: 12, TM.use: true, TM.t: 30, lr: 0.01}
    """)
    assert flatten(nested) == flatten(flat) == flat
    assert read_config(nested) == read_config(flat)
    rest = {key: value for key, value in flat.items() if not key.startswith("Bi")}
    assert read_config({"Bi": {"hid_dim": 48, "f": "m"}, "Bi.a_dim": 24, **rest}) == read_config(flat)


# --- the table of recipes ---------------------------------------------------------------------------


def recipe(**keys: Any) -> dict[str, Any]:
    """What all recipes of the table share, and the keys of one."""
    shared = {"optimizer": "Adam", "lr": 1e-4, "weight_decay": 0.0, "clip_grad_norm": 10.0}
    loss = {"Loss.pc": 0.2, "Loss.a2fc": 1.0, "Loss.sw": 5.0, "Loss.match": "o2o", "Loss.bgw": 1.0, "Loss.nullw": -1.0}
    null = {f"{block}.{key}": None for block in ("Bu", "BU") for key in ("a_dim", "f_dim", "hid_dim", "dropout", "f")}
    named = {key.replace("__", "."): value for key, value in keys.items()}
    heads = {"Bi.a_nhead": 8, "Bi.a_ffdim": 512, "Bi.a_layers": 6, "Bi.f_layers": 10}
    return {**shared, **loss, **null, **heads, **named}


def body(blocks: str, branch: str, width: int, layers: tuple[int, int], **keys: Any) -> dict[str, Any]:
    """Blocks, branch, F = A, and the layers of u and U."""
    wide = {"Bi__hid_dim": 512, "Bi__f_dim": width, "Bi__a_dim": width, "Bi__f": branch, "FACT__block": blocks}
    return recipe(**wide, Bu__f_layers=layers[0], BU__f_layers=layers[1], **keys)


MASK = {"TM__use": True, "TM__t": 30, "TM__p": 0.05, "TM__m": 5}
WIDE_MASK = {"TM__use": True, "TM__t": 60, "TM__p": 0.1, "TM__m": 5}
OFF = {"TM__use": False, "TM__t": 30, "TM__p": 0.05, "TM__m": 5}

RECIPES: dict[str, dict[str, Any]] = {
    "Breakfast": body(
        "iuUU", "m2", 512, (10, 10), FACT__ntoken=60, FACT__mwt=0.1, Bi__dropout=0.0, FACT__cmr=0.3, **MASK
    )
    | {"batch_size": 4, "epoch": 150, "lr_decay": 80, "sr": 1, "eval_bg": True},
    "GTEA": body("iuU", "m", 128, (10, 10), FACT__ntoken=60, FACT__mwt=0.1, Bi__dropout=0.2, FACT__cmr=0.5, **WIDE_MASK)
    | {"batch_size": 1, "epoch": 400, "lr_decay": 250, "sr": 1, "eval_bg": False},
    "GTEA transcript": body(
        "iuU", "m", 128, (3, 5), FACT__ntoken=0, FACT__mwt=0.0, Bi__dropout=0.2, FACT__cmr=0.5, **WIDE_MASK
    )
    | {"batch_size": 1, "epoch": 2000, "lr_decay": -1, "sr": 1, "eval_bg": False}
    | {"Bi.a": "gru_om", "Bi.a_layers": 3, "FACT.trans": True, "Loss.match": "seq"},
    "EgoProceL": body(
        "iUUU", "m2", 256, (10, 10), FACT__ntoken=200, FACT__mwt=0.9, Bi__dropout=0.0, FACT__cmr=0.3, **OFF
    )
    | {"batch_size": 1, "epoch": 350, "lr_decay": 250, "sr": 3, "eval_bg": False, "Loss.bgw": 0.5},
    "Epic-Kitchens": body(
        "IUUU", "m2", 256, (10, 10), FACT__ntoken=300, FACT__mwt=0.1, Bi__dropout=0.0, FACT__cmr=0.3, **OFF
    )
    | {"batch_size": 1, "epoch": 200, "lr_decay": 600, "sr": 4, "eval_bg": False}
    | {"FACT.fpos": True, "Loss.bgw": 0.5, "Loss.nullw": 0.05, "Loss.match": "o2m"},
    "HA-ViD pt": body(
        "iuUU", "m", 256, (10, 10), FACT__ntoken=28, FACT__mwt=0.1, Bi__dropout=0.0, FACT__cmr=0.3, **MASK
    )
    | {"batch_size": 2, "epoch": 150, "lr_decay": 80, "sr": 1, "eval_bg": True},
    "HA-ViD hold-out": body(
        "iuUU", "m", 256, (10, 10), FACT__ntoken=75, FACT__mwt=0.1, Bi__dropout=0.2, FACT__cmr=0.3, **MASK
    )
    | {"batch_size": 2, "epoch": 250, "lr_decay": 80, "sr": 1, "eval_bg": True},
}

PUBLISHED_HOLDOUT = (
    "sshc1dh", "sshc2dh", "sshc3dh", "sshc4dh", "sftg1", "sftg1ws", "sftg2", "sntn5wn", "iglft", "isbn3",
)  # fmt: skip

# Published settings -> reference data set, our recipe.
SAME = {
    "Breakfast": ("breakfast", "breakfast"),
    "GTEA": ("gtea", "gtea"),
    "GTEA transcript": ("gtea", "gtea_transcript"),
    "EgoProceL": ("egoprocel", "egoprocel"),
    "Epic-Kitchens": ("epic-kitchens", "epic-kitchens"),
    "HA-ViD pt": ("havid_view1_rh_pt", "havid_view1_rh_pt"),
    "HA-ViD hold-out": ("havid_view0_lh_pt", "havid_view0_lh_pt_holdout"),
}


@pytest.mark.parametrize("row", SAME)
def test_a_reference_yaml_and_the_recipe_of_that_name_are_the_same(row):
    dataset, name = SAME[row]
    keys = RECIPES[row] | {"dataset": dataset, "split": "split1", "aux.gpu": 0}
    if name.endswith("holdout"):
        keys |= {"holdout_mode": True, "holdout_classes": list(PUBLISHED_HOLDOUT)}
    config, unknown = read_config(keys)
    assert unknown == ("aux.gpu",)
    expected = Config.load(name)
    if name.endswith("holdout"):  # the recipe names a file with these classes
        expected = with_values(expected, {"data.holdout": PUBLISHED_HOLDOUT})
    assert config == expected


def test_the_data_set_is_known_by_its_name():
    names = {"gtea": "gtea", "epic-kitchens": "epic", "ego": "egoprocel", "havid_view2_lh_aa": "havid_view2_lh_aa"}
    for theirs, ours in {**names, "cooking": "folder", "": "folder"}.items():
        assert read_config({"dataset": theirs})[0].data.name == ours
    for near in ("e", "havid", "breakfast_actions"):
        with refused("dataset"):
            read_config({"dataset": near})
    assert read_config({"dataset": "epic"})[0].model.head == "verb-noun"


def test_classes_in_groups_and_splits_of_many_digits():
    with refused("reference configuration"):
        read(holdout_mode=True, holdout_classes=[[1, 2], [3]])
    assert read(split="9" * 5000).data.split == "9" * 5000  # a name, which no folder has
