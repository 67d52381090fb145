"""The two voters with an offset on their log scores, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fact_clip.decoding import frame_scores
from fact_clip.models import BlockOutput, Output

# Two frames, two classes; probabilities .8/.2 and .5/.5.
FRAMES = torch.log(torch.tensor([[[0.8, 0.2], [0.5, 0.5]]]))
# Three tokens with a null class: .6/.3/.1, null, and .1/.7/.2.
TOKENS = torch.log(torch.tensor([[[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.7, 0.2]]]))
# The first frame asks the first token; the second the null token most, and of the kept ones the third.
ATTENTION = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]])


def output(weight=0.25, attention=ATTENTION, transcript=None, tokens=TOKENS, earlier=None):
    def block(logits):
        return BlockOutput(torch.zeros(1, 2, 1), logits, torch.zeros(1, 3, 1), tokens, a2f_attention=attention)

    blocks = (block(FRAMES),) if earlier is None else (block(earlier), block(FRAMES))
    return Output(blocks, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool), transcript, weight)


def softened(shares, offset):
    """A distribution times exp(offset), brought back to sum 1."""
    raised = np.array(shares) * np.exp(offset)
    return raised / raised.sum()


def test_offset_goes_on_both_voters_before_their_softmax():
    offset = np.log([0.5, 2.0])
    found = frame_scores(output(), offset=torch.tensor(offset, dtype=torch.float32))[0]
    first = 0.75 * softened([0.6, 0.3], offset) + 0.25 * softened([0.8, 0.2], offset)
    second = 0.75 * softened([0.1, 0.7], offset) + 0.25 * softened([0.5, 0.5], offset)
    np.testing.assert_allclose(found.numpy(), [first, second], rtol=1e-5)
    # by hand once: .3/.6 -> 1/3 and 2/3; .4/.4 -> 1/2 and 1/2
    assert found[0].tolist() == pytest.approx([0.75 * 1 / 3 + 0.25 * 1 / 2, 0.75 * 2 / 3 + 0.25 * 1 / 2], rel=1e-5)


def test_no_offset_is_an_offset_of_nothing():
    torch.testing.assert_close(frame_scores(output(), offset=torch.zeros(2)), frame_scores(output()))
    # a constant on all classes changes nothing either, and which tokens are kept is their own matter
    torch.testing.assert_close(frame_scores(output(), offset=torch.full((2,), 9.0)), frame_scores(output()))


def test_what_is_ruled_out_has_no_score():
    found = frame_scores(output(), offset=torch.tensor([float("-inf"), 0.0]))[0]
    assert found.tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_the_frame_voter_alone():
    offset = np.log([1.0, 3.0])
    alone = frame_scores(output(attention=None), offset=torch.tensor(offset, dtype=torch.float32))[0]
    np.testing.assert_allclose(alone.numpy(), [softened([0.8, 0.2], offset), [0.25, 0.75]], rtol=1e-5)
    null = torch.log(torch.tensor([[[0.1, 0.2, 0.7]] * 3]))  # no token is kept
    np.testing.assert_allclose(
        frame_scores(output(tokens=null), offset=torch.tensor(offset, dtype=torch.float32))[0].numpy(), alone.numpy()
    )


def test_the_mean_of_all_blocks_before_the_offset():
    earlier = torch.log(torch.tensor([[[0.2, 0.8], [0.5, 0.5]]]))
    found = frame_scores(output(1.0, earlier=earlier), blocks="all", offset=torch.log(torch.tensor([1.0, 3.0])))[0]
    # the geometric mean of .8/.2 and .2/.8 is even
    assert found.tolist() == [pytest.approx([0.25, 0.75]), pytest.approx([0.25, 0.75])]


def test_with_a_transcript_it_is_not_used():
    order = torch.tensor([[1, 0, 1]])
    plain = frame_scores(output(transcript=order))
    torch.testing.assert_close(frame_scores(output(transcript=order), offset=torch.tensor([5.0, -5.0])), plain)
