"""Each recipe trains on data of its benchmark's shape: real classes, tokens and file layout, features from prototypes.

Widths and lengths are small, so that a step takes a moment. The labels of Breakfast and the class names of HA-ViD, GTEA
and 50Salads are real. All else is made up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fact_clip import training
from fact_clip.cli import main
from fact_clip.config import Config
from fact_clip.core import runs
from fact_clip.datasets import havid
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.inspect import Inspection
from fact_clip.runs.run import Run

from .published import breakfast_classes, breakfast_segments, havid_tasks
from .refusals import refused_line

Videos = dict[str, list[str]]  # name -> one class name a frame

GTEA = ("take", "open", "pour", "close", "shake", "scoop", "stir", "put", "fold", "spread", "background")
SALADS = (
    "cut_tomato", "place_tomato_into_bowl", "cut_cheese", "place_cheese_into_bowl", "cut_lettuce",
    "place_lettuce_into_bowl", "add_salt", "add_vinegar", "add_oil", "add_pepper", "mix_dressing", "peel_cucumber",
    "cut_cucumber", "place_cucumber_into_bowl", "add_dressing", "mix_ingredients", "serve_salad_onto_plate",
    "action_start", "action_end",
)  # fmt: skip


def made_up(names: Sequence[str], background: str, segments: int = 24, frames: int = 10) -> Videos:
    """Three videos in which the classes take turns, background between them."""
    rng = np.random.default_rng(len(names))
    videos = {}
    for number in range(3):
        order = [names[index % len(names)] for index in rng.permutation(max(segments, len(names)))[:segments]]
        videos[f"video{number}"] = [label for name in order for label in [name] * frames + [background] * 2]
    return videos


def breakfast() -> tuple[tuple[str, ...], Videos]:
    """Three real videos, each run at a tenth of its length."""
    names = breakfast_classes()
    segments = breakfast_segments()
    chosen = [f"P{person:02}_cam01_P{person:02}_sandwich" for person in (3, 16, 29)]
    return names, {
        video: [names[label] for label, frames in segments[video] for _ in range(frames // 10 + 1)] for video in chosen
    }


def epic() -> tuple[tuple[str, ...], Videos, dict[str, tuple[str, ...]]]:
    """Make up classes and videos of the size and form of Epic-Kitchens.

    There are 97 verbs and 300 nouns, whose names have hyphens and colons, and 1,352 pairs. Pairs are
    added until each verb and noun is in one. Three videos have 30 segments each.
    """
    verbs = tuple(f"do-{number}" for number in range(97))
    nouns = tuple(f"thing:{number}" for number in range(300))
    rng = np.random.default_rng(0)
    indices = rng.choice(len(verbs) * len(nouns), size=1352, replace=False)
    pairs = {(int(index) // len(nouns), int(index) % len(nouns)): None for index in indices}
    used_verbs = {verb for verb, _ in pairs}
    used_nouns = {noun for _, noun in pairs}
    pairs |= {(verb, 0): None for verb in range(len(verbs)) if verb not in used_verbs}
    pairs |= {(0, noun): None for noun in range(len(nouns)) if noun not in used_nouns}
    classes = [f"{verbs[verb]},{nouns[noun]}" for verb, noun in pairs]
    videos: Videos = {}
    for video in ("P01_11", "P01_12", "P01_13"):
        steps = rng.choice(classes, size=30)
        videos[video] = [label for step in steps for label in [str(step)] * 12 + ["background,background"] * 4]
    kinds = {"verb": ("background", *verbs), "noun": ("background", *nouns)}
    return ("background,background", *classes), videos, kinds


def havid_names(kind: str) -> tuple[str, ...]:
    """The 75 primitive tasks, or 219 codes of the grammar with `null` and `w`, as many as there are atomic actions."""
    if kind == "pt":
        return havid_tasks()
    codes = [f"{verb}{part}" for verb in havid.VERBS for part in havid.PARTS][:217]
    return (*codes, havid.IDLE, havid.WRONG)


def numbered(names: Sequence[str]) -> str:
    return "".join(f"{index} {name}\n" for index, name in enumerate(names))


def write(folder: Path, name: str, classes: Sequence[str], videos: Videos, dim: int) -> Path:
    """The files of a benchmark where it has them, below `folder`; the last video is the test."""
    benchmark = BENCHMARKS[name]
    root = folder / (benchmark.folder or name)
    features = root / benchmark.features
    for path in (root / "groundTruth", features, root / "splits", (root / benchmark.mapping).parent):
        path.mkdir(parents=True, exist_ok=True)
    (root / benchmark.mapping).write_text(numbered(classes))
    number = {label: index for index, label in enumerate(classes)}
    rng = np.random.default_rng(0)
    prototypes = rng.standard_normal((len(classes), dim)).astype(np.float32)
    for video, labels in videos.items():
        (root / "groundTruth" / f"{video}.txt").write_text("\n".join(labels) + "\n")
        rows = prototypes[[number[label] for label in labels]]
        rows += rng.standard_normal(rows.shape).astype(np.float32)
        np.save(features / f"{video}.npy", rows if benchmark.layout == "TD" else rows.T)
    *train, test = videos
    lists = {"train": "\n".join(train), "test": test}
    for split in range(1, 6):
        for part, text in lists.items():
            at_root = name in ("egoprocel", "epic")
            path = root / (f"split1.{part}" if at_root else f"splits/{part}.split{split}.bundle")
            path.write_text(text)  # the last line may lack its end
    return root


def data_of(recipe: str, folder: Path) -> str:
    """Write the data of a recipe, and give back its entry's name."""
    name = Config.load(recipe).data.name
    if name == "breakfast":
        write(folder, name, *breakfast(), dim=2048)
    elif name == "epic":
        names, videos, kinds = epic()
        root = write(folder, name, names, videos, dim=2048)
        for kind, listed in kinds.items():
            (root / f"processed/{kind}_mapping.txt").write_text(numbered(listed))
    elif name.startswith("havid"):
        names = havid_names(name[-2:])
        write(folder, name, names, made_up([n for n in names if n != "null"], "null", 12, 20), dim=2048)
    else:
        names, background = {
            "gtea": (GTEA, "background"),
            "50salads": (SALADS, "action_start"),
            "egoprocel": (("background", *(f"step {number}" for number in range(1, 20))), "background"),
        }[name]
        rest = [label for label in names if label != background]
        write(folder, name, names, made_up(rest, background), dim=2048 if name != "egoprocel" else 512)
    return name


SMALL = [
    "model.input.frame_dim=8", "model.input.action_dim=16", "model.input.heads=2", "model.input.feedforward=16",
    "train.epochs=1", "train.device=cpu", "data.validation=0",
]  # fmt: skip

# Recipe -> classes, tokens, blocks (docs/method.md and docs/benchmarks.md).
TRAINED = {
    "breakfast": (48, 60, "iuUU"),
    "gtea": (11, 60, "iuU"),
    "gtea_transcript": (11, 0, "iuU"),
    "50salads": (19, 60, "iuUU"),
    "egoprocel": (20, 200, "iUUU"),
    "epic-kitchens": (None, 300, "IUUU"),
    "havid_view0_lh_pt": (75, 28, "iuUU"),
    "havid_view2_rh_aa": (219, 28, "iuUU"),
}


@pytest.mark.parametrize("recipe", TRAINED)
def test_each_recipe_trains_and_predicts(recipe, tmp_path, monkeypatch):
    """Found below FACT_CLIP_DATA, two videos trained, the third predicted at full length."""
    n_classes, tokens, blocks = TRAINED[recipe]
    monkeypatch.setenv("FACT_CLIP_DATA", str(tmp_path))
    name = data_of(recipe, tmp_path)
    root = tmp_path / (BENCHMARKS[name].folder or name)
    config = Config.load(recipe, SMALL)
    kinds = {finding.kind for finding in Inspection(config.data)}
    assert kinds <= {"never trained"}  # a few videos do not have all classes
    facts = training.train(config, tmp_path / "run")
    assert facts.epoch == 1
    log = json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(log["total"])
    assert log["total"] > 0
    run = Run.read(tmp_path / "run")
    assert (run.config.model.tokens, run.config.model.blocks) == (tokens, blocks)
    assert run.layout == BENCHMARKS[name].layout
    if n_classes is None:
        assert (run.classes.n_verbs, run.classes.n_nouns) == (98, 301)
    else:
        assert run.classes.count == n_classes
    dataset = Dataset.open(config.data)
    video = dataset.test[0]
    if config.model.transcript:
        (root / "transcripts").mkdir()
        order = [dataset.vocabulary.names[label] for _, _, label in runs(dataset.labels(video))]
        (root / "transcripts" / f"{video}.txt").write_text("\n".join(order))
    result = training.evaluate(tmp_path / "run").details
    written = (tmp_path / "run/predictions/test" / f"{video}.txt").read_text().splitlines()
    assert len(written) == len(dataset.labels(video))
    assert result["background_counted"] == config.evaluation.count_background


@pytest.mark.parametrize("recipe", ["havid_view0_lh_pt", "havid_view2_rh_aa"])
def test_the_variants_share_their_features(recipe, tmp_path):
    """Only labels differ: one folder of features beside the variants, `null` the background wherever its id is."""
    data_of(recipe, tmp_path)
    assert len(list((tmp_path / "HAViD/ActionSegmentation/data/features").iterdir())) == 3
    dataset = Dataset.open(Config.load(recipe, [f"data.root={tmp_path}"]).data)
    assert dataset.root == tmp_path / "HAViD/ActionSegmentation/data" / recipe.removeprefix("havid_")
    assert dataset.vocabulary.background == ("null",)
    assert dataset.vocabulary.background_indices == (27 if recipe.endswith("pt") else 217,)
    assert dataset.vocabulary.slots == ("verb", "object", "target", "tool")
    assert dataset.features("video0").shape == (len(dataset.labels("video0")), 2048)
    if recipe.endswith("pt"):
        task = dataset.vocabulary.factors[dataset.vocabulary.index("sshc1dh")]
        assert task == ("screw", "hex screw", "cylinder plate hole 1", "hex screwdriver")


def test_views_and_hands_of_havid_in_one_run(tmp_path, capsys):
    """A row each, mean and deviation; a missing one is reported before anything is trained."""
    names = ["havid_view0_lh_pt", "havid_view2_rh_pt"]
    data_of("havid_view0_lh_pt", tmp_path)
    sweep = ["--sweep", f"data.name={','.join(names)}"]
    argv = ["train", "havid", f"data.root={tmp_path}", *SMALL, *sweep, "--out", str(tmp_path / "runs")]
    assert "view2_rh_pt" in refused_line((main(argv), *capsys.readouterr()), tmp_path)
    assert not (tmp_path / "runs").exists()
    data_of("havid_view2_rh_pt", tmp_path)
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads((tmp_path / "runs/evaluation.json").read_text())
    assert list(result["runs"]) == names
    assert lines[0].split()[:7] == ["run", "F1@10", "F1@25", "F1@50", "edit", "frame", "accuracy"]
    assert [line.split()[0] for line in lines[1:]] == [*names, "mean", "sd"]
    accuracies = [one["frame_accuracy"] for one in result["runs"].values()]
    assert lines[3].split()[5] == f"{np.mean(accuracies):.1f}"
    assert lines[4].split()[5] == f"{np.std(accuracies, ddof=1):.1f}"
    assert main([*argv, "--resume"]) == 0
    assert capsys.readouterr().out.splitlines() == lines
