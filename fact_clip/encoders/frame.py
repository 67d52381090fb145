"""Frame encoders by name. A new one is a function or class that takes what stands behind the colon and a `Runtime`,
and one entry of `ENCODERS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.encoders.image import GridEncoder, timm, torchvision
from fact_clip.encoders.image_text import Runtime, clip, transformers


class FrameEncoder(Protocol):
    """Anything that turns pictures into rows of features."""

    @property
    def name(self) -> str:
        """Names the content: equal names mean equal features, up to `Runtime.precision`."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) that pictures shall be decoded to; None: as they are."""

    @property
    def context(self) -> int:
        """How many pictures before the first `encode` looks at."""

    def load(self) -> None:
        """Load the weights now; an InputError says how to get missing ones."""

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """(H, W, 3) -> what `encode` takes of a picture; the model's own preprocessing. Runs beside `encode`."""

    def encode(self, prepared: NDArray[Any]) -> NDArray[np.float32]:
        """`context` + N prepared pictures -> (N, D), the rows of the last N."""


# Prefix -> what stands behind its colon -> encoder. Pretrained models load when they are first asked.
ENCODERS: dict[str, Callable[[str, Runtime], FrameEncoder]] = {
    "grid": GridEncoder,
    "clip": clip,
    "transformers": transformers,
    "timm": timm,
    "torchvision": torchvision,
}
EXAMPLES: dict[str, str] = {
    "grid": "grid",
    "clip": "clip:ViT-B-32/openai",
    "transformers": "transformers:google/siglip-base-patch16-224",
    "timm": "timm:resnet50.a1_in1k",
    "torchvision": "torchvision:resnet50",
}


def frame_encoder(spec: str, runtime: Runtime | None = None) -> FrameEncoder:
    """The encoder of a specification, PREFIX or PREFIX:REST with a prefix of `ENCODERS`; see `EXAMPLES`.

    Raises:
        InputError: an unknown prefix, a rest that does not fit it, or a package or a local file that is missing.
    """
    prefix, _, rest = spec.partition(":")
    if prefix not in ENCODERS:
        raise InputError("frame encoder", repr(spec), f"one such as {', '.join(EXAMPLES.values())}")
    return ENCODERS[prefix](rest, runtime or Runtime())
