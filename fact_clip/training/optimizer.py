"""How weights are updated: the optimiser, the moving average, the learning rate, and the precision of products."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fact_clip.config import TrainConfig
from fact_clip.core.distributed import pick_device
from fact_clip.models import FACT

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def make_optimizer(model: FACT, settings: TrainConfig) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD (momentum 0.9)."""
    extra = {"momentum": 0.9} if settings.optimizer == "sgd" else {}
    kind = OPTIMIZERS[settings.optimizer]
    # One pass over all parameters a step; torch's loop over them takes twice as long on the CPU.
    return kind(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True, **extra)


def averaged(model: FACT, decay: float) -> AveragedModel:
    """The exponential moving average of a model's weights, which starts at the weights themselves."""
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.n_averaged.fill_(1)  # else the first step would replace the start instead of being averaged with it
    return average


def lr_factor(settings: TrainConfig, epoch: float) -> float:
    """Share of ``train.lr`` at a time counted in epochs (fractions are steps inside one)."""
    warm = min(1.0, (epoch + 1e-3) / settings.warmup) if settings.warmup else 1.0
    if settings.schedule == "step":
        return warm * 0.1 ** (int(epoch) // settings.lr_decay)
    if settings.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
    return warm


@contextmanager
def numerics(settings: TrainConfig) -> Iterator[None]:
    """Set how torch multiplies in a training (on CUDA in TF32 unless ``train.precision`` is float32), and undo it."""
    products = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if pick_device(settings.device, "train.device").type == "cuda":
        exact = settings.precision == "float32"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS needs for it
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products[0])
        torch.backends.cudnn.allow_tf32 = products[1]
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
