"""Bad input is answered in one plain line on stderr and exit code 2, before anything is written.

The lines themselves are tested where they are written; `tests/attacks` asks every command for many more of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ..refusals import refused_line

VIDEO = "person2_video1"  # trained on in split 1


@pytest.fixture
def broken(workbench, tmp_path) -> Path:
    """A copy of the data set, to be broken."""
    return Path(shutil.copytree(workbench, tmp_path / "broken"))


@pytest.mark.parametrize(
    ("kind", "place"), [("label", f"{VIDEO}.txt:5"), ("length", f"{VIDEO}.npy"), ("not a number", f"{VIDEO}.npy")]
)
def test_training_stops_at_what_data_check_lists(kind, place, broken, recipe, fact_clip, tmp_path):
    path = broken / ("groundTruth" if kind == "label" else "features") / place.partition(":")[0]
    if kind == "label":
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:4], "juggle nut", *lines[5:]]))
    else:
        features = np.load(path)
        features[123, 4] = np.nan if kind == "not a number" else 0
        np.save(path, features if kind == "not a number" else features[:-50])
    answer = fact_clip("data", "check", recipe, f"data.root={broken}", "data.split=1")
    assert answer.code == 1
    assert any(place in line for line in answer.out.splitlines())
    refused_line(fact_clip("train", recipe, f"data.root={broken}", "--out", tmp_path / "run"), place)
    # also where a value is looked at when its video is first read
    assert not (tmp_path / "run").exists()


def test_train_does_not_touch_a_folder_in_use(recipe, fact_clip, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    refused_line(fact_clip("train", recipe, "--out", tmp_path), tmp_path)
    refused_line(fact_clip("train", recipe, "--out", tmp_path / "thesis.tex"), "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


def test_segment_refuses_features_before_it_writes(tiny_run, fact_clip, tmp_path):
    path = tmp_path / "video.npy"
    np.save(path, np.zeros((40, 7), np.float32))
    answer = fact_clip("segment", "--run", tiny_run, path, "--out", tmp_path / "out", "--plot", tmp_path / "p.png")
    refused_line(answer, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["video.npy"]
