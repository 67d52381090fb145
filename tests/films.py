"""Video files made on the spot. Importing this skips the tests of a file where PyAV is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")


def write_video(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    rate: int = 30,
    times: Sequence[int] | None = None,
    codec: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode (H, W, 3) images at a constant rate, or at `times` in milliseconds."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = None
        for number, image in enumerate(images):
            if stream is None:
                codec = codec or ("mpeg4" if path.suffix == ".avi" else "libx264")
                stream = container.add_stream(codec, rate=rate, options={"g": "12"})
                stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(count: int, width: int = 64, height: int = 48) -> Iterable[np.ndarray]:
    """Images that show their number in binary: eight columns, bright or dark, in the upper half; noise below."""
    rng = np.random.default_rng(0)
    for number in range(count):
        image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        bits = [255 * (number >> bit & 1) for bit in range(8)]
        image[: height // 2] = np.repeat(bits, width // 8)[None, :, None]
        yield image


def number_of(image: np.ndarray) -> int:
    """The number that an image of `numbered` shows."""
    height, width = image.shape[:2]
    columns = image[: height // 2].mean(axis=(0, 2)).reshape(8, width // 8).mean(axis=1)
    return sum(1 << bit for bit in range(8) if columns[bit] > 127)


def described(features: Path) -> dict[str, Any]:
    """What the extraction wrote beside a feature file."""
    return json.loads(features.with_suffix(".json").read_text())
