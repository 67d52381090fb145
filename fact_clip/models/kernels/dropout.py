"""Dropout from few random bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Drop elements as ``nn.Dropout`` does, with 16 random bits for each.

    The probability is rounded to 1 / 65,536. torch draws 53 bits, which takes longer than the rest.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, of any shape, with elements dropped and the others scaled."""
        on_cpu = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if not self.training or not 0 < self.p < 1 or not on_cpu:
            return super().forward(x)

        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64)  # of four elements each
        words.random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)

        threshold = round(self.p * 2**16) - 2**15
        mask = torch.ge(bits, threshold, out=torch.empty_like(x.detach()))
        return x * mask.mul_(1 / (1 - self.p))
