"""Frame encoders of pictures alone: the backbones of timm and torchvision, and the built-in grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.core.paths import expanded
from fact_clip.encoders.pretrained import PictureModel, Runtime, content_name

if TYPE_CHECKING:
    import torch

    from fact_clip.encoders.pretrained import PictureSide


class Backbone(PictureModel):
    """What a classifier of pictures, MODEL or MODEL/FILE, gives to its last layer."""

    library = ""

    def __init__(self, rest: str, where: str, runtime: Runtime) -> None:
        self._model_name, _, weights = rest.partition("/")
        self._file = expanded(weights) if weights else None
        if self._file is not None and not self._file.is_file():
            raise InputError(where, f"no file {self._file}")
        name = self._model_name if self._file is None else f"{self._model_name}/{content_name(self._file)}"
        super().__init__(f"{self.library}:{name}", where, runtime, is_local=self._file is not None)


class Timm(Backbone):
    """The pooled features of a backbone of timm."""

    library = "timm"

    def _copy(self) -> str:
        return f"copy: download the weights from https://huggingface.co/timm and give timm:{self._model_name}/FILE"

    def _load(self) -> Any:
        import timm

        model: Any = timm.create_model(self._model_name, pretrained=self._file is None, num_classes=0)
        if self._file is not None:
            head = model.pretrained_cfg.get("classifier") or ()
            _fill(model, self._file, (head,) if isinstance(head, str) else tuple(head))
        return model

    def _picture_side(self) -> PictureSide:
        import timm

        settings = timm.data.resolve_model_data_config(self.model)
        return timm.data.create_transform(**settings, is_training=False), self.model


class Torchvision(Backbone):
    """A classifier of torchvision without its last layer."""

    library = "torchvision"
    site = "https://download.pytorch.org"

    def _weights(self) -> Any:
        from torchvision import models

        if self._model_name not in models.list_models(module=models):
            fix = "use one of torchvision.models.list_models()"
            raise InputError(self._where, f"no classifier {self._model_name!r}", fix)
        return models.get_model_weights(self._model_name).DEFAULT

    def _copy(self) -> str:
        return f"copy: download {self._weights().url} and give torchvision:{self._model_name}/FILE"

    def _load(self) -> Any:
        import torch
        from torchvision import models

        downloaded = Path(torch.hub.get_dir()) / "checkpoints" / Path(self._weights().url).name
        if self._no_network and not downloaded.is_file():
            raise FileNotFoundError(f"no file {downloaded}")
        model = models.get_model(self._model_name, weights=self._weights() if self._file is None else None)
        if self._file is not None:
            _fill(model, self._file, ())
        last = [key for key, module in model.named_modules() if isinstance(module, torch.nn.Linear)][-1]
        model.set_submodule(last, torch.nn.Identity())
        return model

    def _picture_side(self) -> PictureSide:
        return self._weights().transforms(), self.model


def _fill(model: torch.nn.Module, file: Path, left_out: tuple[str, ...]) -> None:
    """Load a checkpoint strictly, but for the layers that the model no longer has."""
    import torch
    from safetensors.torch import load_file

    state: Any = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    prefixes = tuple(f"{name}." for name in left_out)
    state = state.get("state_dict", state)
    model.load_state_dict({key: value for key, value in state.items() if not (prefixes and key.startswith(prefixes))})


_ROWS, _COLUMNS, _CELL = 6, 8, 8  # cells of 8 x 8 pixels
# Bring gradients, differences and their products, which are small, to the range of a colour.
_GRADIENT, _MOTION, _FLOW = 4.0, 4.0, 16.0


class GridEncoder:
    """Colour, edges and motion in 6 x 8 cells of a 64 x 48 picture; NumPy only. It knows no objects.

    A cell gives mean red, green and blue; mean absolute horizontal and vertical gradient; mean absolute change since
    the picture before; and that change times the gradients, whose sign tells the direction of a movement.
    """

    name = "grid"
    size: tuple[int, int] | None = (_COLUMNS * _CELL, _ROWS * _CELL)
    context = 1
    dim = _ROWS * _COLUMNS * 8

    def load(self) -> None:
        """Do nothing; there are no weights."""

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture, of `size`, as it is."""
        return image

    def encode_images(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode (1 + N, 48, 64, 3) -> (N, 384) float32; the first picture only serves the motion of the second."""
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
    """Average over cells: (N, 48, 64, C) -> (N, 6, 8, C)."""
    n, _, _, channels = planes.shape
    return planes.reshape(n, _ROWS, _CELL, _COLUMNS, _CELL, channels).mean(axis=(2, 4))
