"""An ensemble's members: trained side by side, scored as one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import fact_clip
from fact_clip.cli.evaluate import evaluation_text
from fact_clip.decoding import frame_scores
from fact_clip.inference.scorer import Scorer
from fact_clip.models.blocks import block_configs
from fact_clip.runs.run import LoadedRun
from fact_clip.training import Callback, evaluate, train
from fact_clip.training.description import check_free
from fact_clip.training.ensemble import SEED_STEP, Ensemble, member_config
from fact_clip.training.plan import resolve
from fact_clip.training.runs import useful_threads

from ..refusals import refused
from .runs import assert_same, weights


@pytest.fixture(scope="module", autouse=True)
def threads():
    """One, as for each member: sums of another number of threads differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pair(threads, tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pair") / "run"
    train(tiny(train={"epochs": 1, "members": 2, "seed": 3}), folder)
    return folder


def test_each_member_is_the_run_of_its_seed(pair, tiny, tmp_path):
    for seed, folder in ((3, pair), (3 + SEED_STEP, pair / "members" / "2")):
        train(tiny(train={"epochs": 1, "seed": seed}), tmp_path / str(seed))
        assert_same(weights(tmp_path / str(seed)), weights(folder))


def test_a_small_model_trains_with_one_thread(tiny, tmp_path):
    """Rows of the median video times the widest frame branch: below 2 x 32,768 a second thread gains little."""
    plan = resolve(tiny())
    rows = np.median([len(plan.dataset.labels(name)) for name in plan.dataset.train]) / plan.config.data.stride
    assert {block.frame_dim for block in block_configs(plan.config.model)} == {8}
    two = int(np.ceil(2 * 32_768 / (8 * rows)))  # videos a step that are worth two threads
    videos_and_threads = ((1, 1), (two - 1, 1), (two, 2), (3 * two, 6))
    for videos, threads in videos_and_threads:
        assert useful_threads(resolve(tiny(train={"batch_size": videos}))) == threads
    seen = []

    class Seen(Callback):
        def on_epoch(self, state):
            seen.append(torch.get_num_threads())

    torch.set_num_threads(2)
    train(tiny(train={"epochs": 1}), tmp_path / "run", callbacks=[Seen()])
    after = torch.get_num_threads()
    torch.set_num_threads(1)
    assert (seen, after) == ([1], 2)


def test_members_take_the_shares_of_swap_in_turn(tiny):
    one, three = tiny(augment={"swap": 0.5}), tiny(augment={"swap": [0.8, 0, 0.5]})
    assert [member_config(one, number).augment.swap for number in range(3)] == [(0.5,), (0.5,), (0.5,)]
    assert [member_config(three, number).augment.swap[0] for number in range(5)] == [0.8, 0.0, 0.5, 0.8, 0.0]


def test_scores_are_the_normalised_geometric_mean(pair, workbench):
    segmenter, features = fact_clip.load(pair).scorer, np.load(workbench / "features" / "person1_video1.npy")
    assert len(segmenter.models) == 2
    rows = torch.from_numpy(segmenter.run.transform(features)[:: segmenter.run.config.data.stride]).unsqueeze(0)
    with torch.no_grad():
        one, two = (frame_scores(model(rows))[0].double() for model in segmenter.models)
    product = (one * two) ** 0.5
    expected = product / product.sum(1, keepdim=True)
    labels, confidence = segmenter.predict(features)
    rows_of = np.arange(len(features)) // segmenter.run.config.data.stride
    np.testing.assert_array_equal(labels, expected.argmax(1).numpy()[rows_of])
    np.testing.assert_allclose(confidence, expected.amax(1).numpy()[rows_of], atol=1e-6)
    # of one model twice the mean is that model
    twice = Scorer(LoadedRun(segmenter.run, [segmenter.model, segmenter.model]))
    alone = Scorer(LoadedRun(segmenter.run, [segmenter.model]))
    np.testing.assert_array_equal(twice.predict(features)[0], alone.predict(features)[0])


def test_evaluate_scores_the_pair_as_segment_does(pair, workbench, tmp_path):
    run = Path(shutil.copytree(pair, tmp_path / "run"))
    for name in evaluate(run).videos:
        written = (run / "predictions" / "test" / f"{name}.txt").read_text().splitlines()
        assert fact_clip.load(run).segment(workbench / "features" / f"{name}.npy").to_frames() == written


def test_the_evaluation_has_the_figures_of_each_member(pair, tmp_path):
    run = Path(shutil.copytree(pair, tmp_path / "run"))
    result = evaluate(run).details
    alone = []
    for folder in (run, run / "members" / "2"):
        single = Path(shutil.copytree(folder, tmp_path / f"single{len(alone)}"))
        alone.append(evaluate(single, overrides=["train.members=1"]).details["metrics"])
    assert result["members"] == alone
    assert alone[0] != alone[1]
    assert "model 2" in evaluation_text(result)
    assert "members" not in evaluate(run, overrides=["train.members=1"]).details


def test_a_member_that_is_missing_is_an_error(pair, tmp_path):
    run = Path(shutil.copytree(pair, tmp_path / "run"))
    shutil.rmtree(run / "members" / "2")
    with refused("2"):
        fact_clip.load(run)


def test_resume_continues_all_members(pair, tiny, tmp_path):
    run = Path(shutil.copytree(pair, tmp_path / "run"))
    train(tiny(train={"epochs": 2, "members": 2, "seed": 3}), run, resume=True)
    train(tiny(train={"epochs": 2, "members": 2, "seed": 3}), tmp_path / "whole")
    for folder in (Path(), Path("members/2")):
        assert_same(weights(run / folder), weights(tmp_path / "whole" / folder))


def test_resume_adds_members(pair, tiny, tmp_path):
    run = Path(shutil.copytree(pair, tmp_path / "run"))
    first = weights(run)
    train(tiny(train={"epochs": 1, "members": 3, "seed": 3}), run, resume=True)
    assert_same(weights(run), first)
    train(tiny(train={"epochs": 1, "seed": 3 + 2 * SEED_STEP}), tmp_path / "third")
    assert_same(weights(run / "members/3"), weights(tmp_path / "third"))
    assert len(fact_clip.load(run).scorer.models) == 3


def test_members_hide_the_same_groups_by_the_recipe_and_by_the_run(tiny, workbench, tmp_path):
    names = json.loads((workbench / "zero_shot/A.json").read_text())["unseen"]
    data = {"holdout": names, "validation": 0.3, "validation_unseen": "auto"}
    model = {"model": {"head": "text"}, "text": {"encoder": "hash:32", "parts": ["factors"]}}
    recipe = tiny(data=data, **model, train={"members": 3, "member_parts": True})
    groups = []
    for config in (recipe, resolve(recipe).config):
        ensemble = Ensemble(resolve(config), tmp_path / "none")
        groups.append([ensemble.config_of(index).data.validation_unseen for index in range(3)])
    assert groups[0] == groups[1]
    assert groups[0][0] != groups[0][1]


def test_members_are_stopped_where_the_first_fails(tiny, tmp_path, new_members):
    config = tiny(train={"epochs": 1000, "members": 2})
    with pytest.raises(KeyboardInterrupt), Ensemble(resolve(config), tmp_path / "run").members_beside():
        raise KeyboardInterrupt
    assert not (tmp_path / "run/members/2/model.safetensors").exists()
    assert members_of(tmp_path) == []


def test_a_member_that_fails_stops_the_training_at_once(tiny, tmp_path, request):
    """Its folder is taken, so it fails within its first seconds; the first member has a million epochs to go.

    A fork in place of its process ends in the same way.
    """
    run = tmp_path / "run"
    (run / "members" / "2").mkdir(parents=True)
    (run / "members" / "2" / "taken").touch()
    plan = resolve(tiny(train={"epochs": 1_000_000, "members": 2}))
    messages = []
    for kind in ("fork", "new process"):
        if kind == "new process":
            request.getfixturevalue("new_members")
        with refused("2") as refusal, Ensemble(plan, run).members_beside() as after_step:
            wait_until(after_step, 120)
        messages.append(refusal.message)
    assert messages[0] == messages[1]


def members_of(folder: Path) -> list[int]:
    """Processes that train a member below a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if str(folder / "run" / "members").encode() in b" ".join(words) and words[0]:
            found.append(int(each.parent.name))
    return found


def wait_until(reached: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_member_killed_while_it_was_described_is_begun_again(tmp_path):
    member = tmp_path / "members" / "2"
    member.mkdir(parents=True)
    (member / "config.yaml").write_text("train: {}\n")
    check_free(member)
    (member / "notes.txt").write_text("mine")
    with refused(str(member)):
        check_free(member)
    with refused(str(tmp_path / "other")):
        (tmp_path / "other").mkdir()
        (tmp_path / "other/config.yaml").write_text("train: {}\n")
        check_free(tmp_path / "other")
