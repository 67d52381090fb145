"""Class prototypes from unlabelled videos."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import fact_clip
from fact_clip.core import Clock
from fact_clip.decoding import Voters
from fact_clip.decoding.prototypes import Prototypes

from ..refusals import refused


@pytest.fixture(scope="module")
def videos(workbench) -> list[Path]:
    return sorted((workbench / "features").glob("*.npy"))[:2]


def test_frames_like_those_of_a_class_gain():
    """Two classes to both sides of the mean frame: three nats more and three less."""
    features = torch.tensor([[0.0, 4.0], [0.0, 0.0]])
    prototypes = Prototypes.of(features, torch.tensor([[1.0, 0.25], [0.0, 0.75]]))
    assert prototypes.mean.tolist() == [0, 2]
    assert prototypes.directions.tolist() == [[0, 1], [0, -1]]
    frames = torch.full((1, 2, 2), 0.5)
    voters = Voters(frames, torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.bool), features=features[None])
    found = prototypes.added_to(voters)
    assert found.tokens.tolist() == [[[3, -3], [-3, 3]]]
    share = 1 / (1 + np.exp(-6))
    assert found.frames[0, :, 0].tolist() == pytest.approx([share, 1 - share])


def test_an_adapted_segmenter_adds_the_prototypes_of_its_videos(tiny_run, videos):
    plain, adapted = fact_clip.load(tiny_run), fact_clip.load(tiny_run).adapt_to(videos)
    candidates = adapted.choose()
    assert candidates.prototypes is adapted.choose().prototypes  # computed once
    rows = [np.load(path) for path in videos]
    parts = [plain.scorer._voters([row], plain.choose(), None, 0)[0][0] for row in rows]
    scores = [plain.scorer.score(row, plain.choose()) for row in rows]
    table = torch.cat([fact_clip.decoding.class_scores(score, plain.choose()) for score in scores])
    expected = Prototypes.of(torch.cat([part.features[0] for part in parts]), table)
    assert torch.allclose(candidates.prototypes[0].directions, expected.directions, atol=1e-5)
    found = adapted.scorer.score(rows[0], candidates, Clock()).voters[0]
    assert torch.allclose(found.frames, expected.added_to(parts[0]).frames, atol=1e-5)
    assert found.features is None
    assert adapted.segment(videos[0]) != plain.segment(videos[0])
    again = pickle.loads(pickle.dumps(adapted))
    assert again.segment(videos[0]) == adapted.segment(videos[0])


def test_each_list_of_names_has_prototypes_of_its_own(tiny_run, videos):
    first = fact_clip.load(tiny_run).adapt_to(videos)
    names = [name for name in first.vocabulary.names if name not in first.vocabulary.background]
    first.segment(videos[0], names[:1])
    second = fact_clip.load(tiny_run).adapt_to(videos)
    assert first.segment(videos[0]) == second.segment(videos[0])  # whatever was asked before


def test_what_cannot_be_adapted(tiny_run):
    with refused("adapt_to"):
        fact_clip.load(tiny_run).adapt_to([])
