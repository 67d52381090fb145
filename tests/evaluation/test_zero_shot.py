"""Calibration by validation alone, and the zero-shot report against loops over frames."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import shutil
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import fact_clip
from fact_clip import metrics
from fact_clip.config import Config
from fact_clip.datasets.dataset import Dataset
from fact_clip.decoding import frame_scores
from fact_clip.decoding.calibration import factor_frames
from fact_clip.evaluation import zero_shot
from fact_clip.evaluation.calibration import GAMMAS, calibrate
from fact_clip.evaluation.record import Record
from fact_clip.evaluation.scored_videos import ScoredVideos, validation_videos
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT
from fact_clip.runs.run import LoadedRun, Run
from fact_clip.training import evaluate, train
from fact_clip.unseen.choice import lost_factors

from ..refusals import refused
from ..small import held_out

SETTINGS = {
    "data": {"holdout": "zero_shot/A.json", "validation": 0.25, "validation_part": 1},
    "model": {"head": "text"},
    "text": {"encoder": "hash:32", "parts": ["factors"]},
    "train": {"epochs": 12, "lr": 4e-3, "batch_size": 1},
    "decode": {"prior_weight": 0.1},
}


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zero_shot") / "run"
    train(tiny(**SETTINGS), folder)
    return folder


@pytest.fixture
def segmenter(run) -> Scorer:
    return fact_clip.load(run).scorer


@pytest.fixture
def dataset(segmenter):
    return Dataset.open(segmenter.run.config.data)


def with_rule(segmenter: Scorer, **keys) -> Scorer:
    config = segmenter.run.config
    decode = config.decode.model_copy(update=keys)
    run = dataclasses.replace(segmenter.run, config=config.model_copy(update={"decode": decode}))
    return Scorer(LoadedRun(run, [segmenter.model]))


def predictions(segmenter, dataset, names, calibration) -> list[list[int]]:
    """What a segmenter with this calibration says."""
    used = Scorer(LoadedRun(segmenter.run, [segmenter.model], calibration))
    return [used.predict(dataset.features(name))[0].tolist() for name in names]


def class_mean(truth, guesses, classes) -> float:
    """Frame by frame."""
    shares = []
    for label in classes:
        frames = hits = 0
        for true, guess in zip(truth, guesses, strict=True):
            for t, g in zip(true, guess, strict=True):
                frames += t == label
                hits += t == g == label
        if frames:
            shares.append(100 * hits / frames)
    return sum(shares) / len(shares) if shares else 0.0


def harmonic(seen: float, unseen: float) -> float:
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def group_f1(truth, guesses, group, left_out, overlap) -> float:
    """Exact F1 over the segments whose class is of the group: false positives by the predicted, misses by the true."""
    tp = fp = fn = 0
    for true, guess in zip(truth, guesses, strict=True):

        def cut(labels):
            parts = [(k, {i for i, _ in g}) for k, g in groupby(enumerate(labels), key=lambda pair: pair[1])]
            return [part for part in parts if part[0] not in left_out]

        wanted, used = cut(true), set()
        for label, frames in cut(guess):
            ious = [len(frames & other) / len(frames | other) if label == k else 0.0 for k, other in wanted]
            best = int(np.argmax(ious)) if ious else -1
            if ious and ious[best] >= overlap / 100 and best not in used:
                used.add(best)
                tp += label in group
            else:
                fp += label in group
        fn += sum(label in group for place, (label, _) in enumerate(wanted) if place not in used)
    return 100 * 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0


def trained(dataset):
    return [label for label in dataset.seen if dataset.training_counts[label]]


def groups_of(dataset):
    seen = [label for label in trained(dataset) if label not in dataset.vocabulary.background_indices]
    return seen, list(dataset.unseen)


def test_the_report_is_that_of_loops_over_frames(segmenter, dataset):
    names = dataset.test
    found = zero_shot.zero_shot_figures(ScoredVideos(segmenter, dataset, names))
    truth = [dataset.labels(name).tolist() for name in names]
    seen, unseen = groups_of(dataset)
    assert segmenter.run.config.evaluation.count_background
    left_out = {*dataset.validation_unseen}
    used = segmenter.calibration
    assert (found["gamma"], found["prior_weight"]) == (used.gamma, 0.1)
    ways = {
        "in use": used,
        "gamma 0": dataclasses.replace(used, gamma=0.0),
        "no prior correction": dataclasses.replace(used, prior_weight=0.0),
        "no prior correction, gamma 0": dataclasses.replace(used, prior_weight=0.0, gamma=0.0),
    }
    assert list(found["ways"]) == list(ways)
    for way, calibration in ways.items():
        guesses, figures = predictions(segmenter, dataset, names, calibration), found["ways"][way]
        s, u = class_mean(truth, guesses, seen), class_mean(truth, guesses, unseen)
        assert (figures["S"], figures["U"], figures["H"]) == pytest.approx((s, u, harmonic(s, u)))
        for overlap in (10, 50):
            with_background = [*seen, *dataset.vocabulary.background_indices]
            for title, group in (("seen", with_background), ("unseen", unseen)):
                expected = group_f1(truth, guesses, group, left_out, overlap)
                assert figures[f"{title}_f1@{overlap}"] == pytest.approx(expected)
        hits = sum(t == g for true, guess in zip(truth, guesses, strict=True) for t, g in zip(true, guess, strict=True))
        assert figures["frame_accuracy"] == pytest.approx(100 * hits / sum(map(len, truth)))


def test_the_diagnostics_are_those_of_loops_over_frames(segmenter, dataset):
    names, used = dataset.test, segmenter.calibration
    found = zero_shot.zero_shot_figures(ScoredVideos(segmenter, dataset, names))
    scored = ScoredVideos(segmenter, dataset, names)
    tables = scored.log_score_tables(used)
    guesses = scored.decode(scored.candidates.calibrated(used))
    assert [table.argmax(1).tolist() for table in tables] == [guess.tolist() for guess in guesses]  # no switching price

    seen, unseen = groups_of(dataset)
    free = [*unseen, *dataset.validation_unseen]
    margins = {True: [], False: []}
    for name, table in zip(names, scored.log_score_tables(dataclasses.replace(used, gamma=0.0)), strict=True):
        for label, row in zip(dataset.labels(name), table, strict=True):
            best = max(row[c] for c in free) - max(row[c] for c in range(len(row)) if c not in free)
            if label in (*seen, *unseen):
                margins[label in unseen].append(best)
    pairs = [(a > b) + (a == b) / 2 for a in margins[True] for b in margins[False]]
    assert found["diagnostics"]["auroc"] == pytest.approx(100 * sum(pairs) / len(pairs))

    wrong = [
        (t, g)
        for name, guess in zip(names, guesses, strict=True)
        for t, g in zip(dataset.labels(name).tolist(), guess.tolist(), strict=True)
        if t in unseen and t != g
    ]
    called = sum(g in trained(dataset) for _, g in wrong)
    assert found["diagnostics"]["called_seen"] == pytest.approx(100 * called / len(wrong))
    for label in unseen:
        own = [dataset.vocabulary.names[g] for t, g in wrong if t == label]
        name = dataset.vocabulary.names[label]
        frames = sum(int((dataset.labels(video) == label).sum()) for video in names)
        row = found["unseen"][name]["called"]
        most = max(map(own.count, own), default=0)
        assert row is None if not own else row["share"] == pytest.approx(100 * most / frames)
        assert not own or own.count(row["name"]) == most


@pytest.mark.parametrize("actions", [None, ["insert bolt", "grasp nut", "polish shaft"]])
def test_an_evaluation_runs_the_model_once_a_video(run, segmenter, dataset, monkeypatch, actions):
    """The outputs behind the predictions are those behind the report, whose figures are the same as from new ones."""
    calls, forward = [], FACT.forward
    monkeypatch.setattr(FACT, "forward", lambda self, x, **keys: calls.append(x.shape) or forward(self, x, **keys))
    result = evaluate(run, actions=actions).details
    frames = [-(-len(dataset.labels(name)) // 4) for name in dataset.test]
    assert calls == [(1, length, 8) for length in frames]
    monkeypatch.undo()
    expected = zero_shot.zero_shot_figures(ScoredVideos(segmenter, dataset, dataset.test, actions))
    assert json.dumps(result["zero_shot"]) == json.dumps(expected)
    assert result["metrics"]["frame_accuracy"] == pytest.approx(expected["ways"]["in use"]["frame_accuracy"])


def test_the_curve_is_every_gamma_decoded(segmenter, dataset):
    names, used = dataset.test, segmenter.calibration
    found = zero_shot.zero_shot_figures(ScoredVideos(segmenter, dataset, names))
    truth = [dataset.labels(name).tolist() for name in names]
    seen, unseen = groups_of(dataset)
    points = []
    for gamma in GAMMAS:
        guesses = predictions(segmenter, dataset, names, dataclasses.replace(used, gamma=gamma))
        points.append((class_mean(truth, guesses, seen), class_mean(truth, guesses, unseen)))
    area = sum((u2 - u1) * (s1 + s2) / 2 for (s1, u1), (s2, u2) in pairwise(points)) / 100
    assert found["ausuc"] == pytest.approx(area)
    assert found["best_harmonic_mean"] == pytest.approx(max(harmonic(s, u) for s, u in points))
    assert points[0][1] == 0.0  # the ends are the ends
    assert points[-1][0] == 0.0
    assert list(GAMMAS) == sorted(GAMMAS)
    assert 0.0 in GAMMAS


@pytest.mark.parametrize("penalty", [0.0, 0.7])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("actions", [None, ["insert bolt", "grasp nut", "polish shaft"]])
def test_gammas_decoded_together_are_each_alone_label_by_label(segmenter, dataset, penalty, members, actions):
    asked = with_rule(segmenter, switch_penalty=penalty)
    other = copy.deepcopy(segmenter.model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    asked.models = [segmenter.model, other][:members]
    scored, used = ScoredVideos(asked, dataset, dataset.train, actions), segmenter.calibration
    together = list(scored.decode_each_gamma(used, GAMMAS))
    for place, gamma in enumerate(GAMMAS):
        singly = scored.decode(scored.candidates.calibrated(dataclasses.replace(used, gamma=gamma)))
        for found, alone in zip(together, singly, strict=True):
            assert found[place].tolist() == alone.tolist()


def test_unseen_labels_only_and_each_unseen_class(segmenter, dataset):
    names = dataset.test
    found = zero_shot.zero_shot_figures(ScoredVideos(segmenter, dataset, names))
    unseen = list(dataset.unseen)
    offset = np.full(len(dataset.vocabulary), -np.inf)
    offset[unseen] = 0
    truth, guesses, in_use = [], [], predictions(segmenter, dataset, names, segmenter.calibration)
    for name in names:
        features = dataset.features(name)
        rows = torch.from_numpy(segmenter.run.transform(features)[::4]).unsqueeze(0)
        with torch.no_grad():
            scores = frame_scores(segmenter.model(rows), offset=torch.from_numpy(offset).float())
        best = scores[0].argmax(-1).numpy()
        guesses.append(best.repeat(4)[: len(features)].tolist())
        truth.append(dataset.labels(name).tolist())
    assert found["unseen_labels_only"] == pytest.approx(class_mean(truth, guesses, unseen), abs=1)
    assert set(found["unseen"]) == {dataset.vocabulary.names[label] for label in unseen}
    for label in unseen:
        row = found["unseen"][dataset.vocabulary.names[label]]
        assert row["level"] == "compositional"
        assert row["new"] == []
        assert row["frames"] == sum(true.count(label) for true in truth)
        if row["frames"]:
            assert row["accuracy"] == pytest.approx(class_mean(truth, in_use, [label]))
        else:
            assert row["accuracy"] is None
    assert found["chance"] == pytest.approx(100 / 23)
    assert found["by_level"]["compositional"]["U"] == pytest.approx(found["ways"]["in use"]["U"])
    assert list(found["by_level"]) == ["compositional"]


def test_levels_stand_apart(segmenter, dataset, workbench):
    """With every nut held out its word is new; one class stays compositional."""
    names = dataset.vocabulary.names
    hidden = ["grasp nut", "screw nut with wrench", "tap shaft with mallet"]
    holdout = dataclasses.replace(dataset.holdout, unseen=tuple(hidden), validation_unseen=())
    other = held_out(dataset, holdout)
    found = zero_shot.zero_shot_figures(ScoredVideos(segmenter, other, other.test))
    assert found["by_level"]["new factor"]["classes"] == hidden[:2]
    assert found["by_level"]["compositional"]["classes"] == hidden[2:]
    assert found["unseen"]["grasp nut"]["new"] == [["object", "nut"]]
    truth = [other.labels(name).tolist() for name in other.test]
    guesses = predictions(segmenter, other, other.test, segmenter.calibration)
    for level in found["by_level"].values():
        own = [names.index(name) for name in level["classes"]]
        assert level["U"] == pytest.approx(class_mean(truth, guesses, own))
        assert level["S"] == pytest.approx(found["ways"]["in use"]["S"])
        assert level["H"] == pytest.approx(harmonic(level["S"], level["U"]))


def test_by_factor_counts_frames_whose_predicted_class_has_it(segmenter, dataset):
    vocabulary = dataset.vocabulary
    true = vocabulary.encode(["grasp nut", "grasp bolt", "tap gear with mallet", "no action"])
    guess = vocabulary.encode(["grasp bolt", "grasp bolt", "tap shaft with mallet", "grasp nut"])
    found = zero_shot.by_factor(vocabulary, [np.append(true, -1)], [np.append(guess, 0)])
    assert found == {
        "verb": {"grasp": {"frames": 2, "accuracy": 100.0}, "tap": {"frames": 1, "accuracy": 100.0}},
        "object": {
            "gear": {"frames": 1, "accuracy": 0.0},
            "bolt": {"frames": 1, "accuracy": 100.0},
            "nut": {"frames": 1, "accuracy": 0.0},
        },
        "tool": {"mallet": {"frames": 1, "accuracy": 100.0}},
    }


def between(gamma):
    """Those of the grid beside a gamma of it, and what lies between them in steps of an eighth."""
    place = GAMMAS.index(gamma)
    ends = [*GAMMAS[max(place - 1, 0) : place], gamma, *GAMMAS[place + 1 : place + 2]]
    return [low + step * (high - low) / 8 for low, high in itertools.pairwise(ends) for step in range(9)]


def calibrated(scorer: Scorer, dataset: Dataset):
    return calibrate([ScoredVideos(scorer, dataset, dataset.validation)])


def test_gamma_is_read_off_the_validation_videos(segmenter, dataset):
    names = dataset.validation
    truth = [dataset.labels(name).tolist() for name in names]
    assert any(label in dataset.validation_unseen for true in truth for label in true)
    assert not any(label in dataset.unseen for true in truth for label in true)
    seen = groups_of(dataset)[0]
    found = calibrated(with_rule(segmenter, gamma_cost=0.3), dataset)
    start = dataclasses.replace(found, gamma=0.0)
    assert start.prior_weight == 0.1
    assert len(trained(dataset)) < len(dataset.seen)  # a class that no training video shows is not seen
    assert start.seen == dataset.names_of(trained(dataset))
    assert start.frames == factor_frames(dataset.vocabulary, dataset.training_counts)

    def accuracy(gamma):
        guesses = predictions(segmenter, dataset, names, dataclasses.replace(start, gamma=gamma))
        return class_mean(truth, guesses, seen)

    def largest_within(curve):
        return max(gamma for gamma, value in curve.items() if value >= 0.7 * curve[0.0] - 1e-9)

    coarse = {gamma: accuracy(gamma) for gamma in GAMMAS}
    assert coarse[0.0] > 0
    fine = {0.0: coarse[0.0]} | {gamma: accuracy(gamma) for gamma in between(largest_within(coarse))}
    assert found.gamma == pytest.approx(largest_within(fine), abs=1e-9)
    assert segmenter.calibration == calibrated(with_rule(segmenter), dataset)  # what training wrote


def test_the_posterior_is_that_of_validation_videos_and_the_frames_those_of_training(segmenter, dataset):
    found = calibrated(with_rule(segmenter), dataset)
    plain, total, frames = Scorer(LoadedRun(segmenter.run, [segmenter.model])), 0.0, 0
    for name in dataset.validation:
        rows = torch.from_numpy(plain.run.transform(dataset.features(name))[::4]).unsqueeze(0)
        with torch.no_grad():
            output = plain.model(rows)
        table = frame_scores(output, blocks=segmenter.run.config.decode.blocks)[0].double().numpy()
        total, frames = total + table.sum(0), frames + len(table)
    names = dataset.vocabulary.names
    posterior = np.log(0.995 * total / frames + 0.005 / len(names))
    learned = [0] * len(names)
    for name in dataset.train:
        for label in dataset.labels(name).tolist():
            learned[label] += label >= 0
    for place, name in enumerate(names):
        if name in dataset.vocabulary.background:
            assert found.prior[name] == 0
        elif learned[place]:
            share = np.log(learned[place] / sum(learned))
            assert found.prior[name] == pytest.approx((share + posterior[place]) / 2, abs=1e-4)
    assert tuple(found.prior) == names


def test_test_labels_have_no_say(run, segmenter, workbench, tmp_path):
    """Other labels in the test videos, and other test-unseen labels elsewhere, leave the calibration as it is."""
    copy = Path(shutil.copytree(workbench, tmp_path / "data"))
    config = segmenter.run.config.data.model_copy(update={"root": str(copy)})
    before, unseen = Dataset.open(config), json.loads((copy / "zero_shot/A.json").read_text())["unseen"]
    swap = dict(zip(unseen, [*unseen[1:], unseen[0]], strict=True))
    for path in (copy / "groundTruth").iterdir():
        lines = path.read_text().splitlines()
        lines = lines[::-1] if path.stem in before.test else [swap.get(line, line) for line in lines]
        path.write_text("\n".join(lines) + "\n")
    after = Dataset.open(config)
    assert (after.train, after.validation, after.test) == (before.train, before.validation, before.test)
    assert calibrated(segmenter, after) == calibrated(segmenter, before)


def test_without_validation_unseen_frames(segmenter, dataset):
    holdout = dataclasses.replace(dataset.holdout, validation_unseen=())
    other = held_out(dataset, holdout)
    assert calibrated(segmenter, other).gamma >= 0


def test_candidates_in_evaluation(run, tmp_path):
    """Labels that are no candidates are errors, new names are wrong everywhere, and the plain result stays."""
    run = Path(shutil.copytree(run, tmp_path / "run"))
    whole = evaluate(run).details
    written = (run / "evaluation.json").read_text()
    actions = ["screw nut with wrench", "grasp nut", "polish nut"]
    result = evaluate(run, actions=actions).details
    assert (run / "evaluation.json").read_text() == written
    assert json.loads((run / "evaluation_actions.json").read_text())["candidates"] == result["candidates"]
    found = result["candidates"]
    assert found["names"] == [*actions, "no action"]
    assert found["new"] == ["polish nut"]
    dataset = Dataset.open(fact_clip.load(run).run.config.data)
    labels = np.concatenate([dataset.labels(name) for name in dataset.test])
    kept = dataset.vocabulary.encode(["screw nut with wrench", "grasp nut", "no action"])
    assert found["frames_left_out"] == int((~np.isin(labels, kept)).sum())
    assert len(found["left_out"]) == 20
    lines = [(run / "predictions/test_actions" / f"{name}.txt").read_text().splitlines() for name in dataset.test]
    assert {line for each in lines for line in each} <= {*actions, "no action"}
    names = [dataset.vocabulary.names[label] for label in labels]
    hits = sum(a == b for a, b in zip(names, [line for each in lines for line in each], strict=True))
    assert result["metrics"]["frame_accuracy"] == pytest.approx(100 * hits / len(names))
    assert len(result["per_class"]) == 24
    assert result["zero_shot"]["chance"] == 25.0
    assert result["zero_shot"]["ways"]["in use"]["frame_accuracy"] == pytest.approx(100 * hits / len(names))
    # the whole vocabulary as candidates is the plain result
    again = evaluate(run, actions=dataset.vocabulary.names).details
    assert again["metrics"] == whole["metrics"]
    assert again["zero_shot"] == whole["zero_shot"]
    assert again["candidates"]["frames_left_out"] == 0


@pytest.fixture(scope="module")
def parts(tiny, tmp_path_factory) -> Path:
    """Two members that validate on different videos, and by different classes."""
    folder = tmp_path_factory.mktemp("parts") / "run"
    settings = {**SETTINGS, "train": {"epochs": 10, "lr": 8e-3, "batch_size": 1, "members": 2, "member_parts": True}}
    settings["data"] = {**SETTINGS["data"], "standardize": True, "validation_unseen": "auto"}
    train(tiny(**settings), folder)
    return folder


def test_an_interrupted_ensemble_with_parts_goes_on_by_its_own_recipe(parts, tmp_path, caplog):
    out = tmp_path / "run"
    shutil.copytree(parts, out)
    train(out / "config.yaml", out, overrides=["train.epochs=11"], resume=True)
    for member in (".", "members/2"):
        before, after = Run.read(parts / member), Run.read(out / member)
        assert after.config.data.validation_unseen == before.config.data.validation_unseen
        assert after.config.train.epochs == 11
    evaluate(out, "validation")
    assert "the other members were trained on these videos" in caplog.text


def test_members_with_parts_learn_every_video(parts):
    run, member = Run.read(parts), Run.read(parts / "members/2")
    first, second = (Dataset.open(each.config.data) for each in (run, member))
    assert first.validation
    assert not {*first.validation} & {*second.validation}
    assert {*first.train, *second.train} == {*first.train, *first.validation}
    assert run.transform.mean is not None
    np.testing.assert_array_equal(run.transform.mean, member.transform.mean)
    np.testing.assert_array_equal(run.transform.std, member.transform.std)


def test_each_member_hides_other_classes_and_together_they_learn_all(parts):
    run, member = Run.read(parts), Run.read(parts / "members/2")
    first, second = (Dataset.open(each.config.data) for each in (run, member))
    assert first.validation_unseen
    assert second.validation_unseen
    assert not {*first.validation_unseen} & {*second.validation_unseen}
    assert first.training_counts[list(first.validation_unseen)].sum() == 0
    assert second.training_counts[list(first.validation_unseen)].min() > 0
    used = fact_clip.load(parts).scorer.calibration
    assert {*used.seen} == {*first.names_of({*trained(first)} | {*trained(second)})}
    assert not {*used.seen} & {*first.unseen_names}
    figures = evaluate(parts).details["zero_shot"]
    assert (figures["validation_unseen"], figures["seen"]) == ([], list(used.seen))


def test_figures_of_members_take_the_training_frames_of_all(parts, tmp_path):
    """What only the second member learns is seen, for levels too."""
    run, member = Run.read(parts), Run.read(parts / "members/2")
    first, second = (Dataset.open(each.config.data) for each in (run, member))
    figures = evaluate(parts).details["zero_shot"]
    frames = np.maximum(first.training_counts, second.training_counts)
    assert (frames > first.training_counts).any()
    record = Record.load(parts / "evaluation.npz")
    assert record.training_frames.tolist() == frames.tolist()

    vocabulary = first.vocabulary
    truth = [video.labels["truth"] for video in record.videos]
    prediction = [video.labels["prediction"] for video in record.videos]
    seen = vocabulary.encode(figures["seen"]).tolist()
    share = metrics.share_called_seen(truth, prediction, first.unseen, seen)
    assert figures["diagnostics"]["called_seen"] == share
    lost = lost_factors(vocabulary, first.unseen_names, frames)
    for name, row in figures["unseen"].items():
        assert row["new"] == [list(factor) for factor in lost[name]]

    # A closed head has no calibration to take the seen classes from.
    closed = Path(shutil.copytree(parts, tmp_path / "run"))
    (closed / "calibration.json").unlink()
    assert evaluate(closed).details["zero_shot"]["seen"] == figures["seen"]


def test_gamma_of_members_is_read_off_what_each_did_not_learn(parts):
    run, member = Run.read(parts), Run.read(parts / "members/2")
    used = fact_clip.load(parts).scorer.calibration

    alone = [(Dataset.open(each.config.data), Scorer(LoadedRun(each, [each.model()]))) for each in (run, member)]

    def accuracy(gamma):
        truth, guesses, all_seen = [], [], set()
        for dataset, scorer in alone:
            hidden, seen = {*dataset.validation_unseen}, dataset.names_of(trained(dataset))
            all_seen |= {*trained(dataset)}
            truth += [
                [-1 if label in hidden else label for label in dataset.labels(name).tolist()]
                for name in dataset.validation
            ]
            calibration = dataclasses.replace(used, gamma=gamma, seen=seen)
            guesses += predictions(scorer, dataset, dataset.validation, calibration)
        return class_mean(truth, guesses, sorted(all_seen - {*dataset.vocabulary.background_indices}))

    least = 0.85 * accuracy(0.0) - 1e-9
    assert least > 0
    coarse = max(gamma for gamma in GAMMAS if accuracy(gamma) >= least)
    fine = max(gamma for gamma in between(coarse) if accuracy(gamma) >= least)
    assert used.gamma == pytest.approx(fine, abs=1e-9)


@pytest.mark.parametrize("folder", ["run", "parts"])
def test_another_decoding_is_calibrated_again(folder, request, tmp_path):
    run = Path(shutil.copytree(request.getfixturevalue(folder), tmp_path / "run"))
    stored = fact_clip.load(run).scorer.calibration
    overrides = ["decode.prior_weight=0.4", "decode.gamma_cost=0.3"]
    config = Config.load(run / "config.yaml", overrides)
    opened = dataclasses.replace(Run.read(run), config=config)
    repeated = calibrate(validation_videos(opened, opened.models(), Dataset.open(config.data), "cpu"))
    figures = evaluate(run, overrides=overrides).details["zero_shot"]
    assert (figures["gamma"], figures["prior_weight"]) == (repeated.gamma, 0.4)
    assert evaluate(run).details["zero_shot"]["gamma"] == stored.gamma
    assert fact_clip.load(run).scorer.calibration == stored  # the run keeps its own


def test_each_background_class_can_be_predicted(tmp_path):
    """Two of them: a head that reads text tells them apart by their names."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(4, 8))
    names = ["start", "cut ham", "stir egg", "end"]
    arrays, labels = {}, {}
    for number in range(6):
        order = np.repeat([0, 1, 2, 1, 2, 3], 20)
        arrays[f"v{number}"] = (centres[order] + 0.3 * rng.normal(size=(120, 8))).astype(np.float32)
        labels[f"v{number}"] = [names[label] for label in order]
    background = ("start", "end")
    data = fact_clip.datasets.from_arrays(
        arrays, labels, test=["v5"], class_names=names, fps=10.0, background=background
    )
    settings = ["model.head=text", "text.encoder=hash:32", "train.epochs=25", "train.lr=2e-3", "data.validation=0"]
    settings += ["decode.choose=false", "augment.channels=0", "model.blocks=i", "model.input.frame_layers=3"]
    with refused("text.parts"):
        train("own", tmp_path / "factors", data=data, overrides=[*settings, "text.parts=[factors]", GRAMMAR])
    train("own", tmp_path / "run", data=data, overrides=[*settings, "text.parts=[sentence]"])
    rows = {row["name"]: row for row in evaluate(tmp_path / "run", data=data).per_class}
    assert rows["end"]["accuracy"] > 80
    assert rows["start"]["accuracy"] > 80


GRAMMAR = "data.grammar={verb} {object}"


def test_factors_are_those_of_the_run(run, dataset, tmp_path):
    """Data without factors, in memory, with other decoding: levels, collapse and costs are those of the files."""
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    overrides = ["decode.switch_penalty=2", f"data.holdout={dataset.root / 'zero_shot/A.json'}"]
    of_files = evaluate(copied, overrides=overrides).details["zero_shot"]
    labels = {name: dataset.vocabulary.decode(dataset.all_labels(name)) for name in dataset.videos}
    data = fact_clip.datasets.from_arrays(
        {name: np.asarray(dataset.features(name)) for name in dataset.videos},
        labels,
        train=dataset.learning,
        test=dataset.test,
        class_names=dataset.vocabulary.names,
        background=dataset.vocabulary.background,
        fps=dataset.fps,
    )
    in_memory = evaluate(copied, overrides=overrides, data=data).details["zero_shot"]
    assert list(of_files["by_level"]) != ["new factor"]
    for key in ("by_level", "by_factor", "diagnostics"):
        assert in_memory[key] == of_files[key]


def test_f1_of_groups_follows_the_profile(segmenter, dataset):
    config = segmenter.run.config
    found = {}
    for profile in ("fact", "ltcontext"):
        evaluation = config.evaluation.model_copy(update={"profile": profile})
        run = dataclasses.replace(segmenter.run, config=config.model_copy(update={"evaluation": evaluation}))
        scorer = Scorer(LoadedRun(run, [segmenter.model], segmenter.calibration))
        found[profile] = zero_shot.zero_shot_figures(ScoredVideos(scorer, dataset, dataset.test))["ways"]["in use"]
    truth = [dataset.labels(name) for name in dataset.test]
    guesses = predictions(segmenter, dataset, dataset.test, segmenter.calibration)
    learned = {*trained(dataset), *dataset.unseen, *dataset.vocabulary.background_indices}
    whole = metrics.evaluate(
        truth,
        [np.array(guess) for guess in guesses],
        background=dataset.vocabulary.background_indices,
        unseen=dataset.unseen,
        also_unseen=[label for label in range(len(dataset.vocabulary)) if label not in learned],
        count_background=True,
        profile="ltcontext",
    )
    keys = [f"{group}_f1@{overlap}" for group in ("seen", "unseen") for overlap in (10, 25, 50)]
    assert [found["ltcontext"][key] for key in keys] == [whole[key] for key in keys]
    assert [found["fact"][key] for key in keys] != [whole[key] for key in keys]
