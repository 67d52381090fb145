"""Layers against values worked out by hand and slow loops; where dropout acts, and where it does not."""

from __future__ import annotations

import math

import pytest
import torch

from fact_clip.config import BlockConfig
from fact_clip.models import FACT, Classes
from fact_clip.models.branches import (
    ACTION_BRANCHES,
    FRAME_BRANCHES,
    Context,
    CrossAttention,
    FrameConv,
    add_position,
    cut_segments,
    pool_segments,
    sinusoidal_positions,
)
from fact_clip.models.heads import ClosedSetHead, VerbNounHead
from fact_clip.models.kernels.gru import BidirectionalGRU

from ..refusals import refused
from ..small import model_config

CONFIG = BlockConfig(
    hidden=6, frame_dim=4, frame_layers=3, action_dim=4, action_layers=1, heads=2, feedforward=5, dropout=0.5
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(11)


def drop_everything(module: torch.nn.Module) -> torch.nn.Module:
    """Training mode with every dropout at probability one: what is dropped is exactly zero."""
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 1.0
        if isinstance(part, torch.nn.MultiheadAttention):
            part.dropout = 1.0
    return module.train()


def test_positions_by_hand():
    table = sinusoidal_positions(3, 5)
    assert table[0].tolist() == [0, 1, 0, 1, 0]
    assert table[2, 0].item() == pytest.approx(math.sin(2))
    assert table[2, 1].item() == pytest.approx(math.cos(2))
    assert table[2, 2].item() == pytest.approx(math.sin(2 / 10000 ** (2 / 5)))
    assert table[2, 4].item() == pytest.approx(math.sin(2 / 10000 ** (4 / 5)))


def test_a_narrow_position_is_added_to_the_first_channels():
    x = torch.ones(1, 2, 3)
    found = add_position(x, torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    assert found.tolist() == [[[2, 3, 1], [4, 5, 1]]]
    assert add_position(x, None) is x


def test_segments_by_hand():
    """Classes a a b | c c c with two padded frames in the first video; centres are int((first + last) / 2)."""
    labels = torch.tensor([[0, 0, 1, 1, 0], [2, 2, 2, 2, 0]])
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])
    segments = cut_segments(torch.nn.functional.one_hot(labels).float(), mask)
    assert segments.of_frame.tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]
    assert segments.length.tolist() == [[2, 1], [4, 1]]
    assert segments.centre.tolist() == [[0, 2], [1, 4]]
    assert segments.mask.tolist() == [[True, True], [True, True]]
    x = torch.arange(10.0).reshape(2, 5, 1)
    assert pool_segments(x, segments, mask).squeeze(-1).tolist() == [[0.5, 2.0], [6.5, 9.0]]
    assert segments.to_frames(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]))[1, :, 0].tolist() == [3, 3, 3, 3, 4]


@pytest.mark.parametrize("kind", ["m", "m2"])
def test_temporal_convolutions_against_a_loop(kind):
    """Each output frame as the sum over its three dilated neighbours, zero outside the video."""
    branch = FRAME_BRANCHES[kind](CONFIG, None).eval()
    x = torch.randn(9, 4)

    def conv(layer: torch.nn.Conv1d, rows: torch.Tensor) -> torch.Tensor:
        step = layer.dilation[0]
        out = []
        for t in range(len(rows)):
            total = layer.bias.clone()
            for tap in range(layer.kernel_size[0]):
                at = t + (tap - layer.kernel_size[0] // 2) * step
                if 0 <= at < len(rows):
                    total += layer.weight[:, :, tap] @ rows[at]
            out.append(total)
        return torch.stack(out)

    rows = x
    for layer in range(3):
        if kind == "m":
            part = branch.layers[layer]
            assert part.conv_dilated.dilation == (2**layer,)
            rows = rows + conv(part.conv_1x1, torch.relu(conv(part.conv_dilated, rows)))
        else:
            one, two = branch.conv_dilated_1[layer], branch.conv_dilated_2[layer]
            assert (one.dilation, two.dilation) == ((2 ** (2 - layer),), (2**layer,))
            both = torch.cat([conv(one, rows), conv(two, rows)], dim=-1)
            rows = rows + torch.relu(conv(branch.conv_fusion[layer], both))
    expected = conv(branch.conv_out, rows)
    found = branch(x.unsqueeze(0), torch.ones(1, 9, dtype=torch.bool))[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_dropout_of_ms_tcn_is_on_each_residual():
    """Everything dropped, each layer is the identity."""
    branch = drop_everything(FRAME_BRANCHES["m"](CONFIG, None))
    x = torch.randn(1, 9, 4)
    torch.testing.assert_close(branch(x, torch.ones(1, 9, dtype=torch.bool)), branch.conv_out(x))


@pytest.mark.parametrize(("taps", "dilation", "groups"), [(1, 1, 1), (3, 1, 1), (3, 4, 1), (3, 16, 1), (3, 4, 2)])
def test_frame_conv_is_a_convolution_with_zeros_beyond_the_ends(taps, dilation, groups):
    torch.manual_seed(0)
    conv, x = FrameConv(6, 8, taps, dilation, groups), torch.randn(2, 11, 6)
    inputs, outputs = torch.arange(6).chunk(groups), torch.arange(8).chunk(groups)
    expected = torch.zeros(2, 11, 8) + conv.bias
    for frame in range(11):
        for tap in range(taps):
            at = frame + (tap - taps // 2) * dilation
            if 0 <= at < 11:
                for own, out in zip(inputs, outputs, strict=True):
                    expected[:, frame, out] += x[:, at, own] @ conv.weight[out, :, tap].T
    torch.testing.assert_close(conv(x), expected)


def test_dropout_of_ms_tcn_plus_plus_spares_the_last_layer():
    branch = drop_everything(FRAME_BRANCHES["m2"](CONFIG, None))
    x = torch.randn(1, 9, 4)
    both = torch.cat([branch.conv_dilated_1[2](x), branch.conv_dilated_2[2](x)], dim=-1)
    expected = branch.conv_out(x + torch.relu(branch.conv_fusion[2](both)))
    torch.testing.assert_close(branch(x, torch.ones(1, 9, dtype=torch.bool)), expected)


def test_dropout_of_cross_attention_is_on_the_concatenation():
    layer = drop_everything(CrossAttention(3, 4, 6, 5, 0.5))
    out, weights, logits = layer(
        torch.randn(1, 2, 4), None, Context(torch.randn(1, 7, 3), None, torch.ones(1, 7).bool())
    )
    torch.testing.assert_close(out, layer.Y_W.bias.expand(1, 2, 5))
    torch.testing.assert_close(weights, logits.softmax(-1))


@pytest.mark.parametrize("kind", ["sa", "sca"])
def test_dropout_of_token_layers_is_on_each_residual(kind):
    """Everything dropped, a layer is its norms one after the other."""
    branch = drop_everything(ACTION_BRANCHES[kind](CONFIG, 3))
    x, context = torch.randn(1, 5, 4), Context(torch.randn(1, 7, 3), None, torch.ones(1, 7).bool())
    layer = branch.layers[0]
    expected = layer.norm2(layer.norm1(x))
    if kind == "sca":
        expected = branch.norm(layer.norm3(expected))
    expected = branch.out_linear(expected)
    torch.testing.assert_close(branch(x, torch.zeros(1, 5, 4), torch.ones(1, 5).bool(), context), expected)


def test_masked_gru_equals_the_short_one():
    gru, plain = BidirectionalGRU(3, 2, 1), torch.nn.GRU(3, 2, batch_first=True, bidirectional=True)
    plain.load_state_dict(gru.state_dict())
    x = torch.randn(2, 6, 3)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    found = gru(x, mask, torch.tensor([6, 4]))
    torch.testing.assert_close(found[1, :4], plain(x[1:, :4])[0][0])
    assert bool((found[1, 4:] == 0).all())


def test_closed_set_split_by_hand():
    head = ClosedSetHead(4, Classes(2), null=False)
    features, scores = head(torch.tensor([[[7.0, 8.0, 0.0, math.log(3)]]]), None)
    assert scores.tolist() == [[[0.0, pytest.approx(math.log(3))]]]
    assert features[0, 0].tolist() == pytest.approx([7, 8, 0.25, 0.75])
    with refused("head"):
        ClosedSetHead(4, Classes(3), null=True)


def test_verb_noun_split_by_hand():
    """Two verbs p = (.25, .75), three nouns p = (.5, .25, .25); class 1 is verb 1 with noun 2."""
    head = VerbNounHead(6, Classes(2, (0, 1), (0, 2), 2, 3), null=False)
    x = torch.tensor([[[5.0, 0.0, math.log(3), math.log(2), 0.0, 0.0]]])
    features, scores = head(x, None)
    assert scores[0, 0].exp().tolist() == pytest.approx([0.25 * 0.5, 0.75 * 0.25])
    assert features[0, 0].tolist() == pytest.approx([5, 0.25, 0.75, 0.5, 0.25, 0.25])
    null = VerbNounHead(8, Classes(2, (0, 1), (0, 2), 2, 3), null=True)
    assert null(torch.zeros(1, 1, 8), None)[1][0, 0, 2].exp().item() == pytest.approx(1 / 3 * 1 / 4)


def test_transcript_is_needed_exactly_where_it_is_read():
    sizes = {**CONFIG.model_dump(), "hidden": 12}
    plain = FACT(model_config(blocks="iu", tokens=3, input=sizes), 2, Classes(3))
    reads = FACT(model_config(blocks="iu", tokens=0, transcript=True, input=sizes), 2, Classes(3))
    with refused("model"):
        plain(torch.zeros(1, 4, 2), transcript=torch.zeros(1, 2, dtype=torch.long))
    with refused("model"):
        reads(torch.zeros(1, 4, 2))
