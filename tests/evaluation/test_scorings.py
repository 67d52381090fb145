"""How often videos are scored and files are read while a run is trained and evaluated."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import Config, merged
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.devices.processes import Processes
from fact_clip.evaluation import decoding_choice
from fact_clip.evaluation.learning import learn_calibration
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, resolve, train

from ..small import TINY, ZERO_SHOT

CHOICE = {"decode": {"switch_penalty": 4.0, "order": 1.0, "choose": True}}
PARTS = {"train": {"members": 3, "member_parts": True}, "data": {"validation_unseen": "auto"}}


def figures_that_change_the_decoding(videos, penalty, order, evaluation):
    return np.arange(len(videos.truth)) - penalty - 0.1 * order


class Counts:
    """Counts the passes of models that do not learn, by number of rows, and the reads of files, by name."""

    def __init__(self, monkeypatch):
        self.passes: Counter[int] = Counter()
        self.reads: Counter[str] = Counter()
        self.models = 0
        self.processes = 0
        forward, new_model, open_file, make_processes = FACT.forward, Run.new_model, Path.open, Processes.__init__

        def counted_forward(model, rows, *inputs, **keys):
            if not model.training:
                self.passes[rows.shape[1]] += len(rows)
            return forward(model, rows, *inputs, **keys)

        def counted_model(run, *arguments, **keys):
            self.models += 1
            return new_model(run, *arguments, **keys)

        def counted_open(path, *arguments, **keys):
            self.reads[path.name] += 1
            return open_file(path, *arguments, **keys)

        def counted_processes(processes, device):
            self.processes += 1
            make_processes(processes, device)

        monkeypatch.setattr(Processes, "__init__", counted_processes)
        monkeypatch.setattr(FACT, "forward", counted_forward)
        monkeypatch.setattr(Run, "new_model", counted_model)
        monkeypatch.setattr(Path, "open", counted_open)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_workbench(tmp_path_factory.mktemp("scorings"), videos=24, persons=3, dim=8)


def config_on(root, *groups) -> Config:
    tree = merged(TINY, {"data": {"root": str(root), "validation": 0.5}, "train": {"epochs": 1}})
    for group in groups:
        tree = merged(tree, group)
    return Config.from_tree(tree, "tests")


def passes_of(dataset, names) -> Counter[int]:
    """The passes in which each of some videos is scored once."""
    return Counter(-(-len(dataset.labels(name)) // dataset.config.stride) for name in names)


@pytest.mark.parametrize("groups", [[CHOICE], [ZERO_SHOT], [ZERO_SHOT, CHOICE]], ids=["closed", "zero-shot", "choice"])
def test_after_training_validation_videos_are_scored_once(root, groups, tmp_path, monkeypatch):
    """Calibration, choice of the decoding, calibration with this decoding, and confidences read one scoring."""
    monkeypatch.setattr(decoding_choice, "_figures", figures_that_change_the_decoding)
    plan = resolve(config_on(root, *groups))
    counts = Counts(monkeypatch)
    train(plan, tmp_path / "run")
    once = passes_of(plan.dataset, plan.dataset.validation)
    # The other passes are those of the validation at the end of the only epoch.
    assert counts.passes == once + once
    # One model is trained, and its saved weights are loaded once.
    assert counts.models == 2
    assert counts.processes == 1


def test_validation_videos_of_members_are_scored_once(root, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding_choice, "_figures", figures_that_change_the_decoding)
    train(config_on(root, ZERO_SHOT, CHOICE, PARTS, {"data": {"validation": 0.25}}), tmp_path / "run")
    run = Run.read(tmp_path / "run").without_choice()
    plan = resolve(run.config)
    expected: Counter[int] = Counter()
    for member in run.members():
        expected += passes_of(plan.dataset, member.validation_videos)
    counts = Counts(monkeypatch)
    learn_calibration(run, plan.dataset, plan.device)
    assert counts.passes == expected
    assert counts.models == 3


def test_an_evaluation_with_overrides_scores_each_video_once(root, tmp_path, monkeypatch):
    plan = resolve(config_on(root, ZERO_SHOT, CHOICE))
    train(plan, tmp_path / "run")
    dataset = plan.dataset
    counts = Counts(monkeypatch)
    overrides = ["decode.switch_penalty=2.5", "decode.order=0.5", "evaluation.count_background=false"]
    evaluate(tmp_path / "run", overrides=overrides)
    # Another decoding is calibrated by the validation videos.
    assert counts.passes == passes_of(dataset, dataset.test) + passes_of(dataset, dataset.validation)
    assert counts.models == 1
    assert counts.reads["run.json"] == 1
    assert counts.reads["config.yaml"] == 1


def test_an_evaluation_reads_the_run_once(root, tmp_path, monkeypatch):
    plan = resolve(config_on(root, PARTS, ZERO_SHOT, {"data": {"validation": 0.25}}))
    train(plan, tmp_path / "run")
    counts = Counts(monkeypatch)
    evaluate(tmp_path / "run")
    expected: Counter[int] = Counter()
    for _ in range(3):
        expected += passes_of(plan.dataset, plan.dataset.test)
    assert counts.passes == expected
    assert counts.models == 3
    assert counts.reads["run.json"] == 3


def test_scores_serve_another_decoding(root, tmp_path):
    """The labels equal those of a scorer that is opened with the other decoding."""
    from fact_clip.evaluation.scored_videos import ScoredVideos
    from fact_clip.runs.run import LoadedRun

    plan = resolve(config_on(root, ZERO_SHOT))
    train(plan, tmp_path / "run")
    loaded = Run.open(tmp_path / "run")
    videos = ScoredVideos(Scorer(loaded, "cpu"), plan.dataset, plan.dataset.validation)
    decode = loaded.run.config.decode.model_copy(update={"switch_penalty": 9.0, "order": 2.0})
    same_scores = videos.with_decoding(decode, loaded.calibration)
    run = Run.read(tmp_path / "run", ["decode.switch_penalty=9.0", "decode.order=2.0"])
    opened = LoadedRun(run, loaded.models, loaded.calibration)
    again = ScoredVideos(Scorer(opened, "cpu"), plan.dataset, plan.dataset.validation)
    for labels, expected in zip(same_scores.decode(), again.decode(), strict=True):
        np.testing.assert_array_equal(labels, expected)
    assert same_scores.scores is videos.scores
