"""InfoNCE between frames and class texts, the published FACT-CLIP alignment loss."""

from __future__ import annotations

import torch
from torch import Tensor


def info_nce(similarity: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    """Mean of video-to-text and text-to-video cross entropy over the seen classes, mean over the videos.

    Args:
        similarity: (B, T, C) frame-text similarity over the temperature.
        labels: (B, T) class indices, -1 where a frame is left out.
        seen: (K,) the seen classes.
    """
    return torch.stack([_one(s, y, seen) for s, y in zip(similarity, labels, strict=True)]).mean()


def _one(similarity: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    column = torch.full((similarity.shape[1] + 1,), -1, device=labels.device)
    column[seen] = torch.arange(len(seen), device=labels.device)
    target = column[labels]  # (T,) position among the seen classes; the spare last entry answers label -1
    used = target >= 0
    if not bool(used.any()):
        return similarity.sum() * 0
    scores, target = similarity[used][:, seen], target[used]  # (T', K)
    to_text = torch.nn.functional.cross_entropy(scores, target)
    onehot = torch.nn.functional.one_hot(target, len(seen)).to(scores.dtype)
    to_video = -(scores.log_softmax(0) * onehot).sum(0) / onehot.sum(0).clamp(min=1)  # (K,)
    return (to_text + to_video.mean()) / 2
