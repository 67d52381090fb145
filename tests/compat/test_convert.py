"""A published checkpoint becomes a run folder that predicts as it did; what does not fit is refused."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

import fact_clip
from fact_clip.core import InputError
from fact_clip.runs.run import Run
from fact_clip.runs.weights import load_strictly, read_weights
from fact_clip_compat import convert

from ..published import CASES, read_case
from ..refusals import refused


@dataclass
class Published:
    """What a person has of a published model: weights, YAML and mapping files; `run` is where it is to go."""

    weights: Path
    yaml: Path
    mapping: Path
    run: Path
    facts: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    @property
    def state(self) -> dict[str, torch.Tensor]:
        prefix = "state_dict."
        return {name.removeprefix(prefix): x for name, x in self.tensors.items() if name.startswith(prefix)}

    def convert(self, **options: Any) -> Path:
        return convert(self.weights, self.yaml, self.run, self.mapping, **options)

    def refuses(self, place: str | Path, **options: Any) -> None:
        """Bad input, and nothing written."""
        with refused(place):
            self.convert(**options)
        assert not self.run.exists()


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, last = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return tree


def numbered(names: list[str]) -> str:
    return "".join(f"{index} {name}\n" for index, name in enumerate(names))


def published(name: str, folder: Path) -> Published:
    facts, tensors = read_case(name)
    mapping, settings = folder / "mapping.txt", folder / "settings.yaml"
    names = [f"action {index}" for index in range(facts["n_classes"])]
    if "verb_of_class" in facts:
        pairs = zip(facts["verb_of_class"], facts["noun_of_class"], strict=True)
        names = [f"verb {verb},noun {noun}" for verb, noun in pairs]
        for kind in ("verb", "noun"):
            parts = [f"{kind} {index}" for index in range(facts[f"n_{kind}s"])]
            (folder / f"{kind}_mapping.txt").write_text(numbered(parts))
    mapping.write_text(numbered(names))
    settings.write_text(yaml.safe_dump(nested(facts["config"])))
    result = Published(folder / "weights.pth", settings, mapping, folder / "run", facts, tensors)
    torch.save(result.state, result.weights)
    return result


@pytest.fixture
def breakfast(tmp_path) -> Published:
    return published("breakfast_iuUU_mstcn2", tmp_path)


def edit(published: Published, change) -> None:
    state = published.state
    change(state)
    torch.save(state, published.weights)


# --- the same predictions ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", CASES)
def test_a_converted_model_predicts_as_recorded(name, suffix, tmp_path):
    given = published(name, tmp_path)
    if suffix == ".safetensors":
        given.weights = tmp_path / "weights.safetensors"
        save_file(given.state, given.weights)
    run = given.convert()
    assert run == given.run
    segmenter = fact_clip.load(run)
    order = None
    if "transcript" in given.tensors and given.facts["config"].get("FACT.trans"):
        order = segmenter.vocabulary.decode(given.tensors["transcript"].numpy())
    features = given.tensors["input.features"].numpy()
    labels, confidence = segmenter.scorer.predict(features, transcript=order)
    assert labels.tolist() == given.tensors["prediction"].tolist()
    assert 0 <= confidence.min() <= confidence.max() <= 1
    assert segmenter.segment(features, transcript=order).to_frames() == segmenter.vocabulary.decode(labels)


def test_the_run_folder_says_what_it_is(breakfast):
    run = Run.read(breakfast.convert(background=["action 0"]))
    assert run.vocabulary.names == tuple(f"action {index}" for index in range(10))
    assert run.vocabulary.background == ("action 0",)
    assert (run.layout, run.fps) == ("DT", 15.0)
    assert (run.transform.input_dim, run.transform.width) == (24, 24)
    assert run.config.model.tokens == 9
    assert run.config.data.background == ("action 0",)
    assert run.classes.count == 10
    _, facts = read_weights(run.path / "model.safetensors")
    digest = hashlib.sha256(breakfast.weights.read_bytes()).hexdigest()
    expected = {"converted_from": str(breakfast.weights), "sha256": digest, "classes": list(run.vocabulary.names)}
    assert facts == expected


def test_feature_files_are_read_as_published(breakfast, tmp_path):
    """Breakfast stores channels first; a layout that is given counts more."""
    features = breakfast.tensors["input.features"].numpy()
    np.save(tmp_path / "video.npy", features.T)
    expected = breakfast.tensors["prediction"].tolist()
    segmenter = fact_clip.load(breakfast.convert())
    found = segmenter.segment(tmp_path / "video.npy")
    assert segmenter.vocabulary.encode(found.to_frames()).tolist() == expected
    breakfast.run = tmp_path / "other"
    np.save(tmp_path / "video.npy", features)
    found = fact_clip.load(breakfast.convert(layout="TD")).segment(tmp_path / "video.npy")
    assert segmenter.vocabulary.encode(found.to_frames()).tolist() == expected


def test_verbs_and_nouns_come_from_their_files(tmp_path):
    given = published("epic_verb_noun_IUU", tmp_path)
    classes = Run.read(given.convert()).classes
    assert classes.verb == tuple(given.facts["verb_of_class"])
    assert classes.noun == tuple(given.facts["noun_of_class"])
    assert (classes.n_verbs, classes.n_nouns) == (5, 6)


# --- strictness -------------------------------------------------------------------------------------


def test_position_buffers_are_left_out(breakfast):
    edit(breakfast, lambda state: state.update({"frame_pe.pe": torch.zeros(1, 3000, 48), "pe": torch.zeros(2)}))
    labels, _ = fact_clip.load(breakfast.convert()).scorer.predict(breakfast.tensors["input.features"].numpy())
    assert labels.tolist() == breakfast.tensors["prediction"].tolist()


def test_a_yaml_of_another_model(breakfast):
    tree = yaml.safe_load(breakfast.yaml.read_text())
    for path, value, place in (
        (("FACT", "block"), "iuU", "weights.pth"),
        (("FACT", "ntoken"), 8, "weights.pth"),
        (("Bi", "f"), "m", "weights.pth"),
        (("Bi", "hid_dim"), 40, "weights.pth"),
        (("Bi", "a_nhead"), 5, "model"),
        (("Loss", "match"), "o3o", "settings.yaml"),
    ):
        group, key = path
        breakfast.yaml.write_text(yaml.safe_dump({**tree, group: {**tree[group], key: value}}))
        breakfast.refuses(place)


# --- what is no checkpoint --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_would_run_code_is_refused_and_not_run(breakfast, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    for write in (
        lambda: torch.save({**breakfast.state, "action_query": Bomb()}, breakfast.weights),
        lambda: torch.save(Bomb(), breakfast.weights, _use_new_zipfile_serialization=False),
        lambda: breakfast.weights.write_bytes(pickle.dumps(Bomb())),
    ):
        write()
        breakfast.refuses(breakfast.weights)
        assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(Bomb()))  # it would have
    assert (tmp_path / "executed").exists()


def test_a_compressed_archive_is_refused_before_it_is_unpacked(breakfast):
    torch.save(breakfast.state, breakfast.weights)
    stored = zipfile.ZipFile(io.BytesIO(breakfast.weights.read_bytes()))
    with zipfile.ZipFile(breakfast.weights, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, bytes(1 << 24) if name.endswith("/data/0") else stored.read(name))
    with pytest.raises(InputError, match="compressed"):
        breakfast.convert()
    breakfast.refuses(breakfast.weights)


def test_tensors_without_values_are_no_weights(breakfast):
    edit(breakfast, lambda state: state.update({"action_query": state["action_query"].to("meta")}))
    breakfast.refuses(breakfast.weights)
    model = torch.nn.Linear(2, 2)
    with refused("here"):
        load_strictly(model, model.to("meta").state_dict(), "here")


# --- what is around it ------------------------------------------------------------------------------


def test_unknown_data_sets_need_a_layout(breakfast):
    tree = yaml.safe_load(breakfast.yaml.read_text())
    breakfast.yaml.write_text(yaml.safe_dump({**tree, "dataset": "cooking"}))
    breakfast.refuses(breakfast.yaml)
    assert Run.read(breakfast.convert(layout="TD")).layout == "TD"


def test_the_background_is_that_of_the_data_set(breakfast):
    names = ["SIL", *(f"action {index}" for index in range(1, breakfast.facts["n_classes"]))]
    breakfast.mapping.write_text(numbered(names))
    assert Run.read(breakfast.convert()).vocabulary.background == ("SIL",)


def test_the_background_of_an_unknown_data_set_is_guessed_as_a_training_guesses_it(breakfast):
    tree = yaml.safe_load(breakfast.yaml.read_text())
    breakfast.yaml.write_text(yaml.safe_dump({**tree, "dataset": "cooking"}))
    names = ["background", *(f"action {index}" for index in range(1, breakfast.facts["n_classes"]))]
    breakfast.mapping.write_text(numbered(names))
    with pytest.warns(UserWarning, match="background by its name: background"):
        run = Run.read(breakfast.convert(layout="TD"))
    assert run.vocabulary.background == ("background",)


@pytest.mark.parametrize("name", ["transcript_mixed", "clip_no_holdout"])
@pytest.mark.parametrize("change", [-2, 2])
def test_a_mapping_with_other_classes_than_the_weights_have_rows(name, change, tmp_path):
    given = published(name, tmp_path)
    count = given.facts["n_classes"]
    given.mapping.write_text(numbered([f"action {index}" for index in range(count + change)]))
    given.refuses(None)


def test_a_folder_in_use_is_left_alone(breakfast):
    breakfast.run.mkdir()
    breakfast.convert()  # an empty one will do
    before = {path.name: path.read_bytes() for path in breakfast.run.iterdir()}
    with refused("run"):
        breakfast.convert()
    assert {path.name: path.read_bytes() for path in breakfast.run.iterdir()} == before


def test_keys_without_a_meaning_are_named_in_a_warning(breakfast):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        breakfast.convert()
    tree = yaml.safe_load(breakfast.yaml.read_text())
    breakfast.yaml.write_text(yaml.safe_dump({**tree, "aux": {"gpu": 1}, "momentum": 0.0}))
    breakfast.run = breakfast.run.with_name("other")
    with pytest.warns(UserWarning, match=r"without a meaning here: aux\.gpu, momentum$"):
        breakfast.convert()


def test_a_yaml_as_published(breakfast):
    """Null written the Python way, a split by its file name, a rate that never falls."""
    tree = yaml.safe_load(breakfast.yaml.read_text())
    tree["BU"] |= {"a_dim": "None", "dropout": "None"}
    breakfast.yaml.write_text(yaml.safe_dump({**tree, "split": "split4", "lr_decay": -1, "optimizer": "Adam"}))
    run = Run.read(breakfast.convert())
    assert (run.config.data.split, run.config.train.schedule) == (4, "constant")
    assert (run.config.model.pooled.action_dim, run.config.model.pooled.dropout) == (32, 0.2)
