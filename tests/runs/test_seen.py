"""What a run has seen: recorded, and compared with whatever it is scored or started on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fact_clip.datasets import from_arrays
from fact_clip.datasets.dataset import Dataset
from fact_clip.runs.run import Run
from fact_clip.runs.seen import NO_RECORD, features_digest
from fact_clip.training import StopTraining, evaluate, train
from fact_clip.training.callbacks import Callback

from ..refusals import refused


@pytest.fixture
def folder(workbench, tmp_path):
    return shutil.copytree(workbench, tmp_path / "data")


def settings(tiny, folder, **groups):
    return tiny(**{"data": {"root": str(folder)}, "train": {"epochs": 1}, **groups})


def swap_lists(folder):
    train_list = folder / "splits" / "train.split1.bundle"
    test_list = folder / "splits" / "test.split1.bundle"
    learned = train_list.read_text()
    train_list.write_text(test_list.read_text())
    test_list.write_text(learned)


def test_a_run_records_its_videos_and_classes(tiny, folder, tmp_path):
    holdout = "zero_shot/A.json"
    train(settings(tiny, folder, data={"root": str(folder), "holdout": holdout}), tmp_path / "run")
    run = Run.read(tmp_path / "run")
    dataset = Dataset.open(run.config.data)
    roles = {video.name: video.role for video in run.seen.videos}
    assert roles == dict.fromkeys(dataset.train, "trained") | dict.fromkeys(dataset.validation, "validated")
    hidden = set(json.loads((folder / holdout).read_text())["unseen"])
    assert set(run.seen.hidden) >= hidden
    labels = np.concatenate([dataset.labels(name) for name in dataset.train])
    assert run.seen.classes == dataset.names_of(np.unique(labels[labels >= 0]))
    assert run.finished
    rows = dataset.features(dataset.train[0])
    assert run.seen.find(rows.copy()).name == dataset.train[0]
    assert run.seen.find(rows[1:]) is None


def test_digests_tell_values_and_shapes(tmp_path):
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    assert features_digest(rows) == features_digest(np.asfortranarray(rows).astype(np.float64))
    assert features_digest(rows) != features_digest(rows[:-1])
    assert features_digest(rows[:1]) != features_digest(rows[1:2])


def test_lists_that_changed_are_refused(tiny, folder, tmp_path):
    train(settings(tiny, folder), tmp_path / "run")
    figures = evaluate(tmp_path / "run").details
    assert figures["cautions"] == []
    assert figures["weights"] == Run.read(tmp_path / "run").digest()
    swap_lists(folder)
    with refused(folder):
        evaluate(tmp_path / "run")


def test_a_copy_of_a_trained_video_is_refused_under_another_name_and_in_memory(tiny, folder, tmp_path):
    train(settings(tiny, folder), tmp_path / "run")
    dataset = Dataset.open(Run.read(tmp_path / "run").config.data)
    learned, tested = dataset.train[0], dataset.test[0]
    names = np.array(dataset.vocabulary.names)
    arrays = {"new": dataset.features(tested), "copy": np.array(dataset.features(learned))}
    labels = {"new": names[dataset.labels(tested)].tolist(), "copy": names[dataset.labels(learned)].tolist()}
    data = from_arrays(arrays, labels, train=["new"], test=["copy"], class_names=dataset.vocabulary.names)
    with refused() as refusal:
        evaluate(tmp_path / "run", data=data)
    assert f"(as {learned!r})" in refusal.message


def test_figures_of_other_data_do_not_replace_those_of_the_run(tiny, folder, tmp_path):
    train(settings(tiny, folder), tmp_path / "run")
    evaluate(tmp_path / "run")
    before = (tmp_path / "run" / "evaluation.json").read_bytes()
    moved = shutil.copytree(folder, tmp_path / "moved")
    evaluate(tmp_path / "run", overrides=[f"data.root={moved}"])
    assert json.loads((tmp_path / "run" / "evaluation.json").read_bytes())["metrics"] == json.loads(before)["metrics"]
    for path in (moved / "features").glob("*.npy"):
        np.save(path, np.load(path) + 1)
    evaluate(tmp_path / "run", overrides=[f"data.root={moved}"])
    assert (tmp_path / "run" / "evaluation_changed.json").is_file()
    moved_back = json.loads((tmp_path / "run" / "evaluation.json").read_bytes())
    assert moved_back["data"] == json.loads(before)["data"]


def test_resuming_after_labels_were_corrected_is_refused(tiny, folder, tmp_path):
    config = settings(tiny, folder)
    train(config, tmp_path / "run")
    path = folder / "groundTruth" / f"{Dataset.open(config.data).train[0]}.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[1:], lines[0]]) + "\n")
    with refused(folder):
        train(config, tmp_path / "run", overrides=["train.epochs=2"], resume=True)


@pytest.mark.parametrize("head", ["closed", "text"])
def test_a_start_that_learned_what_is_held_out_is_refused(tiny, folder, tmp_path, head):
    model = {"model": {"head": head}, "text": {"encoder": "hash:32", "parts": ["factors"]}}
    train(settings(tiny, folder, **model), tmp_path / "all")
    init = f"train.init={tmp_path / 'all'}"
    config = settings(tiny, folder, **model)
    with refused("train.init"):
        train(config, tmp_path / "new", overrides=[init, "data.holdout=zero_shot/A.json"])
    train(config, tmp_path / "again", overrides=[init])
    swap_lists(folder)
    with refused("train.init"):
        train(config, tmp_path / "swapped", overrides=[init])


def test_a_chain_of_starts_joins_its_records(tiny, folder, tmp_path):
    config = settings(tiny, folder)
    train(config, tmp_path / "first")
    seen = Run.read(tmp_path / "first").seen
    swap_lists(folder)
    run_json = tmp_path / "first" / "run.json"
    facts = json.loads(run_json.read_text())
    kept = facts.pop("seen")
    run_json.write_text(json.dumps(facts))
    train(config, tmp_path / "second", overrides=[f"train.init={tmp_path / 'first'}"])  # a start without a record
    assert not Run.read(tmp_path / "second").seen.is_complete
    assert any(NO_RECORD in caution for caution in evaluate(tmp_path / "second").details["cautions"])
    assert evaluate(tmp_path / "first").details["cautions"] == [NO_RECORD]

    swap_lists(folder)
    run_json.write_text(json.dumps({**facts, "seen": kept}))
    for path in (folder / "features").glob("*.npy"):
        np.save(path, np.load(path) + 1)  # other videos
    train(config, tmp_path / "third", overrides=[f"train.init={tmp_path / 'first'}"])
    joined = Run.read(tmp_path / "third").seen
    assert {*seen.videos} < {*joined.videos}
    assert joined.is_complete


@pytest.mark.parametrize("head", ["closed", "text", "fact-clip"])
def test_other_holdouts_are_refused_by_what_was_learned(tiny, folder, tmp_path, head):
    model = {"model": {"head": head}, "text": {"encoder": "hash:32", "parts": ["factors"]}}
    hidden, other = json.loads((folder / "zero_shot/A.json").read_text())["unseen"][:2]
    (folder / "two.json").write_text(json.dumps([hidden, other]))
    (folder / "one.json").write_text(json.dumps([hidden]))
    data = {"root": str(folder), "holdout": "two.json"}
    train(settings(tiny, folder, data=data, **model), tmp_path / "run")
    run = Run.read(tmp_path / "run")
    learned = next(name for name in run.seen.classes if name not in run.vocabulary.background)
    evaluate(tmp_path / "run")
    for choice in ([learned], [hidden]):  # one is not hidden; the other was hidden and counts as seen
        (folder / "one.json").write_text(json.dumps(choice))
        with refused("data.holdout"):
            evaluate(tmp_path / "run", overrides=["data.holdout=one.json"])
    (folder / "two.json").write_text(json.dumps([learned]))  # the file of the run itself
    with refused("data.holdout"):
        evaluate(tmp_path / "run")


def test_an_oracle_says_what_it_has_learned(tiny, folder, tmp_path):
    data = {"root": str(folder), "holdout": "zero_shot/A.json", "holdout_mode": "oracle"}
    train(settings(tiny, folder, data=data), tmp_path / "run")
    (caution,) = evaluate(tmp_path / "run").details["cautions"]
    assert caution.startswith("not zero-shot: trained on '")


class _StopAt(Callback):
    def __init__(self, epoch, error=StopTraining):
        self.last = epoch
        self.error = error

    def on_epoch(self, state):
        if state.epoch == self.last:
            raise self.error


def test_a_stopped_training_keeps_its_last_weights(tiny, folder, tmp_path):
    late = {"train": {"epochs": 10, "validate_from": 0.9}}
    train(settings(tiny, folder, **late), tmp_path / "run", callbacks=[_StopAt(3)])
    from fact_clip.runs.weights import read_weights

    facts = read_weights(tmp_path / "run" / "model.safetensors")[1]
    assert facts["epoch"] == 3
    assert "validation" in facts
    assert Run.read(tmp_path / "run").finished


def test_an_interrupted_training_is_unfinished_and_says_so(tiny, folder, tmp_path, caplog):
    from fact_clip.runs.weights import read_weights

    late = {"train": {"epochs": 10, "validate_from": 0.9}}
    with pytest.raises(ZeroDivisionError):
        train(settings(tiny, folder, **late), tmp_path / "run", callbacks=[_StopAt(3, ZeroDivisionError)])
    assert read_weights(tmp_path / "run" / "model.safetensors")[1]["epoch"] == 3
    figures = evaluate(tmp_path / "run").details
    assert figures["cautions"] == ["training is not finished"]
    assert "is not finished" in caplog.text


def test_a_calibration_that_was_interrupted_leaves_an_unfinished_run(tiny, folder, tmp_path, monkeypatch):
    from fact_clip.training import runs

    model = {"model": {"head": "text"}, "text": {"encoder": "hash:32", "parts": ["factors"]}}
    data = {"root": str(folder), "holdout": "zero_shot/A.json"}
    train(settings(tiny, folder, data=data, **model), tmp_path / "run")
    assert (tmp_path / "run/calibration.json").is_file()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "learn_calibration", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run/config.yaml", tmp_path / "run", overrides=["train.epochs=2"], resume=True)
    assert not (tmp_path / "run/calibration.json").exists()
    assert "training is not finished" in evaluate(tmp_path / "run").details["cautions"]


def test_a_member_that_was_cut_off_is_unfinished(tiny, folder, tmp_path):
    train(settings(tiny, folder, train={"epochs": 1, "members": 2}), tmp_path / "run")
    assert not Run.read(tmp_path / "run").is_unfinished()
    path = tmp_path / "run/members/2/run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "finished": False}))
    assert "training is not finished" in evaluate(tmp_path / "run").details["cautions"]


def test_classes_by_which_settings_were_chosen_are_not_test_unseen(tiny, folder, tmp_path):
    first, second = json.loads((folder / "zero_shot/A.json").read_text())["unseen"][:2]
    (folder / "h.json").write_text(json.dumps({"unseen": [first], "validation_unseen": [second]}))
    (folder / "other.json").write_text(json.dumps({"unseen": [second], "validation_unseen": [first]}))
    train(settings(tiny, folder, data={"root": str(folder), "holdout": "h.json"}), tmp_path / "run")
    assert Run.read(tmp_path / "run").seen.tuned == (second,)
    with refused("data.holdout"):
        evaluate(tmp_path / "run", overrides=["data.holdout=other.json"])


def test_a_class_in_another_spelling_and_a_video_with_other_labels_are_known_again(tiny, folder, tmp_path):
    model = {"model": {"head": "text"}, "text": {"encoder": "hash:32", "parts": ["factors"]}}
    config = settings(tiny, folder, **model)
    train(config, tmp_path / "run")
    seen = Run.read(tmp_path / "run").seen
    learned = next(name for name in seen.classes if " " in name)
    assert seen.learned_classes((learned.upper().replace(" ", "_"), "never heard")) == (
        learned.upper().replace(" ", "_"),
    )
    swap_lists(folder)
    for path in (folder / "groundTruth").iterdir():
        path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")  # a row shorter
    with refused(folder):
        evaluate(tmp_path / "run")
    for path in (folder / "features").glob("*.npy"):
        np.save(path, np.load(path) * np.float32(1.002))  # extracted again
    caution, _ = evaluate(tmp_path / "run").details["cautions"]
    assert "has the name of a learned video" in caution


def test_figures_of_other_test_labels_do_not_replace_those_of_the_run(tiny, folder, tmp_path):
    config = settings(tiny, folder)
    train(config, tmp_path / "run")
    evaluate(tmp_path / "run")
    before = (tmp_path / "run/evaluation.json").read_bytes()
    moved = shutil.copytree(folder, tmp_path / "moved")
    path = moved / "groundTruth" / f"{Dataset.open(config.data).test[0]}.txt"
    path.write_text("\n".join(reversed(path.read_text().splitlines())) + "\n")
    evaluate(tmp_path / "run", overrides=[f"data.root={moved}"])
    assert (tmp_path / "run/evaluation.json").read_bytes() == before
    assert (tmp_path / "run/evaluation_changed.json").is_file()


def test_segmenting_a_learned_video_is_noted(tiny_run, workbench, caplog):
    import fact_clip

    caplog.set_level("INFO")
    seen = Run.read(tiny_run).seen
    dataset = Dataset.open(Run.read(tiny_run).config.data)
    for name in (dataset.train[0], dataset.test[0]):
        caplog.clear()
        fact_clip.load(tiny_run).segment(workbench / "features" / f"{name}.npy")
        assert ("the run was trained on this video" in caplog.text) is (name in {each.name for each in seen.videos})


def test_segmenting_a_video_that_another_member_learned_is_noted(tiny, folder, tmp_path, caplog):
    import fact_clip

    caplog.set_level("INFO")
    parts = {"epochs": 1, "members": 2, "member_parts": True}
    train(settings(tiny, folder, train=parts), tmp_path / "run")
    (name,) = Dataset.open(Run.read(tmp_path / "run").config.data).validation
    fact_clip.load(tmp_path / "run").segment(folder / "features" / f"{name}.npy")
    assert "the run was trained on this video" in caplog.text


def test_a_start_may_have_hidden_what_is_trained_now(tiny, folder, tmp_path):
    first, second = json.loads((folder / "zero_shot/A.json").read_text())["unseen"][:2]
    model = {"model": {"head": "text"}, "text": {"encoder": "hash:32", "parts": ["factors"]}}
    for name, hidden in (("first", [first, second]), ("second", [second])):
        (folder / f"{name}.json").write_text(json.dumps(hidden))
    data = {"root": str(folder), "holdout": "first.json"}
    train(settings(tiny, folder, data=data, **model), tmp_path / "first")
    overrides = ["data.holdout=second.json", f"train.init={tmp_path / 'first'}"]
    train(settings(tiny, folder, data=data, **model), tmp_path / "second", overrides=overrides)
    assert evaluate(tmp_path / "second").details["cautions"] == []


def arrays_of(dataset, train, test):
    names = np.array([*dataset.vocabulary.names, "?"])
    videos = [*train, *test]
    return from_arrays(
        {name: dataset.features(name) for name in videos},
        {name: names[dataset.all_labels(name)].tolist() for name in videos},
        train=train,
        test=test,
        class_names=dataset.vocabulary.names,
    )


@pytest.mark.parametrize("is_continued", [False, True])
def test_figures_with_some_of_the_learning_videos_do_not_replace_those_of_the_run(tiny, folder, tmp_path, is_continued):
    """Levels of unseen classes and frames of training would be those of fewer videos."""
    run = tmp_path / "run"
    config = settings(tiny, folder)
    train(config, run)
    if is_continued:
        run = tmp_path / "continued"
        train(config, run, overrides=[f"train.init={tmp_path / 'run'}"])
    evaluate(run)
    before = (run / "evaluation.json").read_bytes()
    dataset = Dataset.open(config.data)
    moved = shutil.copytree(folder, tmp_path / "moved")
    (moved / "splits/train.split1.bundle").write_text(f"{dataset.train[0]}\n")
    for source in (
        {"overrides": [f"data.root={moved}"]},
        {"data": arrays_of(dataset, dataset.train[:1], dataset.test)},
    ):
        (caution,) = evaluate(run, **source).details["cautions"]
        assert "evaluation.json is unchanged" in caution
        assert (run / "evaluation.json").read_bytes() == before
        (run / "evaluation_changed.json").unlink()
    assert evaluate(run).details["cautions"] == []


def test_first_figures_of_other_test_videos_are_not_those_of_the_run(tiny, folder, tmp_path):
    train(settings(tiny, folder), tmp_path / "run")
    first, *_ = Dataset.open(Run.read(tmp_path / "run").config.data).test
    moved = shutil.copytree(folder, tmp_path / "moved")
    (moved / "splits/test.split1.bundle").write_text(f"{first}\n")
    (caution,) = evaluate(tmp_path / "run", overrides=[f"data.root={moved}"]).details["cautions"]
    assert "evaluation.json is unchanged" in caution
    assert not (tmp_path / "run/evaluation.json").exists()
    evaluate(tmp_path / "run", "validation", overrides=[f"data.root={moved}"])
    assert (tmp_path / "run/evaluation_validation.json").is_file()
