"""Text vectors that somebody else made, by name in a file."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fact_clip.core import InputError
from fact_clip.text.prompts import tidy


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
