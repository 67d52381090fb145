"""The front door: features in, segments out."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import fact_clip
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import frame_scores
from fact_clip.inference.segmenter import Segmenter
from fact_clip.models import BlockOutput, Output
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, train

from ..refusals import refused
from ..small import segmenter_of


@pytest.fixture(scope="module")
def segmenter(tiny_run) -> Segmenter:
    return fact_clip.load(tiny_run)


@pytest.fixture
def video(workbench) -> Path:
    return workbench / "features" / "person1_video1.npy"


def test_array_and_path_give_the_same(segmenter, video):
    features = np.load(video)
    found = segmenter.segment(features)
    assert segmenter.segment(video) == segmenter.segment(str(video)) == found
    assert found.n_frames == len(features)
    assert found.fps == segmenter.scorer.fps == 15.0
    assert set(found.transcript) <= set(segmenter.vocabulary.names)
    assert segmenter.segment(features.astype(np.float64)) == found
    assert features.tobytes() == np.load(video).tobytes()  # left as they were


def test_confidence_is_a_share(segmenter, video):
    segments = segmenter.segment(video).segments
    assert all(0 <= segment.confidence <= 1 for segment in segments)
    _, scores = segmenter.scorer.predict(np.load(video))
    first = segments[0]
    learned = segmenter.scorer.confidence
    logits = np.log(scores / (1 - scores))
    expected = 1 / (1 + np.exp(-(learned.slope * logits + learned.intercept)))
    assert first.confidence == pytest.approx(expected[: first.stop].mean(), abs=1e-6)
    plain = segmenter_of(segmenter.run, segmenter.scorer.model)  # as a run of before, without confidence.json
    assert plain.segment(np.load(video))[0].confidence == pytest.approx(scores[: first.stop].mean(), abs=1e-6)


class Fixed(torch.nn.Module):
    """A model of one block without tokens' say: the frame scores are the logits that it is given."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def embed(self, features):
        return features

    def forward(self, features, mask=None, text=None, transcript=None, is_embedded=False):
        n_frames = features.shape[1]
        logits = self.logits.expand(1, n_frames, -1)
        tokens = torch.zeros(1, 1, self.logits.shape[-1] + 1)
        block = BlockOutput(torch.zeros(1, n_frames, 1), logits, torch.zeros(1, 1, 1), tokens)
        mask = torch.ones(1, n_frames, dtype=torch.bool)
        return Output((block,), mask, torch.ones(1, 1, dtype=torch.bool), None, 1.0)


def test_candidates_share_the_score_and_the_background_is_one_always(segmenter, video):
    logits = torch.randn(23, generator=torch.Generator().manual_seed(3))
    fixed, chosen = segmenter_of(segmenter.run, Fixed(logits)), ["screw nut with wrench", "place gear"]
    labels, confidence = fixed.scorer.predict(np.load(video), actions=chosen)
    index = segmenter.vocabulary.encode(["no action", *chosen])
    shares = np.exp(logits[index].numpy()) / np.exp(logits[index].numpy()).sum()
    assert set(labels.tolist()) == {index[shares.argmax()]}
    np.testing.assert_allclose(confidence, shares.max(), rtol=1e-5)
    assert set(segmenter.segment(video, actions=["place gear"]).to_frames()) <= {"place gear", "no action"}
    assert segmenter.segment(video, actions=segmenter.vocabulary.names) == segmenter.segment(video)


def test_a_candidate_whose_score_has_vanished_is_still_named(segmenter, video):
    """Scores of 1 for one class and of exactly 0 in float32 for all others."""
    logits = torch.full((23,), -500.0)
    logits[segmenter.vocabulary.index("tap gear with mallet")] = 0.0
    sure = segmenter_of(segmenter.run, Fixed(logits))
    assert sure.segment(video).transcript == ("tap gear with mallet",)
    found = sure.segment(video, actions=["place gear", "grasp nut"])
    assert set(found.transcript) <= {"place gear", "grasp nut", "no action"}
    assert [segment.confidence for segment in found] == pytest.approx([1 / 3] * len(found))  # nothing tells them apart


def test_the_same_as_in_evaluation(tiny_run, workbench, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    result = evaluate(run).details
    segmenter = fact_clip.load(run)
    assert result["videos"] == list(Dataset.open(segmenter.run.config.data).test)
    for name in result["videos"]:
        written = (run / "predictions" / "test" / f"{name}.txt").read_text().splitlines()
        assert segmenter.segment(workbench / "features" / f"{name}.npy").to_frames() == written


@pytest.mark.parametrize("n_frames", [1, 2, 3, 400])
def test_a_stride_gives_a_label_to_every_frame(n_frames, tiny, tmp_path_factory, video):
    folder = tmp_path_factory.getbasetemp() / "stride3"
    if not folder.is_dir():
        train(tiny(data={"stride": 3}, train={"epochs": 1}), folder)
    segmenter, features = fact_clip.load(folder), np.load(video)[:n_frames]
    labels, confidence = segmenter.scorer.predict(features)
    assert segmenter.segment(features).n_frames == len(labels) == len(confidence) == n_frames
    of_row = np.arange(n_frames) // 3 * 3  # what rows 0, 3, 6, ... get holds until the next one
    assert np.array_equal(labels, labels[of_row])
    assert np.array_equal(confidence, confidence[of_row])


@pytest.mark.parametrize("n_frames", [1, 2, 3, 100])
def test_interleaved_strides_give_each_frame_the_score_of_its_own_row(n_frames, tiny_run, video):
    trained, features = fact_clip.load(tiny_run), np.load(video)[:n_frames]
    config = trained.run.config
    config = config.model_copy(update={"data": config.data.model_copy(update={"stride": 3, "interleave": True})})
    segmenter = segmenter_of(dataclasses.replace(trained.run, config=config), trained.scorer.model)
    labels, confidence = segmenter.scorer.predict(features)
    assert len(labels) == len(confidence) == n_frames
    rows = torch.from_numpy(trained.run.transform(features))
    for start in range(min(3, n_frames)):
        with torch.no_grad():  # the tiny run has no price for a change, so each frame stands alone
            scores = frame_scores(trained.scorer.model(rows[None, start::3]))[0]
        np.testing.assert_array_equal(labels[start::3], scores.argmax(-1))
        np.testing.assert_allclose(confidence[start::3], scores.amax(-1), atol=1e-6)


def test_features_stored_channels_first(tiny, workbench, video, tmp_path):
    """The layout of the training data is that of the files that are segmented."""
    copy = Path(shutil.copytree(workbench, tmp_path / "data"))
    for path in (copy / "features").iterdir():
        np.save(path, np.load(path).T)
    train(tiny(data={"root": str(copy), "layout": "DT"}, train={"epochs": 1}), tmp_path / "run")
    segmenter = fact_clip.load(tmp_path / "run")
    assert segmenter.segment(copy / "features" / video.name) == segmenter.segment(np.load(video))
    with refused("person1_video1.npy"):
        segmenter.segment(video)


@pytest.mark.parametrize("features", [np.zeros((40, 7)), np.zeros(8), np.zeros((0, 8)), np.full((40, 8), np.nan)])
def test_features_that_do_not_fit(segmenter, tmp_path, features):
    with refused("features"):
        segmenter.segment(features)
    np.save(tmp_path / "x.npy", features)
    with refused("x.npy"):
        segmenter.segment(tmp_path / "x.npy")


def test_a_transcript_is_given_exactly_where_it_is_read(segmenter, video, tiny, tmp_path):
    with refused("transcript"):
        segmenter.segment(video, transcript=["no action"])
    train(tiny(model={"transcript": True}, loss={"match": "seq"}, train={"epochs": 1}), tmp_path / "run")
    aligning = fact_clip.load(tmp_path / "run")
    with refused("transcript"):
        aligning.segment(video)
    order = ["no action", "grasp gear", "place gear"]
    found = aligning.segment(video, transcript=order)
    assert set(found.transcript) <= set(order)
    assert all(0 <= segment.confidence <= 1 for segment in found)


def test_models_of_every_head_and_block_segment_a_single_frame(tiny, tmp_path):
    for number, model in enumerate(({"blocks": "iuU"}, {"blocks": "IuU", "head": "verb-noun"}, {"blocks": "i"})):
        train(tiny(model=model, train={"epochs": 1}), tmp_path / str(number))
        segmenter = fact_clip.load(tmp_path / str(number))
        assert segmenter.segment(np.zeros((1, 8), np.float32)).n_frames == 1
        assert Run.read(tmp_path / str(number)).classes == segmenter.scorer.model.classes


def test_many_inputs_one_by_one(segmenter, workbench):
    paths = sorted((workbench / "features").glob("*.npy"))[:3]
    calls = []
    results = segmenter.segment_all(paths, progress=lambda *call: calls.append(call))
    first = next(results)
    assert calls == [(0, 3, paths[0].name)]  # nothing else has been read yet
    assert [first, *results] == [(path, segmenter.segment(path)) for path in paths]
    assert calls == [(done, 3, path.name) for done, path in enumerate(paths)]


def test_bad_inputs_are_handed_over_and_the_others_go_on(segmenter, video, tmp_path, caplog):
    failed: list[tuple[Path, fact_clip.InputError]] = []
    paths = [tmp_path / "none.npy", video, tmp_path / "neither.npy"]
    with caplog.at_level("INFO", logger="fact_clip.inference"):
        results = list(segmenter.segment_all(paths, failed=lambda path, error: failed.append((path, error))))
    assert results == [(video, segmenter.segment(video))]
    assert [path for path, _ in failed] == [paths[0], paths[2]]
    assert all(str(error.where) == str(path) for path, error in failed)
    assert [message.split(",")[0] for message in caplog.messages] == ["segmenting: 1 of 3", "segmenting: 2 of 3"]


def test_what_is_background_goes_with_the_result(segmenter, video, tmp_path):
    found = segmenter.segment(video)
    assert found.background == segmenter.vocabulary.background == ("no action",)
    assert "no action" not in found.save(tmp_path / "a.csv").read_text()
    assert [each.label for each in found.foreground] == [each for each in found.transcript if each != "no action"]


def test_a_rate_and_windows_are_given_in_seconds(tiny_run):
    assert fact_clip.load(tiny_run, window=2.0).scorer.window == 30
    with refused("fps"):
        fact_clip.load(tiny_run, fps=5.0)


def test_arrays_pairs_and_generators(segmenter, video):
    features = np.load(video)
    expected = segmenter.segment(features)
    assert list(segmenter.segment_all([("a", features), ("b", features)])) == [("a", expected), ("b", expected)]
    ((array, result),) = segmenter.segment_all([features])
    assert array is features
    assert result == expected
    read = []

    def endless():
        while True:
            read.append("x")
            yield "x", features

    results = segmenter.segment_all(endless())
    assert next(results) == ("x", expected)
    assert read == ["x"]
    failed = []
    pairs = [("bad", features[:, :2]), ("good", features)]
    assert len(list(segmenter.segment_all(pairs, failed=lambda *call: failed.append(call)))) == 1
    assert failed[0][0] == "bad"
    with refused("inputs"):
        list(segmenter.segment_all([("a", [[1.0]])]))
    with refused("vocabulary"):  # a wrong name is no fault of an input
        list(segmenter.segment_all(pairs, ["typo"], failed=lambda *call: failed.append(call)))
    assert len(failed) == 1


def test_a_segmenter_is_opened_again_from_its_pickle(tiny_run, video):
    segmenter = fact_clip.load(tiny_run, "cpu", window=2.0)
    content = pickle.dumps(segmenter)
    assert len(content) < 1000  # no weights
    again = pickle.loads(content)
    assert again.scorer.window == segmenter.scorer.window == 30
    assert again.segment(video) == segmenter.segment(video)
    with pytest.raises(TypeError):
        pickle.dumps(Segmenter(segmenter.scorer))
