"""Words of other projects: scikit-learn's estimator, torchmetrics on two processes, pyannote, and those of the hub."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import fact_clip
from fact_clip import Segment, Segmentation, metrics, training
from fact_clip.core import Instant
from fact_clip.encoders import frame_encoder

from .refusals import refused

RNG = np.random.default_rng(0)
NAMES = np.array(["idle", "stir", "pour"])
CLASSES = [RNG.permutation(3).repeat(15) for _ in range(6)]
X = [np.eye(4)[rows].astype(np.float32) + RNG.normal(0, 0.2, (45, 4)).astype(np.float32) for rows in CLASSES]
Y = [NAMES[rows].tolist() for rows in CLASSES]


# --- scikit-learn -----------------------------------------------------------------------------------------------


def test_the_estimator_obeys_the_checks_that_need_no_tables():
    from sklearn.utils import estimator_checks

    from fact_clip.integrations.sklearn import FactSegmenter

    estimator = FactSegmenter(epochs=1)
    for name in (
        "check_get_params_invariance",
        "check_set_params",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_estimator_cloneable",
        "check_estimator_repr",
    ):
        getattr(estimator_checks, name)("FactSegmenter", estimator)


def test_a_search_over_settings():
    from sklearn.exceptions import NotFittedError
    from sklearn.model_selection import GridSearchCV

    from fact_clip.integrations.sklearn import FactSegmenter

    model = FactSegmenter(settings=["model.blocks=i", "model.tokens=4", "model.input.hidden=16"], fps=5, device="cpu")
    with pytest.raises(NotFittedError):
        model.predict(X)
    with refused("y"):
        model.fit(X, Y[:-1])
    search = GridSearchCV(model, {"epochs": [1, 2]}, cv=2, error_score="raise").fit(X, Y)
    best = search.best_estimator_
    assert best.get_params()["epochs"] in (1, 2)
    assert set(best.classes_) == set(NAMES)
    predicted = best.predict(X)
    assert [len(labels) for labels in predicted] == [45] * 6
    right = np.array(predicted) == np.array(Y)
    assert best.score(X, Y) == pytest.approx(right.mean())
    unknown = [["?"] * 5 + labels[5:] for labels in Y]
    assert best.score(X, unknown) == pytest.approx(
        np.mean([ok for row in np.reshape(right, (6, 45)) for ok in row[5:]])
    )
    assert best.score(X, [[*labels, labels[-1]] for labels in Y]) == pytest.approx(right.mean())
    best.segmenter_.run.config.data.__dict__["unlabelled"] = ("idle",)
    assert best.score(X, Y) == pytest.approx(right[np.array(Y) != "idle"].mean())
    with refused(best.segmenter_.run.path):  # its run was in a temporary folder
        pickle.dumps(best)
    for labels in ([Y[0][:1]], [["?"] * 45], Y):
        with pytest.raises(fact_clip.InputError):
            best.score(X[:1], labels)
    for array in best.predict_proba(X):
        assert array.shape == (45, 3)
        np.testing.assert_allclose(array.sum(1), 1, atol=1e-4)


# --- torchmetrics -----------------------------------------------------------------------------------------------

TRUE = [RNG.integers(0, 4, 12).repeat(5) for _ in range(4)]
GUESS = [np.roll(labels, 3) for labels in TRUE]
SCORES = {
    "accuracy": lambda true, guess: metrics.frame_accuracy(true, guess),
    "edit": lambda true, guess: metrics.edit(true, guess, (0,)),
    "f1": lambda true, guess: metrics.f1(true, guess, 25, (0,)),
}


def collection():
    from torchmetrics import MetricCollection

    from fact_clip.integrations.torchmetrics import EditScore, FrameAccuracy, SegmentF1

    return MetricCollection(
        {"accuracy": FrameAccuracy(), "edit": EditScore(background=[0]), "f1": SegmentF1(25, background=[0])}
    )


def expected(true=TRUE, guess=GUESS):
    return {name: pytest.approx(score(true, guess)) for name, score in SCORES.items()}


def test_torchmetrics_equal_our_own():
    scores = collection()
    for true, guess in zip(TRUE, GUESS, strict=True):
        scores.update(torch.tensor(guess), torch.tensor(true))
    assert {name: float(value) for name, value in scores.compute().items()} == expected()
    scores.reset()
    padded = torch.full((2, 70), -100)
    padded[0, :60], padded[1, :60] = torch.tensor(TRUE[0]), torch.tensor(TRUE[1])
    guess = torch.zeros(2, 70, dtype=torch.long)
    guess[:, :60] = torch.tensor(np.stack(GUESS[:2]))
    scores.update(guess, padded)
    assert {name: float(value) for name, value in scores.compute().items()} == expected(TRUE[:2], GUESS[:2])


def test_torchmetrics_without_a_label_are_0():
    scores = collection()
    scores.update(torch.tensor([0, 1]), torch.tensor([-1, -1]))
    assert set(map(float, scores.compute().values())) == {0.0}


def test_all_negative_labels_are_left_out_of_torchmetrics():
    true = np.repeat([0, 1, -1, 2], [10, 20, 10, 20])
    guess = np.repeat([0, 1, 2], [10, 25, 25])
    scores = collection()
    scores.update(torch.tensor(guess), torch.tensor(true))
    assert {name: float(value) for name, value in scores.compute().items()} == expected([true], [guess])


def work(rank: int, address: str, queue) -> None:
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    scores = collection()
    for true, guess in list(zip(TRUE, GUESS, strict=True))[rank::2]:
        scores.update(torch.tensor(guess), torch.tensor(true))
    queue.put({name: float(value) for name, value in scores.compute().items()})
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_torchmetrics_on_two_processes(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=work, args=(rank, f"file://{tmp_path}/group", queue)) for rank in (0, 1)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert found == [expected(), expected()]


# --- pyannote ---------------------------------------------------------------------------------------------------


def test_an_annotation_goes_there_and_back(caplog):
    from fact_clip.integrations.pyannote import from_annotation, to_annotation

    video = Segmentation(
        (Segment(0, 5, "idle"), Segment(5, 9, "stir"), Segment(9, 12, "pour")), 4.0, media="a.mp4", background=("idle",)
    )
    annotation = to_annotation(video)
    assert annotation.uri == "a.mp4"
    assert [(each.start, each.end, label) for each, _, label in annotation.itertracks(yield_label=True)] == [
        (1.25, 2.25, "stir"), (2.25, 3.0, "pour"),
    ]  # fmt: skip
    found = from_annotation(annotation, 4.0, background="idle")
    assert (found.to_frames(), found.fps, found.media) == (video.to_frames(), 4.0, "a.mp4")
    assert found.background == ("idle",)
    assert not caplog.records
    assert from_annotation(annotation, 0.5).to_frames() == ["background", "pour"]
    assert len(caplog.records) == 1
    assert to_annotation(found) == annotation
    # A video without a rate has times, which lead back to the same frames.
    times = (0.0, 0.3, 0.5, 1.0, 1.1, 2.0, 2.2, 2.3, 2.4, 2.9, 3.0, 3.5, 4.0)
    uneven = replace(video, fps=None, times=times)
    again = from_annotation(to_annotation(uneven), None, 12, "idle", uneven.times)
    assert (again.to_frames(), again.times) == (video.to_frames(), times)
    with refused("fps"):
        from_annotation(annotation, None)
    assert from_annotation(annotation, 4.0, 14).to_frames()[12:] == ["background"] * 2
    with refused("segmentation"):
        to_annotation(Segmentation((Segment(0, 1, "a"),)))
    to_annotation(replace(video, instants=(Instant(5, "slip"),)))
    assert "1 point events" in caplog.messages[-1]


# --- what is passed by mistake ---------------------------------------------------------------------------------


class Half:
    def encode_images(self, images):
        return images


def test_a_wrong_object_is_one_line(tiny_run):
    segmenter = fact_clip.load(tiny_run, "cpu")
    with refused("settings"):
        segmenter.segment(np.zeros((30, 8), np.float32), settings={"gamma": 1.0})
    with refused("plan"):
        training.build(fact_clip.Config())
    with refused("array"):
        fact_clip.Scores(np.zeros((3, 2), np.float32), ("a",))
    for encoder in (torch.nn.Linear(3, 3), Half()):
        with refused("encoder"):
            frame_encoder(encoder)


def test_results_are_printed_in_a_line(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    segmenter = fact_clip.load(tiny_run, "cpu")
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    for result in (segmenter.segment(rows), segmenter.scores(rows), training.evaluate(run)):
        assert len(repr(result)) < 400


# --- the segmenter ----------------------------------------------------------------------------------------------


def test_a_segmenter_is_called_and_printed(tiny_run):
    segmenter = fact_clip.load(tiny_run, "cpu")
    rows = np.zeros((30, 8), np.float32)
    before = segmenter.segment(rows)
    assert segmenter(rows) == before
    assert repr(segmenter) == f"Segmenter({tiny_run}, {len(segmenter.vocabulary)} classes)"


def test_a_saved_run_is_loaded_by_its_folder(tiny_run, tmp_path):
    pytest.importorskip("huggingface_hub")
    segmenter = fact_clip.load(tiny_run, device="cpu")
    folder = segmenter.save(tmp_path / "saved", license="cc-by-4.0")
    rows = np.zeros((30, 8), np.float32)
    assert fact_clip.load(folder, device="cpu")(rows) == segmenter(rows)
    assert "license: cc-by-4.0" in (folder / "README.md").read_text()
    card = segmenter.save(tmp_path / "unlicensed") / "README.md"
    assert "license:" not in card.read_text()
    assert "Not stated" in card.read_text()
    with refused("license"):
        segmenter.save(tmp_path / "x", license="My own")
    with refused(segmenter.run.path):
        segmenter.save(segmenter.run.path)
    for name in ("calibration.json", "evaluation.json"):  # of a run that was saved there before
        (folder / name).write_text("{}")
    segmenter.save(folder)
    assert not (folder / "calibration.json").exists()
    assert (folder / "evaluation.json").exists() == (segmenter.run.path / "evaluation.json").exists()
