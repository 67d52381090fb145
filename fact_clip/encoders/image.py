"""Frame encoders: timm, open_clip, video models, functions, and the grid of cells.

The models of other libraries are `ImageModel` and `TextModel` of `pretrained.py`, which load and
run them. A class here provides these hooks:

    _load           returns the network of the library, with its weights
    _image_side     for `ImageModel`: returns the preprocessing of an image, and the encoder
    _text_side      for `TextModel`: returns the tokeniser, and the encoder

They are called inside `_loading`, which turns errors of the library into an InputError. Names of
encoders are read in `__init__.py`; the part after the colon is the `reference` here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from fact_clip.core import Image, InputError, Json, Names, Singles, Size
from fact_clip.core.arguments import array_of
from fact_clip.core.io import check_uncompressed
from fact_clip.core.paths import expanded
from fact_clip.encoders.local_files import content_name, local_folder, looks_local
from fact_clip.encoders.pretrained import (
    ClipSide,
    ImageModel,
    ImageSide,
    Runtime,
    TextModel,
    TextSide,
)

if TYPE_CHECKING:
    import torch


class Timm(ImageModel):
    """The pooled features of a backbone of timm, MODEL or MODEL/FILE.

    FILE has weights of this machine. Without it the weights of the library are downloaded.
    """

    def __init__(self, reference: str, where: str, runtime: Runtime) -> None:
        self._model_name, _, weights = reference.partition("/")
        self._file = expanded(weights) if weights else None
        name = f"timm:{self._model_name}"
        if self._file is not None:
            if not self._file.is_file():
                raise InputError(where, f"no file {self._file}")
            name = f"{name}/{content_name(self._file)}"
        super().__init__(name, where, runtime, is_local=self._file is not None)

    def _load(self) -> Any:
        import timm

        model: Any = timm.create_model(
            self._model_name, pretrained=self._file is None, num_classes=0
        )
        if self._file is not None:
            # Names of the last layers, which num_classes=0 has removed from the model.
            head = model.pretrained_cfg.get("classifier") or ()
            removed = (head,) if isinstance(head, str) else tuple(head)
            _load_checkpoint(model, self._file, removed)
        return model

    def _image_side(self, model: Any) -> ImageSide:
        import timm

        settings = timm.data.resolve_model_data_config(model)
        return ImageSide(timm.data.create_transform(**settings, is_training=False), model)


def _load_checkpoint(model: torch.nn.Module, file: Path, removed: Names) -> None:
    """Load a checkpoint strictly, except for the layers that were removed from the model."""
    import torch
    from safetensors.torch import load_file

    state: Any
    if file.suffix == ".safetensors":
        state = load_file(file)
    else:
        check_uncompressed(file)
        state = torch.load(file, "cpu", weights_only=True)
    state = state.get("state_dict", state)
    prefixes = tuple(f"{name}." for name in removed)
    weights = {name: value for name, value in state.items() if not name.startswith(prefixes)}
    model.load_state_dict(weights)


# Times the context of a model. Hardly any text is cut in a context of this length.
_UNCUT = 16


class OpenClip(ImageModel, TextModel):
    """A model of open_clip.

    Its name is MODEL/TAG, MODEL/FILE, local-dir:FOLDER or hf-hub:OWNER/NAME.
    """

    def __init__(self, prefix: str, reference: str, where: str, runtime: Runtime) -> None:
        self._weights: str | None = None  # a tag or a file; None for a folder or a hub
        schema, _, path = reference.partition(":")
        if schema == "local-dir":
            folder = local_folder(path, where)
            self._model_name = f"local-dir:{folder}"
            name = content_name(folder)
            is_local = True
        elif schema == "hf-hub":
            self._model_name = reference
            name = reference
            is_local = False
        else:
            self._model_name, _, weights = reference.partition("/")
            if not self._model_name or not weights:
                tags = "open_clip.list_pretrained() names them"
                fix = f"give {prefix}:MODEL/TAG ({tags}) or {prefix}:MODEL/FILE"
                raise InputError(where, "no model and weights", fix)
            file = expanded(weights)
            is_local = file.is_file() or looks_local(weights)
            if is_local and not file.is_file():
                raise InputError(where, f"no file {file}", f"a folder is {prefix}:local-dir:FOLDER")
            self._weights = str(file) if is_local else weights
            weights_name = content_name(file) if is_local else weights
            name = f"{self._model_name}/{weights_name}"
        super().__init__(f"{prefix}:{name}", where, runtime, is_local)

    def _load(self) -> Any:
        import open_clip

        settings: Json = {}  # what the library knows about a tag
        if self._weights:
            settings = open_clip.get_pretrained_cfg(self._model_name, self._weights)
            if not self._is_local and not settings:
                problem = f"no model {self._model_name} with weights {self._weights}"
                fix = "use one of open_clip.list_pretrained()"
                raise InputError(self._where, problem, fix)
        return open_clip.create_model(
            self._model_name,
            self._weights,
            require_pretrained=True,
            weights_only=True,
            # OpenAI's weights need the activation that they were trained with.
            force_quick_gelu=bool(settings.get("quick_gelu")),
        )

    def _image_side(self, model: Any) -> ImageSide:
        import open_clip

        values = open_clip.get_model_preprocess_cfg(model)
        settings = open_clip.transform.PreprocessCfg(**values)
        transform = open_clip.transform.image_transform_v2(settings, is_train=False)
        return ImageSide(transform, model.encode_image)

    def _text_side(self, model: Any) -> TextSide:
        import open_clip

        config = open_clip.get_model_config(self._model_name) or {}
        if "hf_tokenizer_name" in config.get("text_cfg", {}):
            # The tokeniser is on the hub, even if the checkpoint is local. `_loading` reads
            # `_is_local`, and only looks for the network if it is false.
            self._is_local = False
        with self._loading():
            tokeniser = open_clip.get_tokenizer(self._model_name)

        def tokenise(texts: list[str]) -> dict[str, torch.Tensor]:
            tokens = tokeniser(texts)  # (N, L)
            length = tokens.shape[1]
            uncut = tokeniser(texts, context_length=_UNCUT * length)  # (N, 16 L)
            # open_clip cuts a long text without a word; its tokens then differ from the uncut ones.
            is_cut = (tokens != uncut[:, :length]).any(dim=1).tolist()
            if any(is_cut):
                start = texts[is_cut.index(True)][:40]
                raise ValueError(f"more than the {length} tokens that the model takes in {start!r}")
            return {"text": tokens}

        return TextSide(tokenise, model.encode_text)


class VideoModel(ImageModel):
    """A model of clips of transformers (VideoMAE, V-JEPA 2, ...), a folder or OWNER/NAME.

    It reads safetensors and runs no code.
    """

    def __init__(self, reference: str, where: str, runtime: Runtime) -> None:
        if not reference:
            fix = "give transformers:FOLDER or transformers:OWNER/NAME"
            raise InputError(where, "no model", fix)
        is_local = expanded(reference).is_dir() or looks_local(reference)
        self._source = str(local_folder(reference, where)) if is_local else reference
        name = content_name(Path(self._source)) if is_local else reference
        super().__init__(f"transformers:{name}", where, runtime, is_local)

    def _load(self) -> Any:
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        model, report = AutoModel.from_pretrained(
            self._source,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        if _clip_length(model) < 2:
            problem = f"a model of type {model.config.model_type!r}, which does not read clips"
            fix = "for CLIP and SigLIP use clip:MODEL/TAG of open_clip (docs/encoders.md)"
            raise InputError(self._where, problem, fix)
        missing = sorted(report["missing_keys"])
        if missing:
            raise ValueError(f"no weights for {missing[0]}, which would be random")
        return model

    @cached_property
    def clip_length(self) -> int:  # type: ignore[override]
        """Return the number of pictures of a clip. It loads the model."""
        return _clip_length(self.model)

    def _image_side(self, model: Any) -> ClipSide:
        from transformers import AutoVideoProcessor

        processor = AutoVideoProcessor.from_pretrained(self._source, trust_remote_code=False)

        def transform(clips: torch.Tensor) -> torch.Tensor:
            # (N, L, 3, H, W); the name of the only value differs between models
            (values,) = processor(list(clips), return_tensors="pt").values()
            return values

        return ClipSide(transform, lambda clips: model(clips).last_hidden_state.mean(dim=1))


def _clip_length(model: Any) -> int:
    """Return the number of pictures that a model of transformers reads at once."""
    config = model.config
    return int(getattr(config, "num_frames", 0) or getattr(config, "frames_per_clip", 1))


# The grid of `GridEncoder`.
_ROWS = 6
_COLUMNS = 8
_CELL = 8  # pixels
_CHANNELS = 8  # of a cell: red, green, blue, then the five `planes`
# Factors that bring gradients, changes and their products to the range of a colour.
_GRADIENT = 4.0
_MOTION = 4.0
_FLOW = 16.0


class _Plain:
    """A frame encoder without weights; see `FrameEncoder` for `size` and `context`."""

    size: Size = None
    context = 0

    def load(self) -> None:
        """Do nothing, because there are no weights."""

    def prepare(self, image: Image) -> Image:
        """Return the picture unchanged."""
        return image


class FunctionEncoder(_Plain):
    """A function of pictures (N, H, W, 3) uint8 to features (N, D).

    Features are compatible if their encoders have the same name. Two functions, or one function
    that has been edited, may compute different features. A function without a name therefore gets
    a new name each time, and `register` gives it a fixed name.
    """

    def __init__(self, function: Callable[[Image], Any], name: str = "") -> None:
        own_name = getattr(function, "__name__", type(function).__name__)
        self.name = name or f"{own_name}@{uuid4().hex}"
        self._function = function

    def encode_images(self, prepared: Image) -> Singles:
        """Call the function: (N, H, W, 3) -> (N, D) float32."""
        expected = f"features ({len(prepared)}, D)"
        features = array_of(self._function(prepared), f"encoder {self.name!r}", expected)
        if features.ndim != 2 or len(features) != len(prepared):
            raise InputError(f"encoder {self.name!r}", f"shape {features.shape}, not {expected}")
        return features.astype(np.float32)


class GridEncoder(_Plain):
    """Colour, edges and motion in 6 x 8 cells of a 64 x 48 picture, computed with NumPy.

    A cell has mean red, green and blue, mean absolute horizontal and vertical gradient, mean
    absolute change since the previous picture, and the change times the gradients, with its sign,
    which is the direction of a movement.
    """

    name = "grid"
    size = (_COLUMNS * _CELL, _ROWS * _CELL)
    context = 1
    dim = _ROWS * _COLUMNS * _CHANNELS

    def encode_images(self, prepared: Image) -> Singles:
        """Encode (1 + N, 48, 64, 3) -> (N, 384) float32. The first picture is only context."""
        colour = _cells(prepared[1:].astype(np.float32) / np.float32(255))  # (N, 6, 8, 3)
        # luma of BT.601 in units of 1/256, so that the sums are whole numbers
        luma = prepared @ np.array([77, 150, 29], dtype=np.float32)  # (1 + N, 48, 64)
        grey = luma / np.float32(256 * 255)  # (1 + N, 48, 64), 0 to 1
        change = np.diff(grey, axis=0)  # (N, 48, 64)
        current = grey[1:]  # (N, 48, 64), like all below until `_cells`
        across = np.zeros_like(current)
        down = np.zeros_like(current)
        across[:, :, 1:-1] = current[:, :, 2:] - current[:, :, :-2]
        down[:, 1:-1] = current[:, 2:] - current[:, :-2]
        planes = [
            _GRADIENT * np.abs(across),
            _GRADIENT * np.abs(down),
            _MOTION * np.abs(change),
            -_FLOW * change * across,
            -_FLOW * change * down,
        ]
        columns = [colour]
        for plane in planes:
            # This is float32 already, but the type stubs need `astype`.
            columns.append(_cells(plane[..., None].astype(np.float32, copy=False)))
        # (N, 6, 8, 8) -> (N, 384)
        return np.concatenate(columns, axis=3).reshape(len(current), self.dim)


def _cells(planes: Singles) -> Singles:
    """Average over cells: (N, 48, 64, C) -> (N, 6, 8, C)."""
    n, _, _, channels = planes.shape
    return planes.reshape(n, _ROWS, _CELL, _COLUMNS, _CELL, channels).mean(axis=(2, 4))
