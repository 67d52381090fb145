"""Encoders of images and texts, by name. Models and torch are loaded when they are used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import isfunction
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from fact_clip.core import Array, Image, InputError, Singles, Size
from fact_clip.core.arguments import validated
from fact_clip.core.extras import require
from fact_clip.core.paths import expanded
from fact_clip.core.plugins import PluginTable
from fact_clip.encoders.image import (
    FunctionEncoder,
    GridEncoder,
    OpenClip,
    Timm,
    VideoModel,
)
from fact_clip.encoders.local_files import looks_local
from fact_clip.encoders.pretrained import Runtime
from fact_clip.encoders.sentence import HashEncoder, MiniLM, StoredVectors

__all__ = [
    "FRAME_ENCODERS",
    "TEXT_ENCODERS",
    "Clip",
    "EncodeImages",
    "FrameEncoder",
    "ImageTextEncoder",
    "Runtime",
    "TextEncoder",
    "clip_of",
    "frame_encoder",
    "is_local",
    "text_encoder",
    "text_side",
]


class FrameEncoder(Protocol):
    """Interface of a frame encoder, which converts images to rows of features.

    An encoder of clips also has `clip_length`, the number of images per clip, and `clip_stride`,
    the number of images from the middle of one clip to the next (see `clip_of`). It encodes clips
    (N, clip_length, ...) of prepared images, and its context is 0.
    """

    @property
    def name(self) -> str:
        """Return a name that identifies the features, except for `Runtime.precision`."""

    @property
    def size(self) -> Size:
        """Return the (width, height) of the images, or None for the size of the video."""

    @property
    def context(self) -> int:
        """Return the number of previous images that `encode_images` also needs."""

    def load(self) -> None:
        """Load the weights now. If they are missing, the InputError tells how to get them."""

    def prepare(self, image: Image) -> Array:
        """Prepare (H, W, 3) -> the input for one image. This runs in a separate thread."""

    def encode_images(self, prepared: Array) -> Singles:
        """Encode `context` + N prepared images -> the rows (N, D) of the last N images."""


class TextEncoder(Protocol):
    """Interface of a text encoder, which converts texts to unit vectors."""

    @property
    def name(self) -> str:
        """Return a name that identifies the vectors."""

    def encode_texts(self, texts: list[str]) -> Singles:
        """Encode N texts -> (N, E), each row of length 1."""


class ImageTextEncoder(FrameEncoder, TextEncoder, Protocol):
    """Interface of a model that embeds images and texts in one space."""


class Clip(NamedTuple):
    """The images from which a row of features is computed."""

    length: int
    stride: int  # number of images from the middle of one clip to the next


def clip_of(encoder: FrameEncoder) -> Clip:
    """Return the clips that an encoder reads.

    Args:
        encoder: Frame encoder.

    Returns:
        Length and stride, which are 1 and 1 for an encoder of single images.
    """
    length = getattr(encoder, "clip_length", 1)
    return Clip(length, getattr(encoder, "clip_stride", 1) if length > 1 else 1)


EncodeImages = Callable[[Image], Array]
"""A function from images (N, H, W, 3) to features (N, D), which can be used as an encoder."""

Encoder = TypeVar("Encoder", covariant=True)


@dataclass(frozen=True)
class Entry(Generic[Encoder]):
    """A row of a table of encoders.

    Attributes:
        example: Complete name of an encoder.
        build: Function of the text after the colon, the location for errors and the runtime. It
            returns the encoder without loading it.
        packages: Extra of each package that the encoder needs, by package.
    """

    example: str
    build: Callable[[str, str, Runtime], Encoder]
    packages: Mapping[str, str] = field(default_factory=dict)


_CLIP = {"open_clip": "clip"}
_TRANSFORMERS = {"transformers": "text"}


def _adopt(method: str, name: str, part: Any) -> Entry[Any] | None:
    """Return the row of a class, an object or a function. A class is called like `Entry.build`."""
    if callable(getattr(part, method, None)):
        return Entry(name, part if isinstance(part, type) else lambda *_: part)
    if method == "encode_images" and isfunction(part):
        return Entry(name, lambda *_: FunctionEncoder(part, name))
    return None


_FRAME: dict[str, Entry[FrameEncoder]] = {
    "grid": Entry("grid", lambda *_: GridEncoder()),
    "clip": Entry("clip:ViT-B-32/openai", partial(OpenClip, "clip"), _CLIP),
    "transformers": Entry(
        "transformers:MCG-NJU/videomae-base",
        VideoModel,
        _TRANSFORMERS | {"torchvision": "backbones"},
    ),
    "timm": Entry("timm:resnet50.a1_in1k", Timm, {"timm": "backbones"}),
}
_TEXT: dict[str, Entry[TextEncoder]] = {
    "file": Entry("file:vectors.npz", lambda reference, *_: StoredVectors(reference)),
    "hash": Entry("hash:256", lambda reference, *_: HashEncoder(reference)),
    "minilm": Entry("minilm", MiniLM, _TRANSFORMERS),
    "open_clip": Entry(
        "open_clip:ViT-B-32/laion2b_s34b_b79k", partial(OpenClip, "open_clip"), _CLIP
    ),
}
FRAME_ENCODERS = PluginTable("fact_clip.encoders", _FRAME, partial(_adopt, "encode_images"))
TEXT_ENCODERS = PluginTable("fact_clip.encoders", _TEXT, partial(_adopt, "encode_texts"))


@validated("name")
def frame_encoder(
    name: str | FrameEncoder | EncodeImages, runtime: Runtime | None = None
) -> FrameEncoder:
    """Return the frame encoder of a name, without loading it.

    Args:
        name: PREFIX or PREFIX:REST (see `FRAME_ENCODERS`), an encoder, which is returned, or a
            function of images.
        runtime: Device and precision.

    Returns:
        The encoder.
    """
    if callable(getattr(name, "encode_images", None)):
        for attribute in ("name", "size", "context", "load", "prepare"):
            if not hasattr(name, attribute):
                problem = f"{type(name).__name__} has no {attribute!r}"
                raise InputError("encoder", problem, "give all of fact_clip.encoders.FrameEncoder")
        return cast(FrameEncoder, name)
    if hasattr(name, "state_dict"):
        problem = f"{type(name).__name__} is a network, which reads tensors"
        fix = "give a function of pictures (N, H, W, 3) that calls it"
        raise InputError("encoder", problem, fix)
    if callable(name):
        return FunctionEncoder(name)
    if not isinstance(name, str):
        problem = f"{type(name).__name__} is not a name, an encoder or a function of pictures"
        raise InputError("encoder", problem)
    return _build(FRAME_ENCODERS, "frame encoder", name, runtime or Runtime())


@validated()
def text_encoder(name: str, device: str = "auto") -> TextEncoder:
    """Return the text encoder of a name, without loading it.

    Args:
        name: PREFIX or PREFIX:REST, see `TEXT_ENCODERS`.
        device: Device, see `pick_device`.

    Returns:
        The encoder.
    """
    return _build(TEXT_ENCODERS, "text encoder", name, Runtime(device))


def text_side(name: str) -> str | None:
    """Return the name of the text encoder whose vectors lie in the space of a frame encoder.

    Args:
        name: Name of the frame encoder, which is stored next to feature files.

    Returns:
        The name, or None for an encoder without texts.
    """
    prefix, _, reference = name.partition(":")
    if prefix == "clip":
        return f"open_clip:{reference}"
    return name if prefix in TEXT_ENCODERS else None


def is_local(name: str) -> bool:
    """Return whether an encoder is a model in files of this machine.

    Args:
        name: Name of a frame or text encoder.

    Returns:
        True if the name contains a path. Stored vectors ("file:PATH") are not a model.
    """
    prefix, _, reference = name.partition(":")
    if prefix == "timm":
        return "/" in reference or ":" in reference
    if prefix in ("clip", "open_clip"):
        path = reference.partition("/")[2]
        return (
            reference.startswith("local-dir:")
            or looks_local(path)
            or expanded(path or "-").is_file()
        )
    if prefix in ("grid", "file", "hash", "minilm"):
        return False
    return bool(reference) and (
        looks_local(reference) or expanded(reference).exists()
    )  # transformers, plug-ins


def _build(table: Mapping[str, Entry[Encoder]], kind: str, name: str, runtime: Runtime) -> Encoder:
    prefix, _, reference = name.partition(":")
    if prefix not in table:
        examples = ", ".join(row.example for row in table.values())
        raise InputError(kind, f"there is none called {name!r}", f"give one such as {examples}")
    where = f"{kind} {name!r}"
    if reference and prefix in ("grid", "minilm"):
        raise InputError(where, "nothing may follow the name", f"use {prefix}")
    for package, extra in table[prefix].packages.items():
        require(where, package, extra)
    return table[prefix].build(reference, where, runtime)
