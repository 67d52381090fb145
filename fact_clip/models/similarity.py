"""Evidence of similarity curves, for features in a joint space with text.

See docs/method.md, "Similarity evidence", for the formulas.

Frames and names are compared by their cosine. One small network over time, shared by all
candidates, reads the curves of one candidate: its cosine, also smoothed, its difference from the
mean over the video, and its margin over the best of the other candidates. The network does not
depend on classes, so it reads an untrained name like a trained one. A permutation of the candidates
permutes the result. Heads score a candidate by its evidence.

Symbols: B videos, T frames, D input columns, C candidates, S words of a candidate (one per slot), W
width of the space, K curves of a word, E channels of the evidence.
"""

import torch
from torch import Tensor, nn

from fact_clip.models.kernels.base import full_precision
from fact_clip.models.kernels.convolution import FrameConv

CHANNELS = 16  # width of the network that all candidates share
LAYERS = 4  # number of dilated layers of this network
WINDOWS = (5, 25)  # numbers of rows over which similarities are smoothed

# Number of rows on each side of a row that the evidence depends on.
SIMILARITY_REACH = max(WINDOWS) // 2 + 2**LAYERS - 1


class SimilarityEvidence(nn.Module):
    """Converts the input and class texts to the evidence of each candidate.

    The first W columns of the input are the frame's vector in the space of the texts, scaled by
    ``data.standardize``. The vector minus its mean over the training frames is therefore
    column * space[0] - space[1]. `centre` is subtracted from texts, so a constant gap between
    frames and texts has no effect.

    Args:
        input_dim: Number of input columns, D.
        slots: Number of words of a candidate, S.
        space: Scale and shift of the frame vectors, (2, W).
        centre: Mean of the texts of the training classes, (S, W).
    """

    space: Tensor
    centre: Tensor

    def __init__(
        self,
        input_dim: int,
        slots: int,
        space: Tensor,
        centre: Tensor,
    ) -> None:
        super().__init__()
        self.register_buffer("space", space)
        self.register_buffer("centre", centre)
        self.gain = space.shape[1] ** 0.5  # 1 / gain is the deviation of random vectors' cosine

        n_levels = 1 + len(WINDOWS)  # a curve, and its mean over each window
        n_curves = 2 * n_levels + 1  # K: levels, their margins, and the curve minus its mean

        # These are R, R', W_1 and W_2 in the formulas. Attributes are names of saved weights.
        self.read = nn.Linear(slots * n_curves, CHANNELS)
        self.beside = nn.Linear(input_dim, CHANNELS, bias=False)
        self.dilated = nn.ModuleList(
            FrameConv(CHANNELS, CHANNELS, 3, 2**layer) for layer in range(LAYERS)
        )
        self.mix = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS) for _ in range(LAYERS))

    def forward(self, x: Tensor, mask: Tensor | None, text: Tensor) -> Tensor:
        """Compute the evidence.

        Args:
            x: Input, (B, T, D).
            mask: Real frames (B, T), or None.
            text: Class texts, (C, S, W). A vector of zeros means a missing word.

        Returns:
            Evidence (B, T, E, C), zero for a candidate without words.
        """
        with full_precision(x):  # differences of cosines need more digits than bfloat16 has
            x = x.float()
            has_word = (text != 0).any(-1)  # (C, S)
            cosines = self.cosines(x, text, has_word)  # (B, C, S, T)
            curves = self._curves(cosines, mask, has_word)  # (B, C, T, S*K)
            input_part = self.beside(x).unsqueeze(1)  # (B, 1, T, E), the same for all candidates
            hidden = torch.relu(self.read(curves) + input_part)  # (B, C, T, E)

            # The network over time reads each candidate of each video as a sequence.
            hidden = hidden.flatten(0, 1)  # (B*C, T, E)
            frame_mask = None
            if mask is not None:
                candidate_mask = mask.unsqueeze(1).expand(-1, len(text), -1)  # (B, C, T)
                frame_mask = candidate_mask.flatten(0, 1).unsqueeze(-1)  # (B*C, T, 1)
            for dilated, mix in zip(self.dilated, self.mix, strict=True):
                masked = hidden if frame_mask is None else hidden * frame_mask
                hidden = hidden + mix(torch.relu(dilated(masked)))

            evidence = torch.relu(hidden).unflatten(0, (len(x), len(text)))  # (B, C, T, E)
            has_words = has_word.any(-1)  # (C,)
            evidence = evidence * has_words[:, None, None]
            return evidence.permute(0, 2, 3, 1).contiguous()

    def cosines(self, x: Tensor, text: Tensor, has_word: Tensor) -> Tensor:
        """Return the cosines of frames and words, both centred, times sqrt(W).

        Args:
            x: Input, (B, T, D).
            text: Class texts, (C, S, W).
            has_word: Whether there is a word, (C, S).

        Returns:
            Cosines (B, C, S, T), zero for missing words.
        """
        scale, shift = self.space  # (W,) both
        frames = x[..., : len(scale)] * scale - shift  # (B, T, W)
        frames = nn.functional.normalize(frames, dim=-1)
        words = nn.functional.normalize(text - self.centre, dim=-1)  # (C, S, W)
        words = words * has_word.unsqueeze(-1) * self.gain
        products = words.flatten(0, 1) @ frames.transpose(1, 2)  # (B, C*S, T)
        return products.unflatten(1, has_word.shape)

    def _curves(self, cosines: Tensor, mask: Tensor | None, has_word: Tensor) -> Tensor:
        """Return the curves (B, C, T, S*K) of each candidate for cosines (B, C, S, T).

        The curves of a word are its levels (the cosine, and its mean over each window), the cosine
        minus its mean over the video, and the margin of each level.
        """
        if mask is None:
            is_real = cosines.new_ones(1, 1, cosines.shape[-1])  # (1, 1, T)
        else:
            is_real = mask.unsqueeze(1).to(cosines.dtype)  # (B, 1, T), 1 at real frames

        curve = cosines.flatten(1, 2) * is_real  # (B, C*S, T)
        levels = [curve]
        for window in WINDOWS:
            real_share = _smoothed(is_real, window).clamp(min=1e-6)  # of frames in the window
            levels.append(_smoothed(curve, window) / real_share)

        mean = curve.sum(-1, keepdim=True) / is_real.sum(-1, keepdim=True)  # (B, C*S, 1)
        margins = [_margin(level, has_word) for level in levels]
        curves = torch.stack([*levels, curve - mean, *margins], -1)  # (B, C*S, T, K)
        by_word = curves.unflatten(1, has_word.shape)  # (B, C, S, T, K)
        return by_word.transpose(2, 3).flatten(3)


def _smoothed(curves: Tensor, window: int) -> Tensor:
    """Return the centred mean of (B, N, T) over a window, with zeros beyond the ends.

    An even window is extended by one frame.
    """
    half = window // 2
    return nn.functional.avg_pool1d(curves, 2 * half + 1, stride=1, padding=half)


def _margin(level: Tensor, has_word: Tensor) -> Tensor:
    """Return a level (B, C*S, T) minus the best other candidate's, in the same slot and frame.

    It is 0 if the candidate or all others have no word.
    """
    n_candidates = len(has_word)
    by_slot = level.unflatten(1, has_word.shape)  # (B, C, S, T)
    word_levels = by_slot.masked_fill(~has_word.unsqueeze(-1), -torch.inf)
    highest = word_levels.topk(min(2, n_candidates), dim=1).values  # (B, 1 or 2, S, T)
    best = highest[:, :1]  # (B, 1, S, T)
    if n_candidates > 1:
        second_best = highest[:, 1:]
    else:
        second_best = torch.full_like(best, -torch.inf)

    # The best of the others is the best of all, except for the best candidate itself.
    best_other = torch.where(by_slot < best, best, second_best)  # (B, C, S, T)
    is_compared = has_word.unsqueeze(-1) & (best_other > -torch.inf)
    margin = by_slot - best_other.masked_fill(~is_compared, 0.0)  # no infinity in the gradient
    return torch.where(is_compared, margin, 0.0).flatten(1, 2)


def centre_of(text: Tensor) -> Tensor:
    """Return the mean (S, W) of the words in (C, S, W), ignoring missing words (zeros)."""
    count = (text != 0).any(-1, keepdim=True).sum(0)  # (S, 1)
    return text.sum(0) / count.clamp(min=1)
