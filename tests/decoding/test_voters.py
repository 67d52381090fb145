"""The voters of a frame: what decoding keeps of an output."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch

from fact_clip.decoding import Voters, best_classes, frame_scores, voters
from fact_clip.decoding.fusion import fuse, fuse_gammas
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


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("seen", [[0, 2], [0, 1, 2, 3], []])
@pytest.mark.parametrize("ruled_out", [[], [1], [0, 2]])
def test_all_gammas_at_once_are_each_alone(tokens, seen, ruled_out):
    """Also where a group has no candidate, and with gammas that leave nothing to a group.

    The slow way is in float64, since 1000 takes four digits from a score in float32.
    """
    of = Voters.joined([voters(output(1)), voters(output(2, null=True))])
    of = of if tokens else Voters(of.frames, None, of.has_token)
    offset, group = torch.tensor([0.0, 1.5, -2.0, 0.3]), torch.zeros(4)
    offset[ruled_out] = -torch.inf
    group[seen] = 1.0
    gammas = torch.tensor([-1000.0, -3.0, -0.5, 0.0, 0.5, 2.0, 30.0, 1000.0])
    found = fuse_gammas(of, 0.3, offset, group > 0, gammas)
    assert found.shape == (8, 12, 4)
    exact = Voters(of.frames.double(), None if of.tokens is None else of.tokens.double(), of.has_token)
    for gamma, scores in zip(gammas.double(), found, strict=True):
        expected = fuse(exact, 0.3, offset.double() - gamma * group)[0].float()
        torch.testing.assert_close(scores, expected, atol=1e-7, rtol=1e-5)


def batch(*alone: Output) -> Output:
    """Outputs of one video each, of one length, as one."""
    blocks = [
        replace(first, **{name: torch.cat([getattr(block, name) for block in (first, *others)]) for name in TABLES})
        for first, *others in zip(*(of.blocks for of in alone), strict=True)
    ]
    mask, real = torch.cat([of.mask for of in alone]), torch.cat([of.token_mask for of in alone])
    return replace(alone[0], blocks=tuple(blocks), mask=mask, token_mask=real)


TABLES = ("frame_logits", "token_logits", "a2f_attention")


@pytest.mark.parametrize("blocks", ["last", "all"])
def test_a_video_in_a_batch_has_the_voters_that_it_has_alone(blocks):
    alone = [output(0), output(1, null=True), output(2)]
    found = voters(batch(*alone), blocks)
    for place, of in enumerate(alone):
        assert same(found.unpadded(place, 6), voters(of, blocks))
    assert found.has_token.tolist() == [[True] * 6, [False] * 6, [True] * 6]
    plain = replace(alone[0], blocks=tuple(replace(block, a2f_attention=None) for block in alone[0].blocks))
    assert voters(plain).tokens is None
    assert voters(plain).has_token is plain.mask


def test_all_blocks_have_an_equal_say():
    of = output(3)
    for frame, found in enumerate(voters(of, "all").frames[0].tolist()):
        logs = [block.frame_logits[0, frame].log_softmax(-1).tolist() for block in of.blocks]
        means = [math.exp((one + other) / 2) for one, other in zip(*logs, strict=True)]
        assert found == pytest.approx([mean / sum(means) for mean in means])


def numbered(tokens: bool = True) -> Voters:
    """Two videos of 7 frames and 3 classes in which every number is another one; every third frame is kept."""
    values = torch.arange(2 * 7 * 3.0).reshape(2, 7, 3)
    kept = torch.arange(14).reshape(2, 7) % 3 == 0
    return Voters(values, values + 100 if tokens else None, kept)


def same(one: Voters, other: Voters) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Voters)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a is b for a, b in pairs)


@pytest.mark.parametrize("tokens", [True, False])
def test_rows_of_a_video(tokens):
    of = numbered(tokens)
    only = of.unpadded(1, 5)
    assert only.frames.tolist() == of.frames[1:2, :5].tolist()
    assert only.has_token.tolist() == [[False, False, True, False, False]]
    assert (only.tokens is None) if not tokens else only.tokens.tolist() == of.tokens[1:2, :5].tolist()
    some = of.rows(slice(2, 5))
    assert some.frames[1].tolist() == of.frames[1, 2:5].tolist()
    assert some.has_token[0].tolist() == [False, True, False]
    assert (some.tokens is None) if not tokens else some.tokens[1].tolist() == of.tokens[1, 2:5].tolist()
    assert same(of.map(lambda table: table.cpu()), of)


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_interleaved_rows_come_back_in_time(tokens, n):
    whole = replace(numbered(tokens), aligned=True)
    parts = [whole.rows(slice(start, None, n)) for start in range(n)]
    assert same(Voters.interleaved(parts), whole)


def test_labels_by_hand():
    """Frame voter .8/.2 and .4/.6, the token of both frames .1/.9; the third frame is padding."""
    frames = torch.log(torch.tensor([[[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]]]))
    tokens, blank = torch.log(torch.tensor([[[0.1, 0.9, 0.0]]])), torch.zeros(())
    block = BlockOutput(blank, frames, blank, tokens, a2f_attention=torch.ones(1, 3, 1))
    of = Output((block,), torch.tensor([[True, True, False]]), torch.ones(1, 1, dtype=torch.bool), None, 0.2)
    assert best_classes(of).tolist() == [[1, 1, -1]]
    assert best_classes(of, frame_weight=0.9).tolist() == [[0, 1, -1]]
    torch.testing.assert_close(frame_scores(of, 0.0)[0, 0], torch.tensor([0.1, 0.9]))
    text = replace(of, alignment_logits=frames.flip(-1) + 3)  # the frame voter of an alignment head
    torch.testing.assert_close(voters(text).frames, frames.flip(-1).exp())


@pytest.mark.parametrize("log", [False, True])
def test_a_transcript_gives_each_class_its_best_entry(log):
    """Transcript 2 0 2, the fourth entry is padding; attention goes through one more softmax over the entries."""
    random = torch.Generator().manual_seed(6)
    scores, blank = torch.randn(1, 5, 4, generator=random).log_softmax(-1), torch.zeros(())
    attention = torch.rand(1, 5, 4, generator=random)
    block = BlockOutput(blank, scores, blank, torch.zeros(1, 4, 5), a2f_attention=attention)
    real, mask = torch.tensor([[True, True, True, False]]), torch.ones(1, 5, dtype=torch.bool)
    of = Output((block,), mask, real, torch.tensor([[2, 0, 2, -1]]), 0.25, log_probabilities=log)
    found = voters(of)
    for frame in range(5):
        shares = attention[0, frame, :3].softmax(-1).tolist()
        expected = [shares[1], 0.0, max(shares[0], shares[2]), 0.0]
        own = [value if expected[label] else 0.0 for label, value in enumerate(scores[0, frame].exp().tolist())]
        assert found.tokens[0, frame].tolist() == pytest.approx(expected)
        assert found.frames[0, frame].tolist() == pytest.approx(expected if log else own)
    assert found.aligned
    assert found.has_token is mask
    expected = found.tokens if log else 0.75 * found.tokens + 0.25 * found.frames
    torch.testing.assert_close(fuse(found, 0.25, torch.tensor([9.0, 0.0, 0.0, 0.0])), expected)


def test_voters_keep_no_more_than_a_score_a_frame_and_class():
    """Not the features or the attention of the output that they were made from."""
    of = voters(output(0, n_frames=50))
    for kept in (of.frames, of.tokens, of.has_token):
        assert kept.untyped_storage().nbytes() <= 50 * 4 * 4
