"""Evidence of similarity curves, for features that live in one space with text.

docs/method.md, "Similarity evidence", has the formulas.

Frames and names are compared by their cosine. One small network over time, shared by all
candidates, reads the curves of one candidate: its cosine, the same smoothed, less its mean over
the video, and less the best of the other candidates. It knows no class, so a name that was never
trained is read like one that was. A permutation of the candidates permutes the result. Heads score
a candidate by its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fact_clip.models.kernels import FrameConv, full_precision

CHANNELS = 16  # width of the network that all candidates share
LAYERS = 4  # its dilated layers
WINDOWS = (5, 25)  # rows over which similarities are smoothed

# Rows on each side of a row that the evidence depends on.
SIMILARITY_REACH = max(WINDOWS) // 2 + 2**LAYERS - 1


class SimilarityEvidence(nn.Module):
    """Convert the input and class texts to the evidence of each candidate.

    The first W columns of the input are the frame's vector in the space of the texts, before
    ``data.standardize`` scaled them: column * space[0] - space[1] is that vector less its mean over
    the training frames. Texts are taken less `centre`, so a constant gap has no effect.

    Args:
        input_dim: D.
        slots: S, text vectors of a class.
        space: (2, W) scale and shift of the frame vectors.
        centre: (S, W) mean of the texts of the training classes.
        channels: E, width of the network.
        layers: its dilated layers.
        windows: rows over which curves are smoothed.
    """

    space: Tensor
    centre: Tensor

    def __init__(
        self,
        input_dim: int,
        slots: int,
        space: Tensor,
        centre: Tensor,
        channels: int = CHANNELS,
        layers: int = LAYERS,
        windows: Sequence[int] = WINDOWS,
    ) -> None:
        super().__init__()
        self.windows = windows
        self.register_buffer("space", space)
        self.register_buffer("centre", centre)
        self.gain = space.shape[1] ** 0.5  # the cosine of two random vectors deviates by 1 / gain
        curves = slots * (3 + 2 * len(windows))
        self.read = nn.Linear(curves, channels)
        self.beside = nn.Linear(input_dim, channels, bias=False)
        self.dilated = nn.ModuleList(
            FrameConv(channels, channels, 3, 2**layer) for layer in range(layers)
        )
        self.mix = nn.ModuleList(nn.Linear(channels, channels) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None, text: Tensor) -> Tensor:
        """Compute the evidence.

        Args:
            x: (B, T, D).
            mask: (B, T) true at real frames, or None.
            text: (C, S, W) class texts.

        Returns:
            (B, T, E, C), zero for a candidate without words.
        """
        with full_precision(x):  # differences of cosines need more digits than bfloat16 has
            x = x.float()
            present = (text != 0).any(-1)  # (C, S)
            curves = self._curves(self.cosines(x, text, present), mask, present)
            hidden = self.read(curves)  # (B, C, T, E)
            hidden = torch.relu(hidden + self.beside(x).unsqueeze(1)).flatten(0, 1)  # (B*C, T, E)
            frame_mask = None
            if mask is not None:
                of_candidates = mask.unsqueeze(1).expand(-1, len(text), -1)  # (B, C, T)
                frame_mask = of_candidates.flatten(0, 1).unsqueeze(-1)  # (B*C, T, 1)

            for dilated, mix in zip(self.dilated, self.mix, strict=True):
                masked = hidden if frame_mask is None else hidden * frame_mask
                hidden = hidden + mix(torch.relu(dilated(masked)))

            evidence = torch.relu(hidden).unflatten(0, (len(x), len(text)))  # (B, C, T, E)
            evidence = evidence * present.any(-1)[:, None, None]
            return evidence.permute(0, 2, 3, 1).contiguous()

    def cosines(self, x: Tensor, text: Tensor, present: Tensor) -> Tensor:
        """Return the cosines of frames and words, both centred, times sqrt(W).

        Args:
            x: (B, T, D).
            text: (C, S, W) class texts.
            present: (C, S) true where there is a word.

        Returns:
            (B, C, S, T), zero where there is no word.
        """
        scale, shift = self.space
        frames = x[..., : len(scale)] * scale - shift  # (B, T, W)
        frames = nn.functional.normalize(frames, dim=-1)
        words = nn.functional.normalize(text - self.centre, dim=-1)  # (C, S, W)
        words = words * present.unsqueeze(-1) * self.gain
        return (words.flatten(0, 1) @ frames.transpose(1, 2)).unflatten(1, present.shape)

    def _curves(self, cosines: Tensor, mask: Tensor | None, present: Tensor) -> Tensor:
        """Return (B, C, T, S*K): each word's cosine, smoothed, less its mean and others."""
        if mask is None:
            real = cosines.new_ones(1, 1, cosines.shape[-1])
        else:
            real = mask.unsqueeze(1).to(cosines.dtype)  # (B, 1, T)
        curve = cosines.flatten(1, 2) * real  # (B, C*S, T)
        levels = [curve]
        for window in self.windows:
            weight = _smoothed(real, window).clamp(min=1e-6)
            levels.append(_smoothed(curve, window) / weight)

        mean = curve.sum(-1, keepdim=True) / real.sum(-1, keepdim=True)
        margins = [_margin(level, present) for level in levels]
        stacked = torch.stack([*levels, curve - mean, *margins], -1)  # (B, C*S, T, K)
        return stacked.unflatten(1, present.shape).transpose(2, 3).flatten(3)


def centre_of(text: Tensor) -> Tensor:
    """Return the mean (S, W) of the words in (C, S, W), where zeros are no words."""
    count = (text != 0).any(-1, keepdim=True).sum(0)  # (S, 1)
    return text.sum(0) / count.clamp(min=1)


def _smoothed(curves: Tensor, window: int) -> Tensor:
    """Return the centred mean of (B, N, T) over an odd `window`, with zeros beyond the ends."""
    half = window // 2
    return nn.functional.avg_pool1d(curves, 2 * half + 1, stride=1, padding=half)


def _margin(curves: Tensor, present: Tensor) -> Tensor:
    """Return (B, C*S, T) less the best other word of the slot, 0 without a word or another one."""
    curve = curves.unflatten(1, present.shape)  # (B, C, S, T)
    candidates = curve.masked_fill(~present.unsqueeze(-1), -torch.inf)
    best = candidates.topk(min(2, len(present)), dim=1).values
    first = best[:, :1]  # (B, 1, S, T)
    second = best[:, 1:] if len(present) > 1 else torch.full_like(first, -torch.inf)

    other = torch.where(curve < first, first, second)  # (B, C, S, T)
    is_compared = present.unsqueeze(-1) & (other > -torch.inf)
    margin = curve - other.masked_fill(~is_compared, 0.0)
    return torch.where(is_compared, margin, 0.0).flatten(1, 2)
