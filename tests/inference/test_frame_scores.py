"""Scores of frames, ranked candidates, and the candidates that come after the label of a segment."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.core.clock import Clock
from fact_clip.core.segments import Alternative

from ..refusals import refused


def test_ranks_and_tables_by_hand():
    array = np.array([[0.2, 0.8], [0.4, 0.6], [1.0, 0.0]], np.float32)
    scores = fact_clip.Scores(array, ("pour", "stir"), np.array([0.0, 0.5, 1.0]))
    assert scores.rank(0, 2) == [Alternative("stir", pytest.approx(0.7)), Alternative("pour", pytest.approx(0.3))]
    assert [each.label for each in scores.rank(2)] == ["pour", "stir"]
    assert [each.label for each in scores.rank()] == ["pour", "stir"]
    table = scores.to_dataframe()
    assert (table.columns.tolist(), table.index.tolist(), table.index.name) == (
        ["pour", "stir"],
        [0, 0.5, 1],
        "seconds",
    )
    assert np.array_equal(table, array)
    assert fact_clip.Scores(array, ("a", "b")).to_dataframe().index.tolist() == [0, 1, 2]
    for place, start, stop in [("start", 3, None), ("stop", 1, 1), ("stop", 0, 4), ("start", -1, 2)]:
        with refused(place):
            scores.rank(start, stop)


def test_the_scores_of_a_run(tiny_run, workbench):
    segmenter = fact_clip.load(tiny_run, "cpu")
    path = workbench / "features/person1_video1.npy"
    scores = segmenter.scores(path)
    found = segmenter.segment(path)
    assert scores.array.shape == (found.n_frames, len(scores.names))
    assert scores.names == segmenter.vocabulary.names
    assert np.allclose(scores.array.sum(1), 1, atol=1e-4)
    assert scores.times[30] == 2.0  # 15 rows a second
    first = found[0]
    ranking = [each for each in scores.rank(first.start, first.stop) if each.label != first.label]
    assert list(first.alternatives) == ranking[: len(first.alternatives)]
    assert len(first.alternatives) == 5

    names = segmenter.vocabulary.names[3:5]
    assert set(segmenter.scores(path, names).names) == {*names, "no action"}
    with refused("features"):
        segmenter.scores(np.zeros((4, 2)))


def test_actions_of_load_are_the_candidates(tiny_run, workbench):
    path = workbench / "features/person1_video1.npy"
    every = fact_clip.load(tiny_run, "cpu")
    names = every.vocabulary.names[3:5]
    some = fact_clip.load(tiny_run, "cpu", actions=names)
    assert some.segment(path) == every.segment(path, names)
    assert some.segment(path, every.vocabulary.names[6:8]) == every.segment(path, every.vocabulary.names[6:8])
    with refused():
        fact_clip.load(tiny_run, "cpu", actions=["fly"])


def test_an_encoder_is_loaded_by_the_same_door(open_clip_folder, video):
    spec = f"clip:local-dir:{open_clip_folder}"
    segmenter = fact_clip.load(spec, "cpu", actions=["stir", "pour milk"], fps=2)
    expected = fact_clip.load(spec, "cpu", actions=["stir", "pour milk"], fps=2).segment(video("a.mp4"))
    assert segmenter.segment(video("a.mp4")) == expected
    scores = segmenter.scores(video("a.mp4"))
    assert (scores.array.shape, scores.names) == ((10, 2), ("stir", "pour milk"))
    with refused("actions"):
        fact_clip.load(spec)
    with refused("window"):
        fact_clip.load(spec, actions=["stir"], window=3.0)
    with refused("nothing"):
        fact_clip.load("nothing", actions=["stir"])


def test_an_encoder_may_be_an_object_or_a_function(open_clip_folder, tiny_run, video):
    from fact_clip.encoders import FunctionEncoder, frame_encoder

    model = frame_encoder(f"clip:local-dir:{open_clip_folder}")
    assert frame_encoder(model) is model
    assert fact_clip.load(model, actions=["stir"], fps=2).segment(video("a.mp4")).transcript == ("stir",)

    def many_means(images: np.ndarray) -> np.ndarray:
        return images.mean((1, 2)).repeat(3, axis=1)[:, :8]

    segmenter = fact_clip.load(tiny_run, "cpu", encoder=many_means)
    assert segmenter.sources.encoder_for("x").name.startswith("many_means@")
    assert segmenter.segment(video("a.mp4")).media == str(video("a.mp4"))
    with refused("encoder"):
        fact_clip.load(tiny_run, encoder=3)
    with refused("encoder 'sum'"):
        fact_clip.load(tiny_run, "cpu", encoder=FunctionEncoder(sum_of_all, "sum")).segment(video("a.mp4"))


def test_a_run_without_a_rate_needs_one_for_videos(tiny_run, tmp_path, video):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "fps": None}))

    def means(images: np.ndarray) -> np.ndarray:
        return images.mean((1, 2)).repeat(3, axis=1)[:, :8]

    segmenter = fact_clip.load(run, "cpu", encoder=means)
    with refused("fps"):
        segmenter.segment(video("a.mp4"))
    with refused("fps"):
        segmenter.stream(math.inf)
    with refused("window"):
        fact_clip.load(run, "cpu", encoder=means, window=3.0)
    assert segmenter.segment(np.zeros((30, 8))).fps is None
    times = np.append(np.arange(30) / 8, 30.0)  # the last row goes on after a pause
    assert segmenter.scorer.score(np.zeros((30, 8)), segmenter.choose(), Clock(times=times)).rate == 2  # of 4 rows
    assert fact_clip.load(run, "cpu", encoder=means, fps=2).segment(video("a.mp4")).fps == 2


def sum_of_all(images: np.ndarray) -> np.ndarray:
    return images.sum()
