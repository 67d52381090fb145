"""What the rows of a video's features are (layout and rate) is stored when it is added."""

from __future__ import annotations

import json
import shutil
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.config import Config, merged
from fact_clip_app.commands.project import export
from fact_clip_app.teach.labelled_videos import export_set

from ..films import numbered, write_video
from ..refusals import refused
from ..small import TINY


def write_rows(path: Path, shape: tuple[int, int], seed: int = 0) -> Path:
    """A feature file of random values without a rate."""
    np.save(path, np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
    return path


def labelled_rows(root: Path, name: str = "take0") -> list[tuple[str, int]]:
    """The runs of labels of a video of a data set."""
    lines = next(root.rglob(f"groundTruth/{name}.txt")).read_text().splitlines()
    return [(label, len([*rows])) for label, rows in groupby(lines)]


@pytest.fixture
def films(opened, tmp_path):
    """A page with two films of 20 s with features at 15 rows a second, as the model in use knows."""
    user = opened()()
    for number in range(2):
        film = tmp_path / f"take{number}.mp4"
        write_video(film, list(numbered(200)), rate=10)
        video = user.add(film, write_rows(tmp_path / f"take{number}.npy", (300, 8), number))
        user.label(video, (0, 100, "pour"), (100, 150, "stir"))
    return user


LABELS = [("pour", 150), ("stir", 75), ("background", 75)]


def test_features_keep_the_rate_that_the_model_in_use_gave_them(films, opened, tmp_path):
    folder = films.page.project.folder
    export_set(films.page, "main", tmp_path / "page", "background")
    films.page.close()
    export(folder, out=tmp_path / "line", training="main", unlabelled="background")
    for root in (tmp_path / "page", tmp_path / "line"):
        assert labelled_rows(root) == LABELS
        assert json.loads((root / "features/take0.json").read_text())["fps"] == 15


@pytest.fixture
def channels_first(workbench, tmp_path) -> Path:
    """A run that reads files with channels first."""
    root = tmp_path / "data"
    shutil.copytree(workbench, root)
    for path in (root / "features").glob("*.npy"):
        np.save(path, np.load(path).T)
    changes = {"data": {"root": str(root), "layout": "DT"}, "model": {"head": "text"}, "text": {"encoder": "hash:16"}}
    fact_clip.training.train(Config.from_tree(merged(TINY, changes), "test"), tmp_path / "run")
    return tmp_path / "run"


def test_features_keep_the_layout_of_the_model_in_use(opened, channels_first, tmp_path):
    user = opened(run=channels_first)()
    for number in range(2):
        video = user.add(write_rows(tmp_path / f"take{number}.npy", (8, 300), number))
        user.label(video, (0, 150, "pour"), (150, 225, "stir"))
    folder = user.page.project.folder
    user.page.close()
    export(folder, out=tmp_path / "line", training="main", unlabelled="background")
    assert labelled_rows(tmp_path / "line") == LABELS
    assert np.load(tmp_path / "line/features/take0.npy").shape == (300, 8)


def test_another_model_reads_features_in_their_layout(opened, channels_first, text_run, tmp_path):
    user = opened(run=channels_first)()
    video = user.add(write_rows(tmp_path / "take.npy", (8, 300)))
    user.act("pour", "stir")
    drafts = user.ask("GET", f"/api/videos/{video}")
    assert (len(drafts["times"]), drafts["problem"]) == (301, "")
    user.page.project.add_run(text_run, "main", {})
    user.ask("POST", "/api/settings", json={"model": text_run.name})
    drafts = user.ask("GET", f"/api/videos/{video}")
    assert drafts["drafts"][-1]["stop"] == 300


def test_rows_that_are_not_the_frames_of_the_video_are_refused(opened, tmp_path):
    user = opened(run=None)()
    for number in range(2):
        user.label(user.add(write_rows(tmp_path / f"take{number}.npy", (40, 8), number)), (0, 10, "pour"))
    user.page.project.execute("UPDATE video SET layout = 'DT'")
    with refused() as refusal:
        export_set(user.page, "main", tmp_path / "set", "background")
    assert "8 rows for 40 frames" in refusal.message


def test_the_command_of_a_film_with_its_own_features_names_these(films):
    (video, _) = films.page.project.videos()
    assert "take0.npy" in films.ask("GET", f"/api/videos/{video.id}")["command"]
