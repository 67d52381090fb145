"""From the labels of a project to a model, and a new action taught to it; figures before and after."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.app.learn import in_words, measure
from fact_clip.inference.segmenter import load

from ..refusals import refused
from .test_editing import main, segments

FPS = 5.0
NAMES = ("stir the soup", "pour water", "cut bread")


def write_features(path, plan, seed):
    """Rows that show which action it is: a direction each, and noise."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(9).standard_normal((4, 16))
    names = [*NAMES, "wipe table"]
    rows = [directions[names.index(name)] for length, name in plan for _ in range(length)]
    np.save(path, (np.array(rows) + 0.3 * rng.standard_normal((len(rows), 16))).astype(np.float32))
    path.with_suffix(".json").write_text(f'{{"fps": {FPS}}}')


def test_figures_in_words():
    after = {"right": 83.2, "found": 9, "segments": 10}
    text = in_words({"before": None, "after": after})
    assert "83 % of the time right, 9 of 10 segments found; before: –." in text
    assert "before: 40 %, 2 of 10." in in_words({"before": {"right": 39.6, "found": 2, "segments": 10}, "after": after})


def test_a_model_is_measured_by_hand(tiny_run, rows):
    model = load(tiny_run, "cpu")
    prediction = model.segment(rows)
    labels, times = prediction.to_frames(), np.arange(prediction.n_frames + 1) / 15
    actions = [one for one in prediction if one.label not in prediction.background]
    whole = {"right": 100.0, "found": len(actions), "segments": len(actions)}
    assert measure(model, [(rows, times, labels)]) == whole
    first = actions[0]
    labels[first.start : first.stop] = ["peel apple"] * first.duration
    wrong = measure(model, [(rows, times, labels)])
    assert wrong["right"] == pytest.approx(100 * (1 - first.duration / len(labels)), abs=0.06)
    assert (wrong["found"], wrong["segments"]) == (len(actions) - 1, len(actions))


def test_two_labelled_videos_are_needed_and_a_closed_head_cannot_be_taught(opened, tiny_run, rows):
    user = opened(run=tiny_run)()
    user.label(user.add(rows), (0, 5, "grasp shaft"))
    assert user.ask("POST", "/api/train", 400, json={})["error"].startswith("train: 1 labelled videos")
    user.label(user.add(rows), (0, 5, "grasp shaft"))
    assert user.ask("POST", "/api/train", 400, json={"teach": True})["error"].startswith("train: ")
    with refused("train"):
        from fact_clip.app.learn import labelled

        labelled(user.page, "left hand")


@pytest.mark.slow
def test_train_then_teach(opened, tmp_path):
    user, rng = opened(run=None)(), np.random.default_rng(0)
    videos = []
    for number in range(6):
        plan = [(int(rng.integers(15, 30)), NAMES[place]) for place in (*rng.permutation(3), *rng.permutation(3))]
        if number > 3:
            plan[2] = (25, "wipe table")
        write_features(tmp_path / f"v{number}.npy", plan, number)
        edges = np.cumsum([0, *(length for length, _ in plan)]).tolist()
        labels = [(start, stop, name) for start, stop, (_, name) in zip(edges, edges[1:], plan, strict=False)]
        videos.append((user.add(tmp_path / f"v{number}.npy", tmp_path / f"v{number}.json"), labels))
    for video, labels in videos[:4]:
        user.label(video, *labels)
    user.ask("POST", "/api/train", json={"minutes": 0.2})
    state = user.settle()
    assert state["training"]["state"] == "done", state["training"]
    figures = state["runs"]["model-1"]
    assert figures["before"] is None
    assert figures["after"]["right"] > 60
    assert state["model"]["chosen"] == "model-1"
    drafts = segments(user.ask("GET", f"/api/videos/{videos[4][0]}")["drafts"])
    assert {name for *_, name in drafts} <= set(NAMES)

    for video, labels in videos[4:]:
        user.label(video, *labels)
    user.ask("POST", "/api/train", json={"minutes": 0.1, "teach": True})
    state = user.settle()
    assert state["training"]["state"] == "done", state["training"]
    assert state["runs"]["model-2"]["after"]["right"] >= state["runs"]["model-2"]["before"]["right"]
    assert "wipe table" in load(user.page.project.runs()["model-2"][0], "cpu").vocabulary
    assert main(user.ask("GET", f"/api/videos/{videos[0][0]}")) == videos[0][1]  # labels are as they were
