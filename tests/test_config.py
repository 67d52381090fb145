"""The configuration: recipes, overrides, inheritance between blocks, and every mistake in one line."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fact_clip.config import RECIPES, Config, ModelConfig, recipes, with_values

from .laws.test_settings import leaves
from .refusals import refused
from .small import model_config

# --- recipes and files ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_reads_and_comes_back(name, tmp_path):
    config = Config.load(name)
    path = tmp_path / "resolved.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert Config.load(path) == config


def test_kscgr_is_as_its_file_says():
    config = Config.load("kscgr")
    assert config.data.name == "kscgr"
    assert config.data.standardize is True
    assert config.evaluation.count_background is False


def test_an_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert Config.load(tmp_path / "empty.yaml") == Config()


def test_base_gives_what_a_recipe_does_not(tmp_path):
    """Groups are joined key by key; lists are values and are replaced."""
    grand, parent, child = (tmp_path / f"{name}.yaml" for name in ("grand", "parent", "child"))
    grand.write_text(
        "data: {context: [5, 25], stride: 2}\nmodel: {input: {hidden: 64, heads: 2}}\ntrain: {epochs: 7}\n"
    )
    parent.write_text(f"base: {grand}\nmodel: {{input: {{hidden: 96}}}}\ntrain: {{lr: 0.5}}\n")
    child.write_text(f"base: {parent}\ndata: {{context: [9]}}\ntrain: {{lr: 0.25}}\n")
    config = Config.load(child)
    assert config.data.context == (9,)
    assert config.data.stride == 2
    assert (config.model.input.hidden, config.model.input.heads) == (96, 2)
    assert (config.train.epochs, config.train.lr) == (7, 0.25)
    named = tmp_path / "named.yaml"
    named.write_text("base: kscgr\ntrain: {epochs: 3}\n")
    expected = Config.load("kscgr", ["train.epochs=3"])
    assert Config.load(named) == expected
    named.write_text("base: kscg\n")
    with refused("named.yaml"):
        Config.load(named)


@pytest.mark.parametrize("group", ["model:\n  update:\n", "model:\n"])
def test_a_group_without_values_keeps_the_base(group, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"base: breakfast\n{group}")
    assert Config.load(path) == Config.load("breakfast")


def test_a_base_lies_beside_the_file_that_names_it(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "base.yaml").write_text("train: {epochs: 7}\n")
    (tmp_path / "more" / "child.yaml").write_text("base: ../base.yaml\n")
    assert Config.load(tmp_path / "more" / "child.yaml").train.epochs == 7
    (tmp_path / "base.yaml").write_text(f"base: ../{tmp_path.name}/base.yaml\n")
    with refused("base.yaml"):
        Config.load(tmp_path / "base.yaml")


def test_data_is_named_from_the_recipe(tmp_path, monkeypatch):
    """Beside the recipe, if it is there; else from the current folder, as an override always is."""
    for folder in ("kitchen/data", "here/data", "here/only"):
        (tmp_path / folder).mkdir(parents=True)
    recipe = tmp_path / "kitchen/recipe.yaml"
    monkeypatch.chdir(tmp_path / "here")

    def root(text: str, *overrides: str) -> str | None:
        recipe.write_text(f"data: {{root: {text}}}\n")
        return Config.load("../kitchen/recipe.yaml", overrides).data.root

    (tmp_path / "kitchen/data/mapping.txt").write_text("0 idle\n")
    assert root("data") == str(tmp_path / "kitchen/data")
    assert root("data", "data.root=data") == "data"
    assert root("only") == "only"
    assert root("nowhere") == "nowhere"
    assert root(str(tmp_path)) == str(tmp_path)
    assert root("~/data") == str(Path.home() / "data")
    assert root("../kitchen") == "../kitchen"  # both name a folder, and the one beside the recipe is no data set
    # the base of a recipe names its data from its own folder
    (tmp_path / "here/child.yaml").write_text("base: ../kitchen/recipe.yaml\n")
    recipe.write_text("data: {root: data}\n")
    assert Config.load("child.yaml").data.root == str(tmp_path / "kitchen/data")
    # a folder in which there is no such folder
    (tmp_path / "kitchen/more").mkdir()
    assert root("more") == str(tmp_path / "kitchen/more")
    # a configuration that a run keeps, made with data.root=. in the current folder
    assert root(".") == "."
    # a file of held-out classes, beside the recipe, but not one of that name in the data
    (tmp_path / "kitchen/mine.json").write_text("{}")
    recipe.write_text("data: {root: data, holdout: mine.json}\n")
    assert Config.load(recipe).data.holdout == str(tmp_path / "kitchen/mine.json")
    assert Config.load(recipe, ["data.holdout=mine.json"]).data.holdout == "mine.json"
    (tmp_path / "here/mine.json").write_text("{}")  # the one beside the recipe comes first
    assert Config.load(recipe).data.holdout == str(tmp_path / "kitchen/mine.json")
    monkeypatch.chdir(tmp_path / "kitchen")
    assert Config.load("recipe.yaml").data.holdout == "mine.json"
    (tmp_path / "kitchen/data/mine.json").write_text("{}")
    assert Config.load(recipe).data.holdout == "mine.json"


def test_havid_names_are_plain_files():
    """One for each data set, where the published README says it is; they differ in the name of the data alone."""
    names = [f"havid_view{view}_{hand}_{kind}" for view in (0, 1, 2) for hand in ("lh", "rh") for kind in ("pt", "aa")]
    for name in names:
        assert (RECIPES / f"{name}.yaml").read_text() == f"base: havid\ndata: {{name: {name}}}\n"
        assert Config.load(name) == Config.load("havid", [f"data.name={name}"])
        assert Config.load(RECIPES / f"{name}.yaml") == Config.load(name)  # as published command lines write it
        if name.endswith("pt"):
            held_out = Config.load(f"{name}_holdout")
            assert (held_out.data.name, held_out.data.holdout) == (name, "havid_published")
            assert held_out == Config.load("havid_holdout", [f"data.name={name}"])
    assert Config.load("havid") == Config.load("havid_view0_lh_pt")


# --- overrides --------------------------------------------------------------------------------------


def test_overrides_are_yaml_values():
    overrides = ["train.epochs=20", "train.lr=1e-3", "data.context=[5, 9]", "data.standardize=true", "data.split=all"]
    config = Config.load("folder", [*overrides, "data.root=/a=b", "data.fps=", "train.epochs=21"])
    assert (config.train.epochs, config.train.lr) == (21, 1e-3)
    assert config.data.context == (5, 9)
    assert config.data.standardize is True
    assert (config.data.split, config.data.root, config.data.fps) == ("all", "/a=b", None)


def test_a_stride_converts_the_switching_penalty(tmp_path, caplog):
    """A row of four frames has less evidence than four rows: 12 / 4^0.8 = 3.96."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("base: own\ndecode: {switch_penalty: 12}\n")
    caplog.set_level("INFO")

    def penalty(*overrides):
        return Config.load(recipe, overrides).decode.switch_penalty

    assert penalty("data.stride=4") == 4.0
    assert "decode.switch_penalty is 4 instead of 12, since a row has 4 frames instead of 1" in caplog.text
    caplog.clear()
    assert penalty("data.stride=4", "decode.switch_penalty=7") == 7
    assert penalty("data.stride=4", "data.interleave=true") == 12  # scores have a row per frame
    assert penalty("data.stride=1") == penalty() == 12
    recipe.write_text("base: own\ndata: {stride: 2}\ndecode: {switch_penalty: 12}\n")
    assert penalty() == 12
    assert not caplog.text
    assert penalty("data.stride=1") == 20.9  # 12 * 2^0.8


def test_an_override_changes_its_key_alone():
    before, after = Config.load("kscgr"), Config.load("kscgr", ["loss.smoothing=0.125"])
    assert after.loss.smoothing == 0.125
    assert after.model_copy(update={"loss": before.loss}) == before


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("train.epoch=3", "train.epoch"),
        ("epoch=3", "epoch"),
        ("train.epochs=2.5", "train.epochs"),
        ("train.optimizer=adamm", "train.optimizer"),
        ("model.blocks=ui", "model.blocks"),
        ("data.validation=1", "data.validation"),
    ],
)
def test_overrides_that_are_wrong(override, place):
    with refused(place):
        Config.load("kscgr", [override])


@pytest.mark.parametrize(
    ("groups", "place", "problem"),
    [
        ({"train": {"lr": "x"}}, "train.lr", "'x' is not a valid number"),
        ({"train": {"lrr": 1}}, "train.lrr", "unknown key"),
        ({"self": 1}, "self", "unknown key"),
        ({"data": 3}, "data", "3 is not a valid dictionary"),
    ],
)
def test_values_that_are_wrong_in_python(groups, place, problem):
    with refused(place) as refusal:
        Config(**groups)
    assert problem in refusal.message


# --- keys -------------------------------------------------------------------------------------------


def test_every_key_is_described():
    assert [key for key, field in leaves() if not field.description] == []


def test_the_page_of_keys_is_current():
    generate = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "generate.py"))
    page = generate["page"]()
    assert generate["PAGE"].read_text(encoding="utf-8") == page, "run: python docs/generate.py"
    rows = dict(line.strip("| ").split(" | ", 1) for line in page.splitlines() if line.startswith("| `"))
    assert rows["`train.lr`"] == "float, more than 0, at most 1,000 | `0.0001` | learning rate"
    first = page.partition("## Ten keys to change first")[2].partition("\n## ")[0]
    assert page.index("## Ten keys") < page.index("## Recipes")
    assert len(re.findall(r"^\| `\w+(?:\.\w+)+` \|", first, re.MULTILINE)) == 10
    assert rows["`frame_layers`"] == "int, at least 1, at most 16 | `10` | `5` | layers of the frame branch"
    assert {key for key, _ in leaves() if "." in key and key.split(".")[1] not in ("input", "update", "pooled")} <= {
        key.strip("`") for key in rows
    }


# --- a value ----------------------------------------------------------------------------------------


def test_a_configuration_never_changes():
    config = Config()
    with pytest.raises(ValidationError):
        config.train = config.train
    with pytest.raises(ValidationError):
        config.train.epochs = 3


@given(
    epochs=st.integers(1, 10**6),
    lr=st.floats(1e-12, 1e3),
    context=st.lists(st.integers(1, 500), max_size=4, unique=True),
    blocks=st.from_regex(r"[iI][uU]{0,5}", fullmatch=True),
    hidden=st.integers(1, 2048),
    background=st.none()
    | st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.isprintable), max_size=3),
    split=st.integers(1, 9) | st.sampled_from(["all", "01", "1", "yes", "null", "1e3"]),
)
def test_every_configuration_comes_back_from_its_yaml(epochs, lr, context, blocks, hidden, background, split):
    config = Config.from_tree(
        {
            "data": {"context": context, "background": background, "split": split},
            "model": {"blocks": blocks, "input": {"hidden": hidden}},
            "train": {"epochs": epochs, "lr": lr},
        },
        "test",
    )
    assert Config.from_tree(yaml.safe_load(config.to_yaml()), "test") == config


# --- what blocks take from each other (fact_clip_compat/README.md, 'Reference configuration') ---------------------

OWN = {"hidden": 96, "frame": "m", "frame_dim": 32, "action_dim": 24, "heads": 3, "feedforward": 40, "dropout": 0.25}


def test_later_blocks_take_the_sizes_of_the_one_before():
    model = model_config(blocks="iuU", input={**OWN, "action": "gru_om", "action_layers": 4, "frame_layers": 9})
    for block in (model.update, model.pooled):
        assert {key: getattr(block, key) for key in OWN} == OWN
        # but these have a default of their own
        assert (block.action, block.action_layers, block.frame_layers, block.segment_layers) == ("sa", 1, 5, 1)


def test_the_chain_is_input_update_pooled():
    model = model_config(blocks="iuU", input=OWN, update={"frame_dim": 16, "frame_layers": 3, "heads": None})
    assert (model.update.frame_dim, model.update.frame_layers, model.update.heads) == (16, 3, 3)
    assert (model.pooled.frame_dim, model.pooled.frame_layers) == (16, 5)
    model = model_config(blocks="iuU", input=OWN, update={"frame_dim": 16}, pooled={"frame_dim": 8, "hidden": 48})
    assert (model.pooled.frame_dim, model.pooled.hidden, model.pooled.heads) == (8, 48, 3)


def test_a_block_that_does_not_occur_gives_nothing():
    model = model_config(blocks="iU", input=OWN, update={"frame_dim": 16, "heads": 1})
    assert (model.pooled.frame_dim, model.pooled.heads) == (32, 3)


def test_a_resolved_model_stays_as_it_is():
    """Inheriting twice is inheriting once, also where a later block happens to hold a default."""
    model = model_config(blocks="iU", input=OWN, pooled={"frame_dim": 512, "dropout": 0.0})
    assert ModelConfig.model_validate(model.model_dump()) == model
    assert (model.pooled.frame_dim, model.pooled.dropout) == (512, 0.0)


def test_a_size_reaches_the_blocks_after_it():
    """As in a recipe; a block with a size of its own keeps it."""
    blocks = "model.blocks=iuUU"
    own = Config.load("own", [blocks])
    for block, count in (("input", 3), ("update", 2), ("pooled", 1)):
        key = f"model.{block}.hidden"
        swept = with_values(own, {key: 48}).model
        assert swept == Config.load("own", [blocks, f"{key}=48"]).model
        assert [swept.input.hidden, swept.update.hidden, swept.pooled.hidden].count(48) == count
    swept = with_values(own, {"model": {"input": {"hidden": 48}, "update": {"hidden": 32}}}).model
    assert (swept.update.hidden, swept.pooled.hidden) == (32, 32)
    longer = {"model.blocks": "iuU", "model.input.hidden": 48}
    assert with_values(own, longer) == Config.load("own", [f"{key}={value}" for key, value in longer.items()])
    different = with_values(own, {"model.pooled.hidden": 16})
    assert with_values(different, {"model.input.hidden": 48}).model.pooled.hidden == 16
    layers = with_values(own, {"model.input.frame_layers": 3}).model
    assert layers == Config.load("own", [blocks, "model.input.frame_layers=3"]).model
    for value in (5, {"input": 5}, {"update": 5}):
        with refused("model"):
            with_values(own, {"model": value}, "model")


def test_a_setting_means_the_same_in_a_recipe_in_a_configuration_and_in_a_sweep(tmp_path):
    """Also where a block states the value that it would inherit."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("base: own\nmodel: {blocks: iuU, update: {frame_dim: 64, dropout: 0.3}, pooled: {hidden: 48}}\n")
    whole = tmp_path / "whole.yaml"
    whole.write_text(Config.load(recipe).to_yaml())
    values = {"model.input.frame_dim": 32, "model.input.dropout": 0.5, "model.input.hidden": 16}
    overrides = [f"{key}={value}" for key, value in values.items()]
    config = Config.load(recipe, overrides)
    assert (config.model.update.frame_dim, config.model.pooled.dropout) == (32, 0.5)
    assert (config.model.update.hidden, config.model.pooled.hidden) == (16, 48)
    assert Config.load(recipe).overridden(overrides) == config
    assert Config.load(whole, overrides) == config
    assert with_values(Config.load(recipe), values) == config


def test_a_recipe_with_a_head_of_ones_own_loads_no_torch():
    """What a head reads is asked of `models.heads`, by rooms above the configuration."""
    code = (
        "import sys\nfrom fact_clip.config import Config, warn_of_unused\n"
        "config = Config.load('demo', ['model.head=mine'])\nwarn_of_unused([config], ['text.phrase=name'])\n"
        "print(config.model.head, 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout == "mine False\n", answer.stderr
