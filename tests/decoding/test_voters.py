"""The voters of a frame: what decoding keeps of an output."""

from __future__ import annotations

import pytest
import torch

from fact_clip.decoding import Voters, frame_scores, fuse, voters
from fact_clip.models import BlockOutput, Output


def output(seed: int, n_frames: int = 6, n_classes: int = 4, null: bool = False) -> Output:
    """Two blocks with random scores and 3 tokens; with `null` all tokens are null."""
    random = torch.Generator().manual_seed(seed)
    blocks = []
    for _ in range(2):
        tokens = torch.randn(1, 3, n_classes + 1, generator=random)
        tokens[..., -1] = 9.0 if null else -9.0
        attention = torch.randn(1, n_frames, 3, generator=random).softmax(-1)
        blank = torch.zeros(1, n_frames, 1)
        scores = torch.randn(1, n_frames, n_classes, generator=random)
        blocks.append(BlockOutput(blank, scores, torch.zeros(1, 3, 1), tokens, a2f_attention=attention))
    mask = torch.ones(1, n_frames, dtype=torch.bool)
    return Output(tuple(blocks), mask, torch.ones(1, 3, dtype=torch.bool), None, 0.3)


def by_hand(of: Output, weight: float, offset: torch.Tensor) -> torch.Tensor:
    """One frame after the other, in plain steps."""
    last, rows = of.blocks[-1], []
    for frame in range(last.frame_logits.shape[1]):
        own = (last.frame_logits[0, frame].log_softmax(-1) + offset).softmax(-1)
        kept = [token for token in range(3) if int(last.token_logits[0, token].argmax()) != len(offset)]
        if kept:
            chosen = max(kept, key=lambda token: float(last.a2f_attention[0, frame, token]))
            own = (1 - weight) * (last.token_logits[0, chosen, :-1] + offset).softmax(-1) + weight * own
        rows.append(own)
    return torch.stack(rows)


@pytest.mark.parametrize("null", [False, True])
def test_fusion_by_hand(null):
    of, offset = output(0, null=null), torch.tensor([0.0, 1.5, -2.0, 0.3])
    expected = by_hand(of, 0.3, offset)
    torch.testing.assert_close(fuse(voters(of), 0.3, offset)[0], expected)
    torch.testing.assert_close(frame_scores(of, offset=offset)[0], expected)


def test_stretches_joined_are_the_whole():
    first, second = voters(output(1)), voters(output(2, n_frames=3, null=True))
    joined = Voters.joined([first, second])
    offset = torch.tensor([0.0, 1.0, 0.0, -1.0])
    expected = torch.cat([fuse(first, 0.2, offset), fuse(second, 0.2, offset)], 1)
    torch.testing.assert_close(fuse(joined, 0.2, offset), expected)
    torch.testing.assert_close(fuse(joined.rows(slice(4, 8)), 0.2, offset), expected[:, 4:8])
