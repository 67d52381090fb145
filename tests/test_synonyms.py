"""New names that mean what known ones mean, with the real sentence encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.config import Config
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.encoders import text_encoder
from fact_clip.training import train

RECIPE = Path(__file__).with_name("assembly.yaml")

PAIRS = [("bearing", "ball bearing"), ("phillips screw", "phillips head screw"), ("insert ", "inserting ")]


@pytest.fixture(scope="module")
def minilm():
    return text_encoder("minilm")


@pytest.fixture(scope="module")
def run(minilm, tmp_path_factory) -> Path:
    """A small model on whole sentences, trained for some seconds; about 84 % of test frames are right."""
    folder = tmp_path_factory.mktemp("synonyms")
    root = write_workbench(folder / "data", videos=9, persons=3, dim=32)
    settings = [
        f"data.root={root}", "data.stride=2", "data.validation=0", "text.encoder=minilm", "text.parts=[sentence]",
        "model.blocks=iu", "model.input.hidden=64", "model.input.frame_dim=32",
        "model.input.action_dim=32", "model.input.frame_layers=5", "train.epochs=12", "train.device=cpu",
    ]  # fmt: skip
    train(Config.load(str(RECIPE), settings), folder / "run")
    return folder / "run"


@pytest.mark.parametrize(("known", "new"), PAIRS)
def test_a_synonym_gives_mostly_the_same_segments(known, new, run, minilm):
    segmenter = fact_clip.load(run)
    names = list(segmenter.vocabulary.names)
    synonym = {name: name.replace(known, new, 1) for name in names if known in name}
    ours, theirs = minilm.encode_texts(list(synonym)), minilm.encode_texts(list(synonym.values()))
    assert ((ours * theirs).sum(1) > 0.8).all()
    means = {other: name for name, other in synonym.items()}
    dataset = Dataset.open(segmenter.run.config.data)
    plain, extended, replaced = [], [], []
    for video in dataset.test:
        features = dataset.features(video)
        plain += segmenter.segment(features).to_frames()
        extended += segmenter.segment(features, actions=[*names, *means]).to_frames()
        replaced += segmenter.segment(features, actions=[synonym.get(name, name) for name in names]).to_frames()
    # beside the known names, and in their place
    for frames in (extended, replaced):
        same = np.array([means.get(name, name) for name in frames]) == np.array(plain)
        assert same.mean() > 0.95
    # in their place, the frames that were theirs go to the new names
    own = [place for place, name in enumerate(plain) if name in synonym]
    assert len(own) > 100
    assert np.mean([replaced[place] == synonym[plain[place]] for place in own]) > 0.7
    assert not set(replaced) & set(synonym)


def test_slice_ham_stands_near_cut_ham(minilm, kscgr):
    """KSCGR's own pair: of all its classes the one nearest to "slice ham" is "cut ham", cosine .88."""
    lines = (kscgr / "mapping.txt").read_text().splitlines()
    names = [line.split(maxsplit=1)[1] for line in lines]
    assert "slice ham" not in names
    cosine = minilm.encode_texts(names) @ minilm.encode_texts(["slice ham"])[0]
    assert names[int(cosine.argmax())] == "cut ham"
    assert cosine.max() == pytest.approx(0.88, abs=0.01)
