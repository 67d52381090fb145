"""Similarity evidence and its head, by hand and against slow loops."""

import math

import pytest
import torch

from fact_clip.config import ModelConfig
from fact_clip.models import FACT, Classes, similarity
from fact_clip.models.heads import Candidates, SimilarityHead, TextHead
from fact_clip.models.similarity import CHANNELS, SimilarityEvidence, centre_of

from ..refusals import refused
from ..small import model_config

SLOTS, WIDTH, COLUMNS = 2, 6, 8


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def texts(n_classes=5, seed=0):
    """(C, 2, 6): class 1 has no second word, and the last class, the background, has none at all."""
    text = torch.nn.functional.normalize(drawn(n_classes, SLOTS, WIDTH, seed=seed), dim=-1)
    text[1, 1] = 0
    text[-1] = 0
    return text


SPACE = torch.stack([drawn(WIDTH, seed=3).abs() + 0.5, drawn(WIDTH, seed=4)])


def evidence(text=None):
    torch.manual_seed(0)
    centre = centre_of(texts() if text is None else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "CHANNELS", 5)
        patch.setattr(similarity, "LAYERS", 2)
        return SimilarityEvidence(COLUMNS, SLOTS, SPACE, centre)


def model(blocks="iuU"):
    torch.manual_seed(1)
    small = {"hidden": 16, "frame_dim": 8, "frame_layers": 2, "action_dim": 8, "action_layers": 1, "heads": 2}
    config = model_config(
        blocks=blocks,
        tokens=7,
        head="similarity",
        input={**small, "feedforward": 16},
    )
    classes = Classes(5, n_slots=SLOTS, text_width=WIDTH, evidence_width=CHANNELS)
    return FACT(config, COLUMNS, classes, texts(), space=SPACE).eval()


def test_curves_against_loops():
    module, x, text = evidence(), drawn(1, 9, COLUMNS, seed=1), texts()
    present = (text != 0).any(-1)
    centre = [text[[0, 1, 2, 3], 0].mean(0), text[[0, 2, 3], 1].mean(0)]
    cosines = torch.zeros(5, SLOTS, 9)
    for c in range(5):
        for s in range(SLOTS):
            for t in range(9):
                if present[c, s]:
                    frame = x[0, t, :WIDTH] * SPACE[0] - SPACE[1]
                    cosine = torch.cosine_similarity(frame, text[c, s] - centre[s], dim=0)
                    cosines[c, s, t] = math.sqrt(WIDTH) * cosine
    found = module.cosines(x, text, present)
    torch.testing.assert_close(found[0], cosines)
    curves = module._curves(found, None, present)  # (1, C, T, S*K)
    assert curves.shape == (1, 5, 9, SLOTS * 7)

    def smooth(c, s, t, half):
        rows = cosines[c, s, max(t - half, 0) : t + half + 1]
        return rows.mean().item()

    for c in range(5):
        for s in range(SLOTS):
            for t in range(9):
                own = [cosines[c, s, t].item(), smooth(c, s, t, 2), smooth(c, s, t, 12)]
                expected = [*own, own[0] - cosines[c, s].mean().item()]
                for version, half in enumerate((0, 2, 12)):
                    others = [smooth(k, s, t, half) for k in range(5) if k != c and present[k, s]]
                    expected.append(own[version] - max(others) if present[c, s] else 0.0)
                if not present[c, s]:
                    expected = [0.0] * 7
                assert curves[0, c, t, 7 * s : 7 * s + 7].tolist() == pytest.approx(expected, abs=1e-5)


def test_two_candidates_with_the_same_word_leave_no_margin():
    text = texts()[[0, 0]]
    module, x = evidence(), drawn(1, 6, COLUMNS)
    curves = module._curves(module.cosines(x, text, torch.ones(2, 2, dtype=torch.bool)), None, (text != 0).any(-1))
    assert (curves[..., [4, 5, 6, 11, 12, 13]] == 0).all()
    assert (curves[..., 0] != 0).all()


def test_a_constant_gap_is_removed():
    """Frames moved by a vector, with the statistics of the moved training frames, give the same evidence."""
    x, gap = drawn(1, 20, COLUMNS), drawn(WIDTH, seed=8)
    torch.manual_seed(0)
    raw = torch.ones(WIDTH)
    here = SimilarityEvidence(COLUMNS, SLOTS, torch.stack([raw, 0 * raw]), centre_of(texts()))
    there = SimilarityEvidence(COLUMNS, SLOTS, torch.stack([raw, gap]), centre_of(texts()))
    there.load_state_dict({**here.state_dict(), "space": there.space})
    moved = x.clone()
    moved[..., :WIDTH] += gap
    present = (texts() != 0).any(-1)
    torch.testing.assert_close(here.cosines(x, texts(), present), there.cosines(moved, texts(), present))


def test_the_number_of_candidates_is_free():
    built, x, text = model(), drawn(1, 40, COLUMNS, seed=2), texts()
    for count in (1, 2, 9):
        more = torch.cat([texts(count + 1, seed=6)[:count], text[-1:]]) if count > 1 else text[-2:]
        frames = built(x, text=more).blocks[-1].frame_logits
        assert frames.shape == (1, 40, len(more))
        assert frames.isfinite().all()
    assert built(x, text=text[-1:]).blocks[-1].frame_logits.isfinite().all()  # the background alone


def test_a_candidate_without_words_has_no_evidence():
    found = evidence()(drawn(2, 12, COLUMNS), None, texts())
    assert found.shape == (2, 12, 5, 5)
    assert (found[..., -1] == 0).all()
    assert (found[..., :-1] != 0).any(2).any(1).all()


def test_scores_are_those_of_the_evidence_and_without_it_of_the_text_head():
    torch.manual_seed(1)
    classes = Classes(5, n_slots=SLOTS, text_width=WIDTH, evidence_width=3)
    head, x, text = SimilarityHead(16, classes, null=True), drawn(1, 4, 16), Candidates(texts())
    own = drawn(1, 4, 3, 5, seed=5)
    own[..., -1] = 0
    features, scores = head(x, text, own)
    plain = TextHead._forward(head, x, text, None)
    assert features.shape == x.shape
    sought = head.look(x)
    for frame in range(4):
        for label in range(6):
            expected = plain[1][0, frame, label].item()
            if label < 4:  # the background and null have no evidence
                expected = (sought[0, frame] @ own[0, frame, :, label]).item()
            assert scores[0, frame, label].item() == pytest.approx(expected, abs=1e-4)
    # tokens of the first block have attended to nothing yet
    torch.testing.assert_close(head(x, text), plain)


def test_features_elsewhere_are_refused():
    config, classes = ModelConfig(head="similarity"), Classes(5, n_slots=SLOTS, text_width=WIDTH, evidence_width=16)
    for space, width in ((None, COLUMNS), (SPACE, WIDTH - 1)):
        with refused("head 'similarity'"):
            FACT(config, width, classes, texts(), space=space)
