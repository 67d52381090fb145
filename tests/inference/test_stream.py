"""Videos that go on: what comes out as final, and that it is the same however the video comes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fact_clip
from fact_clip import Segment, Vocabulary
from fact_clip.decoding import CandidateSet, DecodeSettings, ModelScores, Voters, decode_scores
from fact_clip.decoding.switching import absorb_short, decode_switching
from fact_clip.encoders import frame_encoder
from fact_clip.inference import stream as stream_module
from fact_clip.inference.loading import load
from fact_clip.inference.scorer import FeatureSpec, FrameScorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.training import train
from fact_clip.video.frames import frames

from ..refusals import refused

SHELF = Path(__file__).parents[1] / "shelf" / "1.0.0"
LETTERS = ("a", "b", "c")


class Direct(FrameScorer):
    """A scorer whose features are the scores: a row has the log-probabilities of three classes in its first columns."""

    width = 3
    unlabelled, adjustable = (), ("switch_penalty", "shortest")
    vocabulary, needs = Vocabulary.from_names(LETTERS), FeatureSpec("the test needs")

    def __init__(self, penalty: float = 3.0, step: int = 1, width: int = 3) -> None:
        self.settings, self.window, self.frames_per_score = DecodeSettings(switch_penalty=penalty), 0, step
        self.fps, self.width, self.lengths = 1.0, width, list[int]()

    def choose(self, actions=None) -> CandidateSet:
        return CandidateSet(self.vocabulary)

    def frame_encoder(self, video, precision):
        raise NotImplementedError

    def score_together(self, videos, candidates, clocks, transcript=None, *, rivals=False):
        return [self.score_one(rows, clock) for rows, clock in zip(videos, clocks, strict=True)]

    def score_one(self, features, clock) -> ModelScores:
        self.lengths.append(len(features))
        table = torch.from_numpy(features[:: self.frames_per_score, :3].astype(np.float32)).softmax(-1).unsqueeze(0)
        voters = Voters(table, None, torch.ones(table.shape[:2], dtype=torch.bool))
        return ModelScores(len(features), (voters,), stride=self.frames_per_score, rate=clock.fps, clock=clock)


def rows_of(text: str, margin: float = 2.0) -> np.ndarray:
    """A row a letter, whose class has a score higher by `margin`."""
    return margin * np.array([[letter == name for name in LETTERS] for letter in text], dtype=np.float32)


def pushed(segmenter: Segmenter, parts: Iterable[np.ndarray], **how) -> list[Segment]:
    stream = segmenter.stream(**how)
    return [*(segment for part in parts for segment in stream.push(part)), *stream.finish()]


def walk(n_frames: int, width: int = 8) -> np.ndarray:
    """Features that change slowly, (T, D)."""
    return np.random.default_rng(n_frames).normal(size=(n_frames, width)).astype(np.float32).cumsum(0) / 4


# --- by hand --------------------------------------------------------------------------------------------


def test_a_segment_is_final_when_its_run_has_ended_a_delay_ago():
    """At a delay of four rows and a row a hop, labels up to three rows before the last one are final."""
    stream = Segmenter(Direct(penalty=1.0)).stream(delay=4)
    assert [stream.push(row[None]) for row in rows_of("aaaabbb")] == [[]] * 7
    assert [(run.start, run.stop, run.label) for run in stream.tentative()] == [(0, 4, "a"), (4, 7, "b")]
    assert stream.push(rows_of("b")) == [Segment(0, 4, "a")]  # the label of row 4 has become final
    assert stream.push(rows_of("bcccc")) == [Segment(4, 9, "b")]
    assert stream.finish() == [Segment(9, 13, "c")]
    assert stream.finish() == stream.tentative() == []
    with refused("stream"):
        stream.push(rows_of("a"))


def test_what_speaks_for_a_change_adds_up_over_final_rows():
    """A change costs 15, a row of b gives 2, and three are ahead: b is named four rows late, not never."""
    found = pushed(Segmenter(Direct(penalty=15.0)), [rows_of("a" * 10 + "b" * 12)], delay=4)
    assert [(run.label, run.stop) for run in found] == [("a", 14), ("b", 22)]
    whole = Segmenter(Direct(penalty=15.0)).segment(rows_of("a" * 10 + "b" * 12))
    assert [(run.label, run.stop) for run in whole] == [("a", 10), ("b", 22)]


def test_a_hop_is_a_quarter_of_the_delay_and_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(stream_module, "_CONTEXT", 30)
    scorer = Direct()
    pushed(Segmenter(scorer), np.array_split(walk(100, 3), 7), delay=12)
    assert scorer.lengths == [3, 6, 9, 12, 15, 18, 21, 24, 27, *[30] * 24, 28]  # the last row, and 27 before it
    scorer = Direct()
    pushed(Segmenter(scorer), [walk(100, 3)], delay=20)
    assert max(scorer.lengths) == 40  # twice the delay


def test_rates_delays_and_features_that_do_not_fit(tiny_run):
    segmenter = Segmenter(Direct())
    for delay in (0, -1.0, math.nan, "5", None):
        with refused("delay"):
            segmenter.stream(delay=delay)
    with refused("fps"):
        segmenter.stream(fps=0)
    for delay in (1e308, math.inf):
        assert pushed(segmenter, [rows_of("aab")], delay=delay, fps=0.5)[-1].stop == 3
    stream = fact_clip.load(tiny_run).stream(fps=15.0)
    for features in (np.zeros((3, 7)), np.zeros(8), np.zeros((0, 8)), "x", np.full((2, 8), np.nan)):
        with refused("features"):
            stream.push(features)
    assert stream.finish() == []
    segmenter.scorer.fps = None
    with refused("delay"):  # seconds without a rate
        segmenter.stream()
    with refused("fps"):
        fact_clip.load(tiny_run).stream(fps=10.0)
    with refused("pictures"):  # a run that names no encoder
        fact_clip.load(tiny_run).stream(fps=15.0).push(np.zeros((1, 48, 64, 3), np.uint8))
    with refused("pictures"):
        Segmenter(Direct(width=384), frame_encoder("grid")).stream().push(np.zeros((1, 48, 64, 3)))


def test_decoding_goes_on_from_the_frame_before():
    scores = np.log([[0.4, 0.6], [0.4, 0.6], [0.4, 0.6]])  # 0.405 a row for the second one
    assert decode_switching(scores, 1.3, previous=0).tolist() == [0, 0, 0]
    assert decode_switching(scores, 1.1, previous=0).tolist() == [1, 1, 1]
    prices = np.array([[0.0, 0.8], [2.0, 0.0]])
    assert decode_switching(scores, 1.3, prices, previous=0).tolist() == [1, 1, 1]
    final = np.array([2, 2, 0, 0])
    scores = Direct(step=2).score(rows_of("aabbcccc"), None, fact_clip.core.Clock(fps=1.0))
    labels, confidence = decode_scores(scores, CandidateSet(Direct.vocabulary), DecodeSettings(), final)
    assert labels.tolist() == [2, 2, 0, 0, 2, 2, 2, 2]
    assert confidence[0] < 0.2 < confidence[-1]
    table = rows_of("abbcccc")
    assert absorb_short(np.array([0, 1, 1, 2, 2, 2, 2]), table, 3).tolist() == [1, 1, 1, 2, 2, 2, 2]
    assert absorb_short(np.array([0, 1, 1, 2, 2, 2, 2]), table, 3, n_final=1).tolist() == [0, 0, 0, 2, 2, 2, 2]


# --- properties -----------------------------------------------------------------------------------------


@given(
    text=st.text(LETTERS, min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 59), max_size=8),
    delay=st.sampled_from([1, 2, 5, 9, 30, math.inf]),
    step=st.sampled_from([1, 3]),
    shortest=st.sampled_from([None, 3.0]),
)
def test_how_a_video_is_cut_changes_nothing_and_what_is_final_stays(text, cuts, delay, step, shortest):
    segmenter, rows = Segmenter(Direct(step=step)), rows_of(text)
    how = {"delay": delay, "settings": DecodeSettings(shortest=shortest)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "_CONTEXT", 12)
        result = pushed(segmenter, [rows], **how)
        labels = [segment.label for segment in result for _ in range(segment.duration)]
        assert [segment.start for segment in result] == [0, *(segment.stop for segment in result[:-1])]
        assert len(labels) == len(text)
        stream, ended = segmenter.stream(**how), list[Segment]()
        for part in np.split(rows, sorted({cut for cut in cuts if cut < len(rows)})):
            ended += stream.push(part)
            so_far = [segment.label for segment in (*ended, *stream.tentative()) for _ in range(segment.duration)]
            older = max(len(so_far) - max(delay, step) - (step - 1), 0)
            assert so_far[: int(min(older, 1e9))] == labels[: int(min(older, 1e9))]
            assert [segment.label for segment in ended for _ in range(segment.duration)] == labels[
                : sum(segment.duration for segment in ended)
            ]
        ended += stream.finish()
    assert ended == result
    assert [segment.confidence for segment in ended] == pytest.approx([segment.confidence for segment in result])


@pytest.fixture(scope="module", params=["closed", "closed in windows", "text", "members", "training-free"])
def trained(request, tiny_run) -> Segmenter:
    """A stride of four with context columns; windows; a model that reads names; two members; no training at all."""
    if request.param == "training-free":
        folder = request.getfixturevalue("open_clip_folder")
        return load(f"clip:local-dir:{folder}", "cpu", actions=["stir", "pour milk", "crack egg"], fps=2.0)
    if request.param in ("text", "members"):
        return fact_clip.load(SHELF / request.param, "cpu")
    return fact_clip.load(tiny_run, "cpu", window=4.0 if "windows" in request.param else None, fps=15.0)


def test_an_infinite_delay_gives_what_segment_gives(trained):
    features = walk(157, trained.scorer.width)
    settings = DecodeSettings(reject=0.4, threshold=0.2) if "reject" in trained.scorer.adjustable else None
    for how in (None, settings):
        whole = trained.segment(features, settings=how)
        stream = trained.stream(delay=math.inf, settings=how)
        ended = [segment for part in np.split(features, [1, 50, 51]) for segment in stream.push(part)]
        assert ended == []
        assert tuple(stream.tentative()) == whole.segments
        result = stream.segmentation(stream.finish())
        assert result == whole
        assert [segment.confidence for segment in result] == [segment.confidence for segment in whole]
        assert (result.background, result.new_words) == (whole.background, whole.new_words)


def test_a_model_gives_the_same_however_the_video_is_cut(trained):
    features = walk(61, trained.scorer.width)
    how = {"delay": 2.0, "fps": trained.scorer.fps or 15.0}
    result = pushed(trained, [features], **how)
    assert pushed(trained, np.array_split(features, 9), **how) == result
    assert result[-1].stop == 61


def test_pictures_are_encoded_as_those_of_a_file(video):
    path = video("live.mkv", 150)
    encoder = frame_encoder("grid")
    segmenter = Segmenter(Direct(width=384), encoder)
    images = np.stack(
        [frame.image for frame in frames(path, fps=segmenter.sources.extraction().fps, size=encoder.size)]
    )
    stream = segmenter.stream(delay=math.inf)
    for part in np.array_split(images, 2):
        stream.push(part)
    assert tuple(stream.finish()) == segmenter.segment(path).segments
    large = segmenter.stream(delay=1.0)
    large.push(np.stack([frame.image for frame in frames(path, fps=1.0)]))  # scaled to the size of the encoder
    assert large.finish()[-1].stop == len(images)


# --- real recordings ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("kscgr", "model.head=text"),
        ("kscgr", "train.members=2"),
        ("openpack", "train.members=2"),
        ("salads/split1", "model.head=closed"),
    ],
)
def test_on_real_recordings(name, setting, request, tmp_path):
    """A stream of real features has the segments of the whole recording, for each kind of model after an epoch."""
    root = request.getfixturevalue("kscgr") if name == "kscgr" else request.getfixturevalue("real_data")(name)
    data = [f"data.root={root}", "data.fps=5", "data.layout=TD"]
    config = fact_clip.Config.load("own", [*data, "train.epochs=1", "model.input.frame_layers=3", setting])
    train(config, tmp_path / "run")
    segmenter = fact_clip.load(tmp_path / "run", "cpu")
    features = np.load(sorted((root / "features").glob("*.npy"))[0])
    stream = segmenter.stream(delay=math.inf)
    for part in np.array_split(features, 9):
        assert stream.push(part) == []
    assert stream.segmentation(stream.finish()) == segmenter.segment(features)
    result = pushed(segmenter, [features[:300]], delay=10.0)
    assert pushed(segmenter, np.array_split(features[:300], 17), delay=10.0) == result
