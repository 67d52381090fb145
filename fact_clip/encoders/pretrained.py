"""Pretrained models of other libraries, for images and for texts: loading, running, errors."""

from __future__ import annotations

import pickle
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from fact_clip.core import Image, InputError, Singles, Size
from fact_clip.devices.device import Precision, pick_device, pick_precision
from fact_clip.encoders.loading import safe_loading, why_offline

if TYPE_CHECKING:
    import torch

TEXTS_AT_ONCE = 64

# Errors of the libraries when files are missing, damaged or made for a different model.
FAILURES = (
    OSError, RuntimeError, ValueError, LookupError, AssertionError, AttributeError, TypeError,
    ImportError, EOFError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class Runtime:
    """How a model runs.

    Attributes:
        device: Device, see `pick_device`.
        precision: Precision of images. "bf16" keeps weights and activations in bfloat16, which is
            several times as fast if the device computes in it. "auto" uses it on such devices.
            Text vectors are always computed in float32.
        compile: Whether torch.compile compiles the image side, which pays off for many images.
    """

    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = False


@dataclass(frozen=True)
class ImageSide:
    """The part of a model that encodes images.

    Attributes:
        prepare: Preprocessing of an image of Pillow, to (3, h, w).
        encode: The model, from (N, 3, h, w) to features (N, D).
    """

    prepare: Callable[[Any], torch.Tensor]
    encode: Callable[[torch.Tensor], Any]


@dataclass(frozen=True)
class ClipSide:
    """The part of a model that encodes clips of L images.

    Attributes:
        prepare: Preprocessing of N clips, from (N, L, 3, H, W) uint8 to the input of the model.
        encode: The model, from this input to features (N, D).
    """

    prepare: Callable[[torch.Tensor], torch.Tensor]
    encode: Callable[[torch.Tensor], Any]


@dataclass(frozen=True)
class TextSide:
    """The part of a model that encodes texts.

    Attributes:
        tokenise: The tokeniser, from N texts to tensors by name.
        encode: The model, from these tensors as keyword arguments to vectors (N, E) of any length.
    """

    tokenise: Callable[[list[str]], dict[str, torch.Tensor]]
    encode: Callable[..., Any]


class Pretrained(ABC):
    """A model of a different library, loaded when it is first used.

    Args:
        name: Name of the encoder, as a run stores it.
        where: Location for errors.
        runtime: Device and precision.
        is_local: Whether all files are on this machine, so that nothing is downloaded.
    """

    def __init__(self, name: str, where: str, runtime: Runtime, is_local: bool) -> None:
        self.name = name
        self._where = where
        self._runtime = runtime
        self._is_local = is_local

    @abstractmethod
    def _load(self) -> Any:
        """Return the `torch.nn.Module` of the library, with its weights."""

    def _fix(self) -> str:
        """Return what the user can do if the model cannot be loaded."""
        if self._is_local:
            return ""
        return "run once where there is internet, or give local weights (docs/encoders.md)"

    @cached_property
    def precision(self) -> str:
        """Return the precision of images, "float32" or "bf16"."""
        device = pick_device(self._runtime.device)
        return pick_precision(self._runtime.precision, device, "precision", ("cpu", "cuda"))

    @cached_property
    def model(self) -> Any:
        """Load the `torch.nn.Module` on its device."""
        device = pick_device(self._runtime.device)
        with self._loading():
            return self._load().eval().float().to(device)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Load files of the library in the block; see `safe_loading`."""
        reason = "" if self._is_local else why_offline()
        with safe_loading(is_offline=bool(reason)), self._errors(self._fix, reason):
            yield

    @contextmanager
    def _errors(self, fix: Callable[[], str] = str, note: str = "") -> Iterator[None]:
        """Turn an error of a library into an InputError with the first sentence of its message."""
        try:
            yield
        except InputError:
            raise
        except FAILURES as error:
            sentence = re.split(r"\.\s|\n", str(error).strip() or "-")[0]
            problem = f"{type(error).__name__}: {sentence}"
            if note:
                problem = f"{problem} ({note})"
            raise InputError(self._where, problem, fix()) from error

    def _run(self, encode: Callable[..., Any], **inputs: torch.Tensor) -> Singles:
        """Run a part of the model on inputs on any device. Return (N, E) in main memory."""
        import torch

        weight = next(self.model.parameters())
        on_device = {key: value.to(weight.device) for key, value in inputs.items()}
        with torch.inference_mode():
            features: torch.Tensor = encode(**on_device)
        return features.float().cpu().numpy()


class ImageModel(Pretrained):
    """A pretrained frame encoder; see `fact_clip.encoders.FrameEncoder`."""

    size: Size = None
    context = 0
    clip_length = 1
    clip_stride = 3  # of an encoder of clips

    @abstractmethod
    def _image_side(self, model: Any) -> ImageSide | ClipSide:
        """Return the part of a loaded model that encodes images, or clips."""

    @cached_property
    def _images(self) -> ImageSide | ClipSide:
        import torch

        model = self.model
        if self.precision == "bf16":
            if isinstance(self, TextModel):
                model = deepcopy(model)  # the original encodes texts, in float32
            model = model.to(torch.bfloat16)  # converts in place
        with self._loading():
            side = self._image_side(model)
        encode = torch.compile(side.encode) if self._runtime.compile else side.encode
        dtype = next(model.parameters()).dtype
        return replace(side, encode=lambda pixels: encode(pixels.to(dtype)))

    def load(self) -> None:
        """Load the weights now. If they are missing, the InputError tells how to get them."""
        _ = self._images

    def prepare(self, image: Image) -> Any:
        """Prepare (H, W, 3) -> (3, h, w) float32. Clips are prepared as a whole."""
        side = self._images
        if isinstance(side, ClipSide):
            return image
        import PIL.Image

        return side.prepare(PIL.Image.fromarray(image)).numpy()

    def encode_images(self, prepared: Any) -> Singles:
        """Encode (N, 3, h, w), or clips (N, L, H, W, 3) uint8 -> (N, D) float32, not normalised."""
        import torch

        side = self._images
        with self._errors():
            pixels = torch.from_numpy(prepared)
            if isinstance(side, ClipSide):
                pixels = side.prepare(pixels.permute(0, 1, 4, 2, 3))
            return self._run(side.encode, pixels=pixels)


class TextModel(Pretrained):
    """A pretrained text encoder, see `fact_clip.encoders.TextEncoder`."""

    @abstractmethod
    def _text_side(self, model: Any) -> TextSide:
        """Return the part of a loaded model that encodes texts."""

    @cached_property
    def _texts(self) -> TextSide:
        import torch

        model = self.model
        with self._loading():
            side = self._text_side(model)
        # Without its vocabulary, as after an incomplete download, a tokeniser maps all words alike.
        first_tokens = side.tokenise(["cut"])
        second_tokens = side.tokenise(["ham"])
        if all(torch.equal(first_tokens[key], second_tokens[key]) for key in first_tokens):
            problem = "its tokeniser makes 'cut' and 'ham' the same, as one without its vocabulary"
            raise InputError(self._where, problem, self._fix())
        with self._errors(self._fix):
            self._run(side.encode, **first_tokens)
        return side

    def encode_texts(self, texts: list[str]) -> Singles:
        """Encode N texts -> (N, E) float32, unit rows. Reject a text that is too long."""
        side = self._texts
        batches = [
            texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)
        ]
        with self._errors():
            if not texts:
                return self._run(side.encode, **side.tokenise(["cut"]))[:0]
            rows = np.concatenate(
                [self._run(side.encode, **side.tokenise(batch)) for batch in batches]
            )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
