"""Names in German and Chinese, with their parts in English, from labels to a segmentation."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import fact_clip
from fact_clip.training import evaluate, train

from ..small import write_dataset

GERMAN = {
    "Leerlauf": "",
    "Tasse heben": "lift,cup",
    "Tasse drehen": "turn,cup",
    "Dose heben": "lift,tin",
    "Dose drehen": "turn,tin",
}
CHINESE = {
    "空闲": "",
    "拿起杯子": "lift,cup",
    "转动杯子": "turn,cup",
    "拿起罐子": "lift,tin",
    "转动罐子": "turn,tin",
}


@pytest.fixture
def written(tmp_path):
    def write(names: dict[str, str]) -> dict[str, object]:
        rng = np.random.default_rng(0)
        labels = {}
        features = {}
        for number in range(6):
            order = [*names, *rng.permutation([*names])]
            labels[f"v{number}"] = [name for name in order for _ in range(8)]
            index = [[*names].index(name) for name in labels[f"v{number}"]]
            features[f"v{number}"] = np.eye(5)[index] + 0.1 * rng.normal(size=(80, 5))
        videos = [f"v{number}" for number in range(6)]
        root = write_dataset(tmp_path / "data", [*names], labels, features, train=videos[:4], test=videos[4:])
        rows = [f"{name},{parts}" for name, parts in names.items() if parts]
        (root / "factors.csv").write_text("\n".join(["class,verb,object", *rows]), "utf-8")
        return {"root": str(root), "background": (next(iter(names)),), "layout": "TD", "validation": 0}

    return write


@pytest.mark.parametrize("names", [GERMAN, CHINESE], ids=["German", "Chinese"])
def test_unseen_names_are_found_by_their_english_parts(names, written, tiny, tmp_path):
    unseen = [*names][-1]
    config = tiny(
        data={**written(names), "holdout": [unseen], "name": "folder", "stride": 1},
        model={"head": "text"},
        text={"encoder": "minilm", "parts": ["factors"]},
        train={"epochs": 20, "lr": 4e-3, "batch_size": 1},
    )
    train(config, tmp_path / "run")
    ways = evaluate(tmp_path / "run").details["zero_shot"]["ways"]["in use"]
    assert ways["S"] > 60
    segmenter = fact_clip.load(tmp_path / "run")
    found = segmenter.segment(np.eye(5)[[1] * 20 + [4] * 20], [*names][1:])
    assert {segment.label for segment in found} <= {*names}


def test_all_names_with_one_vector_are_listed(written, tiny, tmp_path, caplog):
    config = tiny(
        data={**written(CHINESE), "name": "folder", "stride": 1, "grammar": "none"},
        model={"head": "text"},
        text={"encoder": "minilm", "parts": ["sentence"]},
        train={"epochs": 1},
    )
    with caplog.at_level(logging.WARNING):
        train(config, tmp_path / "run")
    (line,) = [line for line in caplog.messages if "the same vector" in line]
    assert "factors.csv" in line
    assert sum(repr(name) in line for name in CHINESE) >= 2
