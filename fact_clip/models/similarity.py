"""Similarity evidence: for features that live in one space with text, what each candidate's own similarity curve says.

Frames and names are compared by their cosine, and one small network over time, shared by all candidates, reads the
curves of one candidate: its cosine, the same smoothed, less its mean over the video, and less the best of the other
candidates. It knows no class, so that a name that was never trained is read like one that was; a permutation of the
candidates permutes the result. Heads score a candidate by its evidence (docs/method.md, 'Similarity evidence').
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fact_clip.config import SimilarityConfig
from fact_clip.models.kernels import FrameConv, Linear, full_precision


class SimilarityEvidence(nn.Module):
    """The input (B, T, D) and class texts (C, S, W) to the evidence of the candidates (B, T, E, C).

    The first W columns of the input are the frame's vector in the space of the texts, before ``data.standardize``
    scaled them; less its mean over the training frames it is column * space[0] - space[1]. Texts are taken less
    `centre` (S, W), their mean over the training classes: a constant gap between both sides has no effect.
    """

    space: Tensor
    centre: Tensor

    def __init__(self, config: SimilarityConfig, input_dim: int, slots: int, space: Tensor, centre: Tensor) -> None:
        super().__init__()
        self.windows, width = config.windows, space.shape[1]
        self.register_buffer("space", space)
        self.register_buffer("centre", centre)
        self.map: nn.Linear | None = None
        if config.map:
            self.map = Linear(width, width)
            nn.init.eye_(self.map.weight)
            nn.init.zeros_(self.map.bias)
        self.gain = width**0.5  # the cosine of two random vectors deviates by 1 / gain
        curves = slots * (3 + 2 * len(self.windows))
        self.read = Linear(curves, config.channels)
        self.beside = Linear(input_dim, config.channels, bias=False)
        layers = range(config.layers)
        self.dilated = nn.ModuleList(FrameConv(config.channels, config.channels, 3, 2**layer) for layer in layers)
        self.mix = nn.ModuleList(Linear(config.channels, config.channels) for _ in layers)

    def forward(self, x: Tensor, mask: Tensor | None, text: Tensor) -> Tensor:
        """(B, T, D), real frames (B, T) or None, and (C, S, W) to (B, T, E, C); zero for a candidate without words."""
        with full_precision(x):  # differences of cosines need more digits than bfloat16 has
            x = x.float()
            present = (text != 0).any(-1)  # (C, S)
            hidden = self.read(self._curves(self.cosines(x, text, present), mask, present))  # (B, C, T, E)
            hidden = torch.relu(hidden + self.beside(x).unsqueeze(1)).flatten(0, 1)  # (B*C, T, E)
            real = None if mask is None else mask.unsqueeze(1).expand(-1, len(text), -1).flatten(0, 1).unsqueeze(-1)
            for dilated, mix in zip(self.dilated, self.mix, strict=True):
                inside = dilated(hidden if real is None else hidden * real)
                hidden = hidden + mix(torch.relu(inside))
            evidence = torch.relu(hidden).unflatten(0, (len(x), len(text)))  # (B, C, T, E)
            evidence = evidence * present.any(-1)[:, None, None]
            return evidence.permute(0, 2, 3, 1).contiguous()

    def cosines(self, x: Tensor, text: Tensor, present: Tensor) -> Tensor:
        """(B, C, S, T) cosines of frames and words, both centred, times sqrt(W); zero where there is no word."""
        scale, shift = self.space
        frames = x[..., : len(scale)] * scale - shift  # (B, T, W)
        if self.map is not None:
            frames = self.map(frames)
        frames = nn.functional.normalize(frames, dim=-1)
        words = nn.functional.normalize(text - self.centre, dim=-1) * present.unsqueeze(-1) * self.gain
        return (words.flatten(0, 1) @ frames.transpose(1, 2)).unflatten(1, present.shape)

    def _curves(self, cosines: Tensor, mask: Tensor | None, present: Tensor) -> Tensor:
        """(B, C, T, S*K): the curves of each word: as it is, smoothed, less its mean, and less the best other."""
        real = cosines.new_ones(1, 1, cosines.shape[-1]) if mask is None else mask.unsqueeze(1).to(cosines.dtype)
        flat = cosines.flatten(1, 2) * real  # (B, C*S, T)
        curves = [flat, *(_smoothed(flat, window) / _smoothed(real, window).clamp(min=1e-6) for window in self.windows)]
        mean = flat.sum(-1, keepdim=True) / real.sum(-1, keepdim=True)
        curves += [curve - mean for curve in curves[:1]] + [_margin(curve, present) for curve in curves]
        stacked = torch.stack(curves, -1).unflatten(1, present.shape)  # (B, C, S, T, K)
        return stacked.transpose(2, 3).flatten(3)


def centre_of(text: Tensor) -> Tensor:
    """(S, W) mean of the words (C, S, W) that there are."""
    count = (text != 0).any(-1, keepdim=True).sum(0)  # (S, 1)
    return text.sum(0) / count.clamp(min=1)


def _smoothed(curves: Tensor, window: int) -> Tensor:
    """Centred mean of (B, N, T) over `window` rows, zeros beyond the ends; an even number is rounded up."""
    half = window // 2
    return nn.functional.avg_pool1d(curves, 2 * half + 1, stride=1, padding=half, count_include_pad=True)


def _margin(curves: Tensor, present: Tensor) -> Tensor:
    """(B, C*S, T) less the best of the same slot's other words; 0 without a word, or where there is no other."""
    curve = curves.unflatten(1, present.shape)  # (B, C, S, T)
    among = curve.masked_fill(~present.unsqueeze(-1), -torch.inf)
    first, *further = among.topk(min(2, len(present)), dim=1).values.split(1, dim=1)  # (B, 1, S, T) each
    second = further[0] if further else torch.full_like(first, -torch.inf)
    other = torch.where(curve < first, first, second)
    present_ = present.unsqueeze(-1) & (other > -torch.inf)
    return torch.where(present_, curve - other.masked_fill(~present_, 0.0), 0.0).flatten(1, 2)
