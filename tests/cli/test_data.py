"""The commands that look after data sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fact_clip.data.synthetic import write_workbench


@pytest.fixture
def copy(tmp_path) -> Path:
    """A clean data set: each class is trained in each split."""
    return write_workbench(tmp_path / "my data", videos=18, persons=3, dim=8)


def test_check_says_nothing_of_a_clean_set(fact_clip, recipe, copy, monkeypatch):
    """A folder, a recipe and an entry by name; what was looked at goes to stderr."""
    monkeypatch.setenv("FACT_CLIP_DATA", str(copy.parent))
    copy = copy.rename(copy.parent / "workbench")
    for arguments in ([copy], [recipe, f"data.root={copy}"], ["workbench"]):
        answer = fact_clip("data", "check", *arguments)
        assert (answer.code, answer.out) == (0, "")
        assert answer.err.endswith("workbench: 18 videos, 3 splits, 23 classes, 8 columns; no fault found\n")


def test_check_prints_one_line_a_finding(fact_clip, copy):
    (copy / "features" / "person1_video1.npy").unlink()
    features = np.load(copy / "features" / "person2_video1.npy")
    features[12, 3] = np.nan
    np.save(copy / "features" / "person2_video1.npy", features)
    text = fact_clip("data", "check", copy)
    assert text.code == 1
    lines = text.out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["features", "not finite"]
    assert "video 'person1_video1' without features" in lines[0]
    assert "nan in frame 12, column 3" in lines[1]
    assert text.err.endswith("; 2 findings\n")
    tree = fact_clip("data", "check", copy, "--json")
    result = json.loads(tree.out)
    assert (tree.code, result["videos"], result["splits"], result["columns"]) == (1, 18, ["1", "2", "3"], 8)
    assert [finding["kind"] for finding in result["findings"]] == ["features", "not finite"]
    assert result["findings"][1]["where"] == str(copy / "features" / "person2_video1.npy")
    assert fact_clip("data", "check", copy / "nowhere").code == 2
