"""Scoring a run: the figures are those of the written predictions, and what cannot be scored is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fact_clip import Config, Vocabulary, metrics
from fact_clip.datasets.dataset import Dataset
from fact_clip.devices.processes import Processes
from fact_clip.evaluation.split_evaluation import score
from fact_clip.evaluation.validation import validate
from fact_clip.inference.loading import load
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, train

from ..refusals import refused


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def written(run: Path, split: str, names: list[str]) -> list[np.ndarray]:
    vocabulary = Run.read(run).vocabulary
    return [vocabulary.encode((run / "predictions" / split / f"{n}.txt").read_text().splitlines()) for n in names]


@pytest.mark.parametrize(("split", "file"), [("test", "evaluation.json"), ("validation", "evaluation_validation.json")])
def test_figures_are_those_of_the_written_predictions(split, file, run):
    told = []
    result = evaluate(run, split, progress=lambda done, total, name: told.append((done, total, name))).details
    dataset = Dataset.open(Run.read(run).config.data)
    names = list(getattr(dataset, split))
    assert result["videos"] == names
    assert told == [(index, len(names), name) for index, name in enumerate(names)]
    truth, prediction = [dataset.labels(name) for name in names], written(run, split, names)
    counted = {"background": dataset.vocabulary.background_indices, "count_background": True}
    assert result["metrics"] == {"profile": "fact", **metrics.evaluate(truth, prediction, **counted)}
    hits = sum(int((a == b).sum()) for a, b in zip(truth, prediction, strict=True))
    frames = sum(len(labels) for labels in truth)
    assert result["metrics"]["frame_accuracy"] == pytest.approx(100 * hits / frames)
    assert [row["name"] for row in result["per_class"]] == list(dataset.vocabulary.names)
    assert result["background_counted"] is True
    assert json.loads((run / file).read_text()) == result


def test_background_and_decoding_may_be_overridden(run):
    """The scores of the run as it is, without background in edit and F1, and as one segment a video."""
    plain = evaluate(run).details
    names = plain["videos"]
    dataset = Dataset.open(Run.read(run).config.data)
    truth, prediction = [dataset.labels(name) for name in names], written(run, "test", names)
    record = (run / "evaluation.npz").read_bytes()
    without = evaluate(run, overrides=["evaluation.count_background=false"]).details
    background = dataset.vocabulary.background_indices
    figures = metrics.evaluate(truth, prediction, background=background)
    assert without["metrics"] == {"profile": "fact", **figures}
    assert without["background_counted"] is False
    changed = evaluate(
        run, overrides=["decode.switch_penalty=1000", f"data.root={Run.read(run).config.data.root}"]
    ).details
    assert all(len(set(labels.tolist())) == 1 for labels in written(run, "test_changed", names))
    assert json.loads((run / "evaluation_changed.json").read_text()) == changed
    assert changed["overrides"][0] == "decode.switch_penalty=1000"
    # the figures of the run stay
    assert json.loads((run / "evaluation.json").read_text()) == plain
    assert (run / "evaluation.npz").read_bytes() == record
    assert [labels.tolist() for labels in written(run, "test", names)] == [labels.tolist() for labels in prediction]


def test_data_that_has_moved(run, workbench, tmp_path):
    expected = evaluate(run).details
    copy = shutil.copytree(workbench, tmp_path / "moved")
    moved = [f"data.root={copy}"]
    assert evaluate(run, overrides=moved).details == {**expected, "overrides": moved}
    assert json.loads((run / "evaluation.json").read_text())["overrides"] == moved
    assert not (run / "evaluation_changed.json").exists()


def test_a_corrected_label_leaves_the_figures_and_says_so(tiny, workbench, tmp_path):
    root = Path(shutil.copytree(workbench, tmp_path / "data"))
    run = tmp_path / "run"
    train(tiny(data={"root": str(root)}, train={"epochs": 1}), run)
    plain = evaluate(run).details
    path = root / "groundTruth" / f"{Dataset.open(Run.read(run).config.data).train[0]}.txt"
    path.write_text(path.read_text().replace("grasp nut\n", "grasp bolt\n"))
    (caution,) = evaluate(run).details["cautions"]
    assert "evaluation.json" in caution
    assert json.loads((run / "evaluation.json").read_text()) == plain
    assert (run / "evaluation_changed.json").is_file()


def test_another_precision_is_another_setting(run):
    evaluate(run)
    assert evaluate(run, precision="bf16").details["overrides"] == ["precision=bf16"]
    assert "overrides" not in json.loads((run / "evaluation.json").read_text())


def test_predictions_of_earlier_videos_are_removed(run):
    evaluate(run)
    (run / "predictions/test/old.txt").write_text("grasp nut\n")
    names = evaluate(run).details["videos"]
    assert sorted(path.stem for path in (run / "predictions/test").iterdir()) == sorted(names)


def test_another_decoding_needs_the_validation_videos(run):
    root = Run.read(run).config.data.root
    changed = [f"data.root={root}", "data.validation=0", "decode.switch_penalty=3"]
    with refused("data.validation"):
        evaluate(run, overrides=changed)
    evaluate(run, overrides=changed[:2])


def test_data_of_another_vocabulary(run, workbench, tmp_path):
    copy = Path(shutil.copytree(workbench, tmp_path / "other"))
    lines = (copy / "mapping.txt").read_text().splitlines()
    ids, names = zip(*(line.split(" ", 1) for line in lines), strict=True)
    shifted = [*names[1:], names[0]]
    (copy / "mapping.txt").write_text("".join(f"{i} {name}\n" for i, name in zip(ids, shifted, strict=True)))
    with refused("other"):
        evaluate(run, overrides=[f"data.root={copy}"])


def test_trained_videos_do_not_become_validation_videos(run):
    for override in ("data.validation=0.5", "data.validation_part=1", "data.groups=person.", "data.stride=2"):
        with refused(override):
            evaluate(run, "validation", overrides=[override])


def test_trained_videos_do_not_become_test_videos(run, tmp_path):
    dataset = Dataset.open(Run.read(run).config.data)
    name = next(name for name in dataset.vocabulary if name not in dataset.vocabulary.background)
    choice = {"unseen": [name], "train_videos": list(dataset.test), "test_videos": list(dataset.train)}
    (tmp_path / "other.json").write_text(json.dumps(choice))
    with refused("data.holdout"):
        evaluate(run, overrides=[f"data.holdout={tmp_path / 'other.json'}", "data.holdout_mode=oracle"])


def test_splits_that_cannot_be_scored(run, tiny, workbench, tmp_path):
    with refused("split"):
        evaluate(run, "tests")
    train(tiny(data={"validation": 0.0}, train={"epochs": 1}), tmp_path / "none")
    with refused(workbench):
        evaluate(tmp_path / "none", "validation")


def test_transcripts_are_given_with_the_data_and_never_read_off_scored_labels(tiny, workbench, tmp_path):
    copy = Path(shutil.copytree(workbench, tmp_path / "data"))
    config = tiny(data={"root": str(copy)}, model={"transcript": True}, loss={"match": "seq"}, train={"epochs": 1})
    train(config, tmp_path / "run")
    test = Dataset.open(config.data).test
    with refused("person1_video1.txt"):
        evaluate(tmp_path / "run")
    (copy / "transcripts").mkdir()
    order = ["no action", "grasp gear", "place gear"]
    for name in test:
        (copy / "transcripts" / f"{name}.txt").write_text("\n".join(order) + "\n")
    evaluate(tmp_path / "run")
    for name in test:
        assert set((tmp_path / "run" / "predictions" / "test" / f"{name}.txt").read_text().splitlines()) <= set(order)
    exact = evaluate(tmp_path / "run").metrics
    half = evaluate(tmp_path / "run", precision="bf16").metrics
    assert half["frame_accuracy"] == pytest.approx(exact["frame_accuracy"], abs=5)


def test_validation_is_the_evaluation_and_its_mean(run):
    segmenter = load(run).scorer
    config, names = segmenter.run.config, ("person1_video1", "person3_video1")
    dataset = Dataset.open(config.data)
    figures = validate(segmenter, dataset, names, Processes("cpu"))
    truth = [dataset.labels(name) for name in names]
    guess = [segmenter.predict(dataset.features(name))[0] for name in names]
    background = dataset.vocabulary.background_indices
    expected = metrics.evaluate(truth, guess, background=background, count_background=True)
    assert figures == {
        **{key: value for key, value in expected.items() if key != "profile"},
        "score": pytest.approx((expected["frame_accuracy"] + expected["edit"] + expected["f1@10"]) / 3),
    }


@pytest.mark.parametrize("counted", [True, False])
def test_foreground_is_without_background_whether_that_counts_or_not(counted):
    config = Config.load("folder", [f"evaluation.count_background={counted}"])
    vocabulary = Vocabulary.from_names(["idle", "pour"], background=["idle"])
    truth, guess = [np.array([0, 0, 1, 1])], [np.array([0, 0, 1, 0])]
    figures = score(config.evaluation, vocabulary, truth, guess)["metrics"]
    assert (figures["frame_accuracy"], figures["frame_accuracy_foreground"]) == (75, 50)
