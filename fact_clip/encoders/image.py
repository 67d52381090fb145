"""Frame encoders: backbones of timm and torchvision, image-text models of open_clip and transformers, and the grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.core.paths import expanded
from fact_clip.encoders.pretrained import (
    PictureModel,
    Runtime,
    TextModel,
    content_name,
    local_folder,
    looks_local,
)

if TYPE_CHECKING:
    import torch

    from fact_clip.encoders.pretrained import PictureSide, TextSide


class Backbone(PictureModel):
    """What a classifier of pictures, MODEL or MODEL/FILE, gives to its last layer."""

    library = ""

    def __init__(self, rest: str, where: str, runtime: Runtime) -> None:
        self._model_name, _, weights = rest.partition("/")
        self._file = expanded(weights) if weights else None
        if self._file is not None and not self._file.is_file():
            raise InputError(where, f"no file {self._file}")
        name = (
            self._model_name
            if self._file is None
            else f"{self._model_name}/{content_name(self._file)}"
        )
        super().__init__(f"{self.library}:{name}", where, runtime, is_local=self._file is not None)


class Timm(Backbone):
    """The pooled features of a backbone of timm."""

    library = "timm"

    def _copy(self) -> str:
        return f"copy: download the weights from https://huggingface.co/timm and give timm:{self._model_name}/FILE"

    def _load(self) -> Any:
        import timm

        model: Any = timm.create_model(
            self._model_name, pretrained=self._file is None, num_classes=0
        )
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
        model = models.get_model(
            self._model_name, weights=self._weights() if self._file is None else None
        )
        if self._file is not None:
            _fill(model, self._file, ())
        last = [
            key for key, module in model.named_modules() if isinstance(module, torch.nn.Linear)
        ][-1]
        model.set_submodule(last, torch.nn.Identity())
        return model

    def _picture_side(self) -> PictureSide:
        return self._weights().transforms(), self.model


def _fill(model: torch.nn.Module, file: Path, left_out: tuple[str, ...]) -> None:
    """Load a checkpoint strictly, but for the layers that the model no longer has."""
    import torch
    from safetensors.torch import load_file

    state: Any = (
        load_file(file)
        if file.suffix == ".safetensors"
        else torch.load(file, "cpu", weights_only=True)
    )
    prefixes = tuple(f"{name}." for name in left_out)
    state = state.get("state_dict", state)
    model.load_state_dict(
        {key: value for key, value in state.items() if not (prefixes and key.startswith(prefixes))}
    )


class ImageTextModel(PictureModel, TextModel):
    """One loaded model whose pictures and texts lie in one space."""


class OpenClip(ImageTextModel):
    """A model of open_clip: MODEL/TAG (`list_pretrained()`), MODEL/FILE, local-dir:FOLDER or hf-hub:OWNER/NAME."""

    def __init__(self, prefix: str, rest: str, where: str, runtime: Runtime) -> None:
        self._prefix, self._weights = prefix, None
        schema, _, path = rest.partition(":")
        if schema == "local-dir":
            folder = local_folder(path, where)
            self._model_name, name, is_local = f"local-dir:{folder}", content_name(folder), True
        elif schema == "hf-hub":
            self._model_name, name, is_local = rest, rest, False
        else:
            self._model_name, _, weights = rest.partition("/")
            if not self._model_name or not weights:
                fix = f"give {prefix}:MODEL/TAG (open_clip.list_pretrained() names them) or {prefix}:MODEL/FILE"
                raise InputError(where, "no model and weights", fix)
            file = expanded(weights)
            is_local = file.is_file() or looks_local(weights)
            if is_local and not file.is_file():
                raise InputError(where, f"no file {file}", f"a folder is {prefix}:local-dir:FOLDER")
            self._weights = str(file) if is_local else weights
            name = f"{self._model_name}/{content_name(file) if is_local else weights}"
        super().__init__(f"{prefix}:{name}", where, runtime, is_local)

    def _known(self) -> dict[str, Any]:
        """Return what the library knows of a tag."""
        import open_clip

        return (
            dict(open_clip.get_pretrained_cfg(self._model_name, self._weights))
            if self._weights
            else {}
        )

    def _copy(self) -> str:
        if self._weights is None:
            hub = self._model_name.removeprefix("hf-hub:")
            return f"folder: hf download {hub} --local-dir DIR, then {self._prefix}:local-dir:DIR"
        pretrained = self._known()
        hub, url = str(pretrained.get("hf_hub", "")).strip("/"), pretrained.get("url", "")
        weights = (
            f"open_clip_model.safetensors from https://huggingface.co/{hub}"
            if hub
            else f"the weights {url}"
        )
        # a file by itself does not say with which activation it was trained
        quick = (
            "-quickgelu"
            if pretrained.get("quick_gelu") and not self._model_name.endswith("-quickgelu")
            else ""
        )
        return f"copy: download {weights.strip()} and give {self._prefix}:{self._model_name}{quick}/FILE"

    def _load(self) -> Any:
        import open_clip

        if self._weights and not self._is_local and not self._known():
            fix = f"use one of open_clip.list_pretrained(), or {self._prefix}:MODEL/FILE"
            raise InputError(
                self._where, f"no model {self._model_name} with weights {self._weights}", fix
            )
        # OpenAI's weights need the activation that they were trained with, whatever the model's name says
        quick = bool(self._known().get("quick_gelu"))
        return open_clip.create_model(
            self._model_name,
            self._weights,
            require_pretrained=True,
            weights_only=True,
            force_quick_gelu=quick,
        )

    def _picture_side(self) -> PictureSide:
        import open_clip

        settings = open_clip.transform.PreprocessCfg(
            **open_clip.get_model_preprocess_cfg(self.model)
        )
        return open_clip.transform.image_transform_v2(
            settings, is_train=False
        ), self.model.encode_image

    def _text_side(self) -> TextSide:
        import open_clip

        config = open_clip.get_model_config(self._model_name) or {}
        if "hf_tokenizer_name" in config.get("text_cfg", {}):
            self._is_local = False  # a checkpoint may be local and its tokeniser on the hub
        with self._loading():
            tokeniser = open_clip.get_tokenizer(self._model_name)
        return lambda texts: {"text": tokeniser(texts)}, self.model.encode_text


class Transformers(ImageTextModel):
    """A CLIP or SigLIP model of transformers, in a folder or OWNER/NAME on the hub: safetensors alone, and no code."""

    def __init__(self, rest: str, where: str, runtime: Runtime) -> None:
        if not rest:
            raise InputError(
                where, "no model", "give transformers:FOLDER or transformers:OWNER/NAME"
            )
        is_local = expanded(rest).is_dir() or looks_local(rest)
        self._source = str(local_folder(rest, where)) if is_local else rest
        name = content_name(Path(self._source)) if is_local else rest
        super().__init__(f"transformers:{name}", where, runtime, is_local)

    def _copy(self) -> str:
        return f"folder: hf download {self._source} --local-dir DIR, then transformers:DIR"

    def _load(self) -> Any:
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        how = {"output_loading_info": True, "trust_remote_code": False, "use_safetensors": True}
        model, report = AutoModel.from_pretrained(self._source, **how)
        self._missing: list[str] = sorted(report["missing_keys"])
        return model

    def _check_side(self, side: str, *others: str) -> None:
        """Check that the model has a side, and all its weights but those that `others` begin with."""
        if not hasattr(self.model, f"get_{side}_features"):
            raise ValueError(
                f"a model of type {self.model.config.model_type!r}, which has no {side} features"
            )
        missing = [key for key in self._missing if not key.startswith((*others, "logit_"))]
        if missing:
            raise ValueError(f"no weights for {missing[0]}, which would be random")

    def _picture_side(self) -> PictureSide:
        from transformers import AutoImageProcessor

        self._check_side("image", "text_model", "text_projection")
        processor, model = (
            AutoImageProcessor.from_pretrained(self._source, trust_remote_code=False),
            self.model,
        )
        return (
            lambda image: processor(images=image, return_tensors="pt")["pixel_values"][0],
            lambda pixels: model.get_image_features(pixel_values=pixels),
        )

    def _text_side(self) -> TextSide:
        from transformers import AutoTokenizer

        self._check_side("text", "vision_model")
        tokeniser, config = (
            AutoTokenizer.from_pretrained(self._source, trust_remote_code=False),
            self.model.config,
        )
        length = config.text_config.max_position_embeddings
        # SigLIP was trained on texts padded to full length, without a mask
        siglip = config.model_type.startswith("siglip")
        padding: dict[str, Any] = (
            {"padding": "max_length", "max_length": length} if siglip else {"padding": True}
        )

        def tokenise(texts: list[str]) -> dict[str, torch.Tensor]:
            tokens = tokeniser(texts, return_tensors="pt", **padding)
            if tokens["input_ids"].shape[1] > length:
                raise ValueError(
                    f"a text of {tokens['input_ids'].shape[1]} tokens, where the model takes {length}"
                )
            return {
                key: tokens[key]
                for key in (("input_ids",) if siglip else ("input_ids", "attention_mask"))
            }

        return tokenise, self.model.get_text_features


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
        grey = (prepared @ np.array([77, 150, 29], dtype=np.float32)) / np.float32(
            256 * 255
        )  # (1 + N, 48, 64)
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
