"""Text encoders by name. A new one is a function or class that takes what stands behind the colon, and one entry of
`ENCODERS`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fact_clip.core import InputError
from fact_clip.encoders.joint import minilm, open_clip, transformers
from fact_clip.text.prompts import tidy


class TextEncoder(Protocol):
    """Anything that turns texts into unit vectors."""

    @property
    def name(self) -> str:
        """Names the content: equal names mean equal vectors. The cache goes by it."""

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """N texts -> (N, E), each row of length 1."""


_WORD = re.compile(r"\w+")
_LETTERS = 3
# A word weighs as much as several of its letter triples, so that other words with some like letters stay far.
_WORD_WEIGHT = 3


class HashEncoder:
    """Bag of words and of their letter triples, each a random sign vector that hangs on its letters alone.

    No dependency, the same on every machine; texts that share words are near, words that share letters a little.
    It knows no synonyms and no word order. For tests and dry runs.

    Args:
        size: the width E.

    Raises:
        InputError: a size that is not a whole number from 8 on.
    """

    def __init__(self, size: str | int) -> None:
        if not str(size).isdecimal() or int(size) < 8:
            raise InputError("text encoder 'hash'", f"size {str(size)!r}", "a whole number from 8 on, as in hash:256")
        self.size = int(size)

    @property
    def name(self) -> str:
        """As it was asked for."""
        return f"hash:{self.size}"

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """N texts -> (N, size), each row of length 1; a text without a letter or digit is an InputError."""
        rows = np.zeros((len(texts), self.size), dtype=np.float64)
        for row, text in zip(rows, texts, strict=True):
            words = _WORD.findall(text.casefold())
            if not words:
                raise InputError("text encoder 'hash'", repr(text), "a text with a word in it")
            for word in words:
                row += _WORD_WEIGHT * self._signs(word)
                edged = f"<{word}>"
                for start in range(len(edged) - _LETTERS + 1):
                    row += self._signs(f"#{edged[start : start + _LETTERS]}")
            if not row.any():  # signs that cancel out, in a very narrow vector
                row += self._signs(text.casefold())
        # the sums are whole numbers, hence exact, and so is what is divided
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def _signs(self, feature: str) -> NDArray[np.float64]:
        raw = hashlib.shake_256(feature.encode()).digest(-(-self.size // 8))
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), count=self.size)
        return np.where(bits, np.float64(1), np.float64(-1))


EXAMPLES: dict[str, str] = {
    "file": "file:vectors.npz",
    "hash": "hash:256",
    "minilm": "minilm",
    "open_clip": "open_clip:ViT-B-32/laion2b_s34b_b79k",
    "transformers": "transformers:openai/clip-vit-base-patch32",
}


def text_encoder(spec: str) -> TextEncoder:
    """The encoder of a specification, PREFIX or PREFIX:REST with a prefix of `ENCODERS`; see `EXAMPLES`.

    Raises:
        InputError: an unknown prefix, a rest that does not fit it, or a package or a local file that is missing.
    """
    prefix, _, rest = spec.partition(":")
    if prefix not in ENCODERS:
        raise InputError("text encoder", repr(spec), f"one such as {', '.join(EXAMPLES.values())}")
    return ENCODERS[prefix](rest)


def check_vectors(name: str, vectors: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.float32]:
    """Hold what an encoder gave to its promise, (N, E) float32 in unit rows, and give it back.

    Raises:
        InputError: another shape or type, or a row that is not finite or not of length 1.
    """
    where = f"text encoder {name!r}"
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.dtype != np.float32:
        raise InputError(where, f"{vectors.dtype} of shape {vectors.shape}", f"float32 of shape ({len(texts)}, E)")
    lengths = np.linalg.norm(vectors, axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) < 1e-3))  # also catches NaN
    if wrong.size:
        raise InputError(where, f"a vector of length {lengths[wrong[0]]:.3g} for {texts[wrong[0]]!r}", "length 1")
    return vectors


class StoredVectors:
    """Vectors of texts from a local file, as CLIP embeddings of class names that were made elsewhere.

    Args:
        path: .npz or .safetensors with one vector (E,) a text, of any length; class names may stand there with
            underscores or commas, as in the mapping. Read when the first text is asked for.

    Raises:
        InputError: no path, or another suffix.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        if self.path.suffix not in (".npz", ".safetensors"):
            raise InputError(f"text encoder 'file:{path}'", f"{path!r}", "file:PATH of an .npz or .safetensors file")

    @cached_property
    def name(self) -> str:
        """The file's name with a digest of its content."""
        if not self.path.is_file():
            return f"file:{self.path.name}"
        return f"file:{self.path.name}@{hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]}"

    @cached_property
    def _vectors(self) -> dict[str, NDArray[np.float32]]:
        if not self.path.is_file():
            raise InputError(self.path, "no such file", "text vectors by name, .npz or .safetensors")
        try:
            if self.path.suffix == ".npz":
                with np.load(self.path, allow_pickle=False) as archive:
                    stored = {name: archive[name] for name in archive.files}
            else:
                stored = load_file(self.path)
        except (OSError, ValueError, BadZipFile, SafetensorError) as error:
            raise InputError(self.path, f"not readable ({error})", "text vectors by name") from None
        widths = {vector.shape for vector in stored.values()}
        if len(widths) != 1 or len(next(iter(widths))) != 1:
            raise InputError(self.path, f"arrays of the shapes {sorted(widths)}", "one vector (E,) a text, all alike")
        return {tidy(name): vector.astype(np.float32) for name, vector in stored.items()}

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """N texts -> (N, E), each row of length 1; a text that the file lacks, or a zero or NaN vector is an error."""
        missing = [text for text in texts if tidy(text) not in self._vectors]
        if missing:
            todo = "text.phrase=name asks for class names as they are in the mapping"
            found = f"no vector for {len(missing)} of {len(texts)} texts (first: {missing[0]!r})"
            raise InputError(self.path, found, "one for each", todo)
        width = len(next(iter(self._vectors.values())))
        rows = np.stack([self._vectors[tidy(text)] for text in texts]) if texts else np.zeros((0, width), np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if bad.size:
            found = f"a vector of length {lengths[bad[0], 0]} for {texts[bad[0]]!r}"
            raise InputError(self.path, found, "a finite one that is not zero")
        return rows / lengths


# Prefix -> what stands behind its colon -> encoder. Pretrained models load when they are first asked to encode.
ENCODERS: dict[str, Callable[[str], TextEncoder]] = {
    "file": StoredVectors,
    "hash": HashEncoder,
    "minilm": minilm,
    "open_clip": open_clip,
    "transformers": transformers,
}
