"""Training with classes held out, end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import fact_clip
from fact_clip.config import Config, merged
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.object_detection import detect
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, train

from ..refusals import refused
from ..small import ZERO_SHOT
from ..training.runs import assert_same, assert_same_runs, weights


def joined(**groups):
    return merged(ZERO_SHOT, groups)


@pytest.mark.parametrize("head", ["text", "closed"])
def test_frames_of_unseen_classes_have_no_say(head, tiny, workbench, tmp_path):
    """Their labels swapped among themselves: the same weights after an epoch, the same calibration."""
    copy = Path(shutil.copytree(workbench, tmp_path / "data"))
    setting = json.loads((copy / "zero_shot/A.json").read_text())
    unseen = setting["unseen"]
    swap, changed = dict(zip(unseen, [*unseen[1:], unseen[0]], strict=True)), 0
    for name in setting["train_videos"]:
        path = copy / "groundTruth" / f"{name}.txt"
        lines = path.read_text().splitlines()
        changed += sum(line in swap for line in lines)
        path.write_text("\n".join(swap.get(line, line) for line in lines) + "\n")
    assert changed > 100
    for name, root in (("one", workbench), ("other", copy)):
        train(tiny(**joined(data={"root": str(root)}, model={"head": head})), tmp_path / name)
    assert_same_runs(tmp_path / "one", tmp_path / "other")
    if head == "text":
        one, other = ((tmp_path / name / "calibration.json").read_text() for name in ("one", "other"))
        assert one == other
    else:
        assert not (tmp_path / "one/calibration.json").exists()


def test_frames_of_seen_classes_do_have_one(tiny, workbench, tmp_path):
    """The same exchange among seen classes: the test above is not blind."""
    copy = Path(shutil.copytree(workbench, tmp_path / "data"))
    swap = {"grasp gear": "grasp shaft", "grasp shaft": "grasp gear"}
    for path in (copy / "groundTruth").iterdir():
        path.write_text("\n".join(swap.get(line, line) for line in path.read_text().splitlines()) + "\n")
    for name, root in (("one", workbench), ("other", copy)):
        train(tiny(**joined(data={"root": str(root)})), tmp_path / name)
    one, other = weights(tmp_path / "one", "last"), weights(tmp_path / "other", "last")
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_a_closed_set_model_never_names_what_it_was_not_shown(tiny, tmp_path):
    train(tiny(**joined(model={"head": "closed"}, train={"epochs": 6, "lr": 4e-3, "batch_size": 1})), tmp_path / "run")
    result = evaluate(tmp_path / "run").details
    used = result["zero_shot"]["ways"]["in use"]
    assert result["zero_shot"]["gamma"] == 0.0
    assert used["U"] <= 1.0
    assert used["S"] > 5.0
    assert used["H"] <= 2.0


def test_the_kscgr_recipe_with_objects_swapped(kscgr, tmp_path):
    """Object columns from the data's own files; swapping objects with their words changes the training."""
    small = {"hidden": 32, "frame_dim": 8, "frame_layers": 2, "action_dim": 8, "feedforward": 8}
    sizes = [f"model.{block}.{key}={value}" for block in ("input", "update", "pooled") for key, value in small.items()]
    rest = [f"data.root={kscgr}", "text.encoder=hash:32", "train.epochs=1", "train.members=1"]
    rest += ["data.stride=64", "data.validation=0", "decode.prior_weight=0"]
    runs = {}
    for name, swap in (("never", 0.0), ("always", 1.0), ("again", 1.0)):
        config = Config.load("kscgr_zero_shot", [*rest, *sizes, f"augment.swap={swap}"])
        train(config, tmp_path / name)
        runs[name] = weights(tmp_path / name)
    assert_same(runs["always"], runs["again"])
    # The columns reach the first layer in another order, so its gradient is another one.
    assert not torch.equal(runs["never"]["objects.own.weight"], runs["always"]["objects.own.weight"])


def test_objects_that_all_keep_their_identity_are_refused_before_the_training(kscgr, tmp_path):
    names = json.dumps([line.strip().replace("_", " ") for line in (kscgr / "objects.txt").read_text().splitlines()])
    config = Config.load("kscgr", [f"data.root={kscgr}", "data.split=5", f"data.objects.fixed={names}"])
    with refused("data.objects"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_the_kscgr_recipe_that_finds_its_objects(kscgr, tmp_path, caplog):
    """Members find objects by what each may see; what they found is kept with the run and names new actions."""
    small = {"hidden": 32, "frame_dim": 8, "frame_layers": 2, "action_dim": 8, "feedforward": 8}
    sizes = [f"model.{block}.{key}={value}" for block in ("input", "update") for key, value in small.items()]
    rest = [f"data.root={kscgr}", "text.encoder=hash:32", "train.epochs=1", "data.stride=64", *sizes]
    config = Config.load("kscgr_zero_shot_plain", rest)
    train(config, tmp_path / "run")
    segmenter = fact_clip.load(tmp_path / "run")
    dataset = Dataset.open(config.data)
    found = detect(dataset)
    assert segmenter.run.objects.columns == found.with_context(5)
    assert segmenter.run.objects.fixed == found.fixed
    ham = found.names.index("ham")
    text = segmenter.choose(["cut ham", "cut pan"]).scoring.text_embeddings
    assert segmenter.scorer.model.objects.objects_of(text)[0].argmax() == ham
    unnamed = [at for at, name in enumerate(found.names) if not name]
    assert not segmenter.scorer.model.objects.names[unnamed].any()
    labels, _ = segmenter.scorer.predict(dataset.features(dataset.test[0]), ["slice ham", "fetch pan"])
    assert len(labels) == len(dataset.labels(dataset.test[0]))

    caplog.clear()
    segmenter.choose(["fetch ham", "fetch zeppelin", "polish zeppelin", "fetch kayak"])
    line, words = caplog.messages
    assert line.startswith("no object column matches zeppelin, kayak, so ")
    assert words.startswith("no trained class has these words")


def test_a_hold_out_that_lies_in_the_current_folder_is_found_from_any(tiny, workbench, tmp_path, monkeypatch):
    shutil.copyfile(workbench / "zero_shot/A.json", tmp_path / "mine.json")
    monkeypatch.chdir(tmp_path)
    train(tiny(**joined(data={"holdout": "mine.json"})), tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Run.read(tmp_path / "run").config.data.holdout == str(tmp_path / "mine.json")
    assert "zero_shot" in evaluate(tmp_path / "run").details
