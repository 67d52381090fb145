"""Pretrained models of other libraries, for pictures and for texts: loading, running, errors."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import re
import ssl
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
from safetensors import SafetensorError

from fact_clip.core import Image, InputError, Singles, Size
from fact_clip.core.paths import expanded
from fact_clip.devices.device import Precision, pick_device, pick_precision

if TYPE_CHECKING:
    import torch

    # The preprocessing of a picture, to (3, h, w), or of clips, (N, L, 3, H, W) uint8; and the
    # model, from N of them to (N, D).
    PictureSide = tuple[Callable[[Any], torch.Tensor], Callable[[torch.Tensor], Any]]
    # The tokeniser of N texts; and the model, from tokens to (N, E), not normalised.
    TextSide = tuple[Callable[[list[str]], dict[str, torch.Tensor]], Callable[..., Any]]

TEXTS_AT_ONCE = 64
PATIENCE = 5.0  # seconds to wait for a response of the site of the weights

# Errors of the libraries when files are missing, broken or of another model.
FAILURES = (
    OSError, RuntimeError, ValueError, LookupError, AssertionError, AttributeError, TypeError,
    ImportError, EOFError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class Runtime:
    """How a model runs.

    Attributes:
        device: see `pick_device`.
        precision: of pictures. "bf16" keeps weights and activations in bfloat16, which is several
            times as fast where the device computes in it. "auto" uses it there. Text vectors are
            always in float32.
        compile: compile the image side with torch.compile, which pays off over many pictures.
    """

    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = False


class Pretrained(ABC):
    """A model of another library, loaded when it is first used. A local one is never downloaded."""

    def __init__(self, name: str, where: str, runtime: Runtime, is_local: bool) -> None:
        self.name = name
        self._where = where
        self._runtime = runtime
        self._is_local = is_local

    @abstractmethod
    def _load(self) -> Any:
        """Return the `torch.nn.Module` of the library, with its weights."""

    def _fix(self) -> str:
        if self._is_local:
            return ""
        return "run once where there is internet, or give local weights (docs/encoders.md)"

    @cached_property
    def precision(self) -> str:
        """Return the precision of pictures, "float32" or "bf16"."""
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
        """Read files in the block without running code in them, from the cache if offline."""
        from huggingface_hub import constants

        self._no_network = "" if self._is_local else no_network(constants.ENDPOINT)
        quiet = logging.root.manager.disable
        offline = constants.HF_HUB_OFFLINE
        logging.disable(max(quiet, logging.ERROR))  # libraries also log the errors that they raise
        constants.HF_HUB_OFFLINE = offline or bool(self._no_network)
        try:
            with _no_code(), self._errors(self._fix, self._no_network):
                yield
        finally:
            logging.disable(quiet)
            constants.HF_HUB_OFFLINE = offline

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

    def _run(self, function: Callable[..., Any], **inputs: torch.Tensor) -> Singles:
        """Run a side of the model on inputs on any device. Return (N, E) in main memory."""
        import torch

        weight = next(self.model.parameters())
        for key, value in inputs.items():
            dtype = weight.dtype if value.is_floating_point() else None
            inputs[key] = value.to(weight.device, dtype)
        with torch.inference_mode():
            features: torch.Tensor = function(**inputs)
        return features.float().cpu().numpy()


class PictureModel(Pretrained):
    """A pretrained frame encoder, see `fact_clip.encoders.FrameEncoder`."""

    size: Size = None
    context = 0
    clip_length = 1
    clip_stride = 3  # of an encoder of clips

    @abstractmethod
    def _picture_side(self) -> PictureSide:
        """Return the preprocessing of a picture, or of clips, and the model, of the weights."""

    @cached_property
    def _pictures(self) -> PictureSide:
        import torch

        side = self
        model = self.model
        if self.precision == "bf16":
            if isinstance(self, TextModel):  # texts are encoded in float32
                model = deepcopy(model)
            side = copy(self)
            side.__dict__["model"] = model.to(torch.bfloat16)
        with self._loading():
            transform, features = side._picture_side()
        if self._runtime.compile:
            features = torch.compile(features)
        dtype = next(side.model.parameters()).dtype
        return transform, lambda x: features(x.to(dtype))

    def load(self) -> None:
        """Load the weights now. An InputError says how to get missing ones."""
        _ = self._pictures

    def prepare(self, image: Image) -> Any:
        """Prepare (H, W, 3) -> (3, h, w) float32. Clips are prepared as a whole."""
        if self.clip_length > 1:
            return image
        from PIL import Image

        return self._pictures[0](Image.fromarray(image)).numpy()

    def encode_images(self, prepared: Any) -> Singles:
        """Encode (N, 3, h, w), or clips (N, L, H, W, 3) uint8 -> (N, D) float32, not normalised."""
        import torch

        transform, features = self._pictures
        with self._errors():
            pixels = torch.from_numpy(prepared)
            if self.clip_length > 1:
                pixels = transform(pixels.permute(0, 1, 4, 2, 3))
            return self._run(features, x=pixels)


class TextModel(Pretrained):
    """A pretrained text encoder, see `fact_clip.encoders.TextEncoder`."""

    @abstractmethod
    def _text_side(self) -> TextSide:
        """Return the tokeniser and the model, of the loaded weights."""

    @cached_property
    def _texts(self) -> Callable[[list[str]], Singles]:
        import torch

        _ = self.model
        with self._loading():
            tokenise, features = self._text_side()
        # without its vocabulary, as after an incomplete download, a tokeniser maps all words alike
        first = tokenise(["cut"])
        second = tokenise(["ham"])
        if all(torch.equal(first[key], second[key]) for key in first):
            problem = "its tokeniser makes 'cut' and 'ham' the same, as one without its vocabulary"
            raise InputError(self._where, problem, self._fix())
        with self._errors(self._fix):
            self._run(features, **first)
        return lambda texts: self._run(features, **tokenise(texts))

    def encode_texts(self, texts: list[str]) -> Singles:
        """Encode N texts -> (N, E) float32, unit rows. Reject a text that is too long."""
        embed = self._texts
        with self._errors():
            if not texts:
                return embed(["cut"])[:0]
            starts = range(0, len(texts), TEXTS_AT_ONCE)
            rows = np.concatenate([embed(texts[start : start + TEXTS_AT_ONCE]) for start in starts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@contextmanager
def _no_code() -> Iterator[None]:
    """Close the standard input in the block, and keep torch.load from running pickled code."""
    environment = dict(os.environ)
    stdin = sys.stdin
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        with Path(os.devnull).open() as sys.stdin:
            yield
    finally:
        sys.stdin = stdin
        del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        os.environ.update(environment)


def no_network(url: str) -> str:
    """Return why nothing can be downloaded from a site (HF_HUB_OFFLINE, no answer), or ""."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "no network: HF_HUB_OFFLINE=1"
    try:
        urlopen(Request(url, method="HEAD"), timeout=PATIENCE).close()
    except HTTPError:
        return ""  # a response
    except OSError as error:
        # an unknown certificate is a response too: the libraries bring their own certificates
        if isinstance(error, URLError) and isinstance(error.reason, ssl.SSLError):
            return ""
        return f"no network: {url} does not answer"
    return ""


def looks_local(path: str) -> bool:
    """Return whether a string is a path rather than a tag, or a name on a hub."""
    return (
        path.startswith(("/", ".", "~"))
        or path.count("/") > 1
        or Path(path).suffix in (".pt", ".safetensors")
    )


def local_folder(path: str, where: str) -> Path:
    """Return the path of an existing folder."""
    folder = expanded(path)
    if not folder.is_dir():
        raise InputError(where, f"no folder {folder}", "give a folder that has the model's files")
    return folder.resolve()


def content_name(path: Path) -> str:
    """Return the name of a file or folder with a digest of its content."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\n{file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"{path.name}@{digest.hexdigest()[:16]}"
