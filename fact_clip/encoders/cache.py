"""The vectors of a vocabulary's classes and factors, and a cache of text vectors on disk."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fact_clip.config import TextConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import names_of
from fact_clip.core.paths import expanded, file_name, whole_file
from fact_clip.encoders import TextEncoder, text_encoder
from fact_clip.encoders.sentence import check_vectors
from fact_clip.text.prompts import Templates, make_prompts

FORMAT = "fact-clip text 1"  # What a cache file says of itself; a change of what is stored takes the next number


@dataclass(frozen=True)
class TextMatrix:
    """The text vectors of a vocabulary."""

    encoder: str  # name of the encoder, which stands for its content
    names: tuple[str, ...]  # the C class names
    classes: NDArray[np.float32]  # (C, E) float32 in unit rows; background classes have a row like any other
    factors: Mapping[str, tuple[str, ...]]  # by slot the K factors, in the order of `Vocabulary.factor_indices`
    slots: Mapping[str, NDArray[np.float32]]  # by slot (K, E) float32 in unit rows

    def stacked(self, vocabulary: Vocabulary, parts: Sequence[str]) -> NDArray[np.float32]:
        """Return (C, S, E), which the text head reads; zero for background classes and for factors that a class lacks.

        `parts` are "sentence" for the vector of the whole name, "factors" for one vector per slot; in this order.
        """
        columns = []
        action = np.array([name not in vocabulary.background for name in vocabulary.names])
        if "sentence" in parts:
            columns.append(self.classes * action[:, None])
        if "factors" in parts:
            for slot in vocabulary.slots:
                index = vocabulary.factor_indices(slot)[1]
                slots = self.slots[slot] if len(self.slots[slot]) else np.zeros_like(self.classes[:1])
                columns.append(slots[index] * ((index >= 0) & action)[:, None])
        return np.stack(columns, axis=1).astype(np.float32)


def embed(
    encoder: TextEncoder | str,
    vocabulary: Vocabulary,
    templates: str | Templates = "plain",
    *,
    phrase: str | Callable[[str], str] = "name",
    cache_dir: str | Path | None = None,
    device: str = "auto",
) -> TextMatrix:
    """Embed every class and every factor of a vocabulary; of several prompts (`make_prompts`) the mean, of length 1.

    Embeddings are kept in `cache_dir`, if one is given; `device` is where an encoder given by name runs.
    """
    chosen = text_encoder(encoder, device) if isinstance(encoder, str) else encoder
    prompts = make_prompts(vocabulary, templates, phrase=phrase)
    texts = prompts.texts()
    rows = encode_cached(chosen, texts, cache_dir)
    row_of = dict(zip(texts, rows, strict=True))

    def matrix(entries: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
        means = [_mean(chosen.name, entry, np.stack([row_of[text] for text in entry])) for entry in entries]
        return np.stack(means) if means else np.zeros((0, rows.shape[1]), dtype=np.float32)

    factors = {slot: vocabulary.factor_indices(slot)[0] for slot in vocabulary.slots}
    slots = {slot: matrix(entries) for slot, entries in prompts.slots.items()}
    return TextMatrix(chosen.name, vocabulary.names, matrix(prompts.classes), factors, slots)


def embed_as(
    config: TextConfig, vocabulary: Vocabulary, device: str = "auto", encoder: TextEncoder | None = None
) -> TextMatrix:
    """Run `embed` with the settings of a recipe; `encoder` is its encoder where that is loaded already."""
    chosen = encoder or config.encoder
    return embed(chosen, vocabulary, config.templates, phrase=config.phrase, cache_dir=config.cache, device=device)


def class_texts(
    config: TextConfig, vocabulary: Vocabulary, device: str = "auto", encoder: TextEncoder | None = None
) -> NDArray[np.float32]:
    """Return (C, S, E): what the text head reads of a vocabulary, without embedding the background."""
    if "factors" not in config.parts:  # the words of names need no vectors
        vocabulary = Vocabulary.from_names(vocabulary.names, vocabulary.background)
    actions = vocabulary.subset(name for name in vocabulary.names if name not in vocabulary.background)
    rows = embed_as(config, actions, device, encoder).stacked(actions, config.parts)
    texts = np.zeros((len(vocabulary), *rows.shape[1:]), dtype=np.float32)
    texts[vocabulary.encode(actions.names)] = rows
    return texts


def class_vectors(config: TextConfig, vocabulary: Vocabulary, device: str = "auto") -> NDArray[np.float32]:
    """Return (C, E): one vector per class, from its whole name; background classes have one like any other."""
    return embed_as(config, Vocabulary.from_names(vocabulary.names, vocabulary.background), device).classes


def _mean(name: str, texts: Sequence[str], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of unit rows (N, E), scaled to length 1."""
    if len(rows) == 1:
        return rows[0]
    mean = rows.astype(np.float64).mean(axis=0)
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise InputError(f"text encoder {name!r}", f"vectors that cancel out for {list(texts)}")
    return (mean / length).astype(np.float32)


def encode_cached(
    encoder: TextEncoder, texts: Sequence[str], cache_dir: str | Path | None = None
) -> NDArray[np.float32]:
    """Return embeddings (N, E) of N texts, from the cache where it has them; a damaged file is replaced."""
    listed = list(names_of(texts, "texts"))
    if cache_dir is None:
        return check_vectors(encoder.name, encoder.encode_texts(listed), listed)
    key = hashlib.sha256(json.dumps([FORMAT, encoder.name, listed]).encode()).hexdigest()
    readable = file_name(re.sub(r"[^\w.@-]+", "_", encoder.name), 80)
    path = expanded(cache_dir) / f"{readable}-{key[:24]}.safetensors"
    if path.exists():
        try:
            return _read(path, encoder.name, listed)
        except (ValueError, SafetensorError, OSError) as error:
            warnings.warn(f"{path}: {error}; embedding the {len(listed)} texts anew", stacklevel=2)
    vectors = check_vectors(encoder.name, encoder.encode_texts(listed), listed)
    raw = save({"vectors": np.ascontiguousarray(vectors)}, _metadata(vectors, encoder.name, listed))
    with whole_file(path) as unfinished:
        unfinished.write_bytes(raw)
    return vectors


def _metadata(vectors: NDArray[np.float32], name: str, texts: list[str]) -> dict[str, str]:
    return {
        "format": FORMAT,
        "encoder": name,
        "texts": json.dumps(texts),
        "sha256": hashlib.sha256(np.ascontiguousarray(vectors, dtype="<f4").tobytes()).hexdigest(),
    }


def _read(path: Path, name: str, texts: list[str]) -> NDArray[np.float32]:
    with safe_open(path, framework="numpy") as file:
        stored = file.metadata() or {}
        if list(file.keys()) != ["vectors"]:
            raise ValueError("not a file of text embeddings")
        vectors: NDArray[np.float32] = file.get_tensor("vectors")
    for key, value in _metadata(vectors, name, texts).items():
        if stored.get(key) != value:
            fault = "damaged, the checksum differs" if key == "sha256" else f"holds other {key} than asked for"
            raise ValueError(fault)
    return check_vectors(name, vectors, texts)
