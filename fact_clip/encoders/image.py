"""Frame encoders of timm and torchvision: what a classifier of pictures feeds its last layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.encoders.image_text import Loaded, PretrainedEncoder, Runtime, content_name, local_file, need, split

if TYPE_CHECKING:
    import torch


def timm(rest: str, runtime: Runtime) -> PretrainedEncoder:
    """The pooled features of a backbone of timm: MODEL or MODEL/FILE."""
    need(f"timm:{rest}", "backbones", "timm")
    model, weights = split("timm", rest, "timm:MODEL or timm:MODEL/FILE")
    file = local_file(f"timm:{rest}", weights)

    def todo() -> str:
        import timm as library

        known = library.get_pretrained_cfg(model, allow_unregistered=True)
        hub = known.hf_hub_id if known else None
        place = f"https://huggingface.co/{hub}" if hub else known.url if known else None
        return f"download the weights{f' from {place}' if place else ''} and give timm:{model}/FILE"

    name = f"timm:{model}" if file is None else f"timm:{model}/{content_name(file)}"
    return PretrainedEncoder(name, lambda: _load_timm(model, file), todo, runtime)


def torchvision(rest: str, runtime: Runtime) -> PretrainedEncoder:
    """What a classifier of torchvision feeds its last layer: MODEL or MODEL/FILE."""
    need(f"torchvision:{rest}", "backbones", "torchvision")
    model, weights = split("torchvision", rest, "torchvision:MODEL or torchvision:MODEL/FILE")
    file = local_file(f"torchvision:{rest}", weights)

    def todo() -> str:
        import torch
        from torchvision import models

        if model not in models.list_models(module=models):
            return "torchvision.models.list_models() names the models"
        url, folder = models.get_model_weights(model).DEFAULT.url, Path(torch.hub.get_dir()) / "checkpoints"
        return f"download {url} into {folder}, or give torchvision:{model}/FILE"

    name = f"torchvision:{model}" if file is None else f"torchvision:{model}/{content_name(file)}"
    return PretrainedEncoder(name, lambda: _load_torchvision(model, file), todo, runtime)


def _load_timm(name: str, file: Path | None) -> Loaded:
    import timm

    model: Any = timm.create_model(name, pretrained=file is None, num_classes=0)
    if file is not None:
        head = model.pretrained_cfg.get("classifier") or ()
        _fill(model, file, (head,) if isinstance(head, str) else tuple(head))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    return transform, model, lambda whole, x: whole(x)


def _load_torchvision(name: str, file: Path | None) -> Loaded:
    import torch
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ValueError(f"no classifier {name!r}")
    weights = models.get_model_weights(name).DEFAULT
    model = models.get_model(name, weights=weights if file is None else None)
    if file is not None:
        _fill(model, file, ())
    last = [key for key, module in model.named_modules() if isinstance(module, torch.nn.Linear)][-1]
    model.set_submodule(last, torch.nn.Identity())
    return weights.transforms(), model, lambda whole, x: whole(x)


def _fill(model: torch.nn.Module, file: Path, left_out: tuple[str, ...]) -> None:
    """Load a checkpoint strictly but for the classifier, which the model no longer has."""
    import torch
    from safetensors.torch import load_file

    state: Any = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    prefixes = tuple(f"{name}." for name in left_out)
    state = state.get("state_dict", state)
    model.load_state_dict(
        {key: value for key, value in state.items() if not key.startswith(prefixes)} if prefixes else state
    )


_ROWS, _COLUMNS, _CELL = 6, 8, 8  # cells of 8 x 8 pixels
# Brings what is small in pictures (gradients, differences, products of them) to the size of a colour.
_GRADIENT, _MOTION, _FLOW = 4.0, 4.0, 16.0


class GridEncoder:
    """What is where, and what moves whither, in 6 x 8 cells of a 64 x 48 picture.

    A cell gives mean red, green and blue; mean absolute horizontal and vertical gradient; mean absolute change since
    the picture before; and that change times the gradients, whose sign tells the direction of a movement. Meant for the
    demo, the tests and fixed cameras, where it costs next to nothing; it knows no objects.

    Args:
        rest: what stands behind the colon; nothing does.

    Raises:
        InputError: something behind the colon.
    """

    name = "grid"
    size: tuple[int, int] | None = (_COLUMNS * _CELL, _ROWS * _CELL)
    context = 1
    dim = _ROWS * _COLUMNS * 8

    def __init__(self, rest: str = "", runtime: object = None) -> None:
        if rest:
            raise InputError(f"frame encoder 'grid:{rest}'", f"{rest!r} after the colon", "grid by itself")

    def load(self) -> None:
        """There is nothing to load."""

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture of `size` as it is."""
        return image

    def encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1 + N, 48, 64, 3) -> (N, 384) float32; the first picture is only what the second moved from."""
        colour = _cells(prepared[1:].astype(np.float32) / np.float32(255))  # (N, 6, 8, 3)
        # luma of BT.601 in 1/256, so that the sum stays whole
        grey = (prepared @ np.array([77, 150, 29], dtype=np.float32)) / np.float32(256 * 255)  # (1 + N, 48, 64)
        now, change = grey[1:], np.diff(grey, axis=0)
        across, down = np.zeros_like(now), np.zeros_like(now)
        across[:, :, 1:-1] = now[:, :, 2:] - now[:, :, :-2]
        down[:, 1:-1] = now[:, 2:] - now[:, :-2]
        planes = [
            _GRADIENT * np.abs(across),
            _GRADIENT * np.abs(down),
            _MOTION * np.abs(change),
            -_FLOW * change * across,
            -_FLOW * change * down,
        ]
        rest = [_cells(plane[..., None].astype(np.float32, copy=False)) for plane in planes]
        return np.concatenate([colour, *rest], axis=3).reshape(len(now), self.dim)


def _cells(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 48, 64, C) -> means over cells, (N, 6, 8, C)."""
    n, _, _, channels = planes.shape
    means: NDArray[np.float32] = planes.reshape(n, _ROWS, _CELL, _COLUMNS, _CELL, channels).mean(axis=(2, 4))
    return means
