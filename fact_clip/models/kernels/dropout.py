"""Dropout from few random bits."""

import torch
from torch import Tensor, nn

from fact_clip.models.kernels.base import use_cpu_kernel


class Dropout(nn.Dropout):
    """Drop elements as ``nn.Dropout`` does, with 16 random bits for each.

    The probability is rounded to 1 / 65,536. torch draws 53 bits, which takes longer than the rest.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, of any shape, with elements dropped and the others scaled."""
        if not self.training or not 0 < self.p < 1 or not use_cpu_kernel(x):
            return super().forward(x)

        n_elements = x.numel()
        n_words = -(-n_elements // 4)  # of four elements each
        words = torch.empty(n_words, dtype=torch.int64)
        words.random_(-(2**63), None)
        bits = words.view(torch.int16)[:n_elements]
        bits = bits.view(x.shape)

        threshold = round(self.p * 2**16) - 2**15
        mask = torch.empty_like(x.detach())
        torch.ge(bits, threshold, out=mask)
        scale = 1 / (1 - self.p)
        return x * mask.mul_(scale)
