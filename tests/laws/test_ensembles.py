"""Laws over drawn hold-outs: what the members of an ensemble share is decided once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fact_clip.config import Config
from fact_clip.datasets import Dataset, from_arrays
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.datasets.memory import MemoryStore, with_data
from fact_clip.devices.processes import Processes
from fact_clip.training.description import begin
from fact_clip.training.ensemble import Ensemble
from fact_clip.training.plan import resolve

SMALL = (
    "text.encoder=hash:16",
    "model.tokens=60",
    "model.input.hidden=16",
    "model.input.frame_dim=8",
    "model.input.frame_layers=2",
    "model.input.action_dim=8",
    "model.input.heads=2",
    "model.input.feedforward=8",
    "model.update.frame_layers=1",
    "train.device=cpu",
)
VERBS = ("cut", "stir", "move", "hold")
OBJECTS = ("ham", "egg", "pan")


def drawn(seed: int):
    """Data with a few people, rare actions and videos without a label; and the recipe `zero_shot` with a hold-out."""
    rng = np.random.default_rng(seed)
    actions = [f"{verb} {word}" for verb, word in itertools.product(VERBS, OBJECTS)]
    shares = rng.dirichlet(np.full(len(actions), 0.7))
    arrays, labels = {}, {}
    for person in range(rng.integers(1, 9)):
        for take in range(rng.integers(1, 5)):
            names = ["rest"]
            for action in rng.choice(len(actions), rng.integers(3, 8), p=shares):
                names += [actions[action]] * rng.integers(5, 15)
                names += ["rest"] * rng.integers(1, 6)
            video = f"p{person}_{take}"
            columns = [rng.normal(size=len(names)) for _ in range(3)]
            for word in OBJECTS:
                is_there = np.array([name.endswith(word) for name in names])
                columns += [is_there * rng.normal(size=len(names)), is_there * rng.uniform(1, 2, len(names))]
            arrays[video] = np.stack(columns, axis=1).astype(np.float32)
            is_labelled = len(labels) < 4 or rng.random() > 0.1
            labels[video] = names if is_labelled else [UNLABELLED] * len(names)
    for take in range(3):  # so that there is something to divide
        arrays[f"p9_{take}"] = arrays["p0_0"]
        labels[f"p9_{take}"] = labels["p0_0"]
    data = from_arrays(arrays, labels, test=["p9_2"], class_names=["rest", *actions], fps=5.0, background=["rest"])
    shown = [name for name in actions if any(name in of_video for of_video in labels.values())]
    n_unseen = min(int(rng.integers(1, 4)), len(shown) - 1)
    hidden = rng.choice(shown, n_unseen, replace=False).tolist()
    settings = [f"data.holdout={hidden}", f"data.validation={rng.choice([0.2, 0.25, 0.34, 0.5])}"]
    settings.append(f"train.members={rng.integers(2, 5)}")
    if rng.random() < 0.5:
        settings.append(r"data.groups=p(\d)")
    return data, Config.load("zero_shot", [*SMALL, *settings])


@pytest.mark.parametrize("seed", range(50))
def test_members_share_what_is_decided_once(seed, tmp_path):
    data, recipe = drawn(seed)
    store = MemoryStore(data)
    plan = resolve(with_data(recipe, data), store)
    messages = " ".join(note.message for note in plan.notes)
    ensemble = Ensemble(plan, tmp_path / "run")
    n_members = plan.config.train.members
    members = [Dataset.open(ensemble.config_of(index).data, store) for index in range(n_members)]

    parts = [member.validation for member in members]
    assert all(parts)
    if len({*itertools.chain(*parts)}) < sum(map(len, parts)):
        assert f"{n_members} members share" in messages
    learning = members[0].split.learning
    assert {*itertools.chain.from_iterable(member.train for member in members)} == {*learning}

    groups = [member.validation_unseen for member in members]
    assert len({*itertools.chain(*groups)}) == sum(map(len, groups))
    shown = {label for name in learning for label in members[0].all_labels(name).tolist()}
    for member in members:
        assert not {*member.validation} & {*member.train}
        has_frames = {*np.flatnonzero(member.learned_counts).tolist()}
        for label in {*member.learned} & shown - has_frames:
            assert repr(member.vocabulary.names[label]) in messages

    runs = []
    for index in range(n_members):
        member_plan = plan if index == 0 else ensemble.plan_of(index)
        run, _ = begin(member_plan, tmp_path / str(index), Processes("cpu"))
        runs.append(run)
    for run in runs[1:]:
        assert run.objects == runs[0].objects
        np.testing.assert_array_equal(run.transform.mean, runs[0].transform.mean)
        np.testing.assert_array_equal(run.transform.std, runs[0].transform.std)
