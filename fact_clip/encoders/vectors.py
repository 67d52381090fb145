"""The vectors of a vocabulary's classes and factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import TextConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.encoders import TextEncoder, text_encoder
from fact_clip.text.prompts import make_prompts


@dataclass(frozen=True)
class TextMatrix:
    """The text vectors of a vocabulary."""

    classes: NDArray[
        np.float32
    ]  # (C, E) in unit rows; background classes have a row like any other
    slots: Mapping[
        str, NDArray[np.float32]
    ]  # by slot (K, E) in unit rows, in the order of `factor_indices`


def embed(
    encoder: TextEncoder, vocabulary: Vocabulary, templates: str = "plain", phrase: str = "name"
) -> TextMatrix:
    """Embed every class and every factor of a vocabulary; of several prompts (`make_prompts`) the mean, of length 1."""
    prompts = make_prompts(vocabulary, templates, phrase=phrase)
    texts = prompts.texts()
    rows = check_vectors(encoder.name, encoder.encode_texts(texts), texts)
    row_of = dict(zip(texts, rows, strict=True))

    def matrix(entries: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
        means = [_mean(np.stack([row_of[text] for text in entry])) for entry in entries]
        return np.stack(means) if means else np.zeros((0, rows.shape[1]), dtype=np.float32)

    return TextMatrix(
        matrix(prompts.classes), {slot: matrix(entries) for slot, entries in prompts.slots.items()}
    )


def embed_as(
    config: TextConfig,
    vocabulary: Vocabulary,
    device: str = "auto",
    encoder: TextEncoder | None = None,
) -> TextMatrix:
    """Run `embed` with the settings of a recipe; `encoder` is its encoder where that is loaded already."""
    chosen = encoder or text_encoder(config.encoder, device)
    return embed(chosen, vocabulary, config.templates, config.phrase)


def class_texts(
    config: TextConfig,
    vocabulary: Vocabulary,
    device: str = "auto",
    encoder: TextEncoder | None = None,
) -> NDArray[np.float32]:
    """Return (C, S, E), which the text head reads: as ``text.parts`` say the vector of a whole name, then one per slot.

    Zero for background classes, which are not embedded, and for factors that a class lacks.
    """
    if "factors" not in config.parts:  # the words of names need no vectors
        vocabulary = Vocabulary.from_names(vocabulary.names, vocabulary.background)
    actions = vocabulary.subset(
        name for name in vocabulary.names if name not in vocabulary.background
    )
    matrix = embed_as(config, actions, device, encoder)
    columns = [matrix.classes] if "sentence" in config.parts else []
    for slot in actions.slots if "factors" in config.parts else ():
        index = actions.factor_indices(slot)[1]
        vectors = (
            matrix.slots[slot] if len(matrix.slots[slot]) else np.zeros_like(matrix.classes[:1])
        )
        columns.append(vectors[index] * (index >= 0)[:, None])
    texts = np.zeros((len(vocabulary), len(columns), matrix.classes.shape[1]), dtype=np.float32)
    texts[vocabulary.encode(actions.names)] = np.stack(columns, axis=1)
    return texts


def class_vectors(
    config: TextConfig, vocabulary: Vocabulary, device: str = "auto"
) -> NDArray[np.float32]:
    """Return (C, E): one vector per class, from its whole name; background classes have one like any other."""
    return embed_as(
        config, Vocabulary.from_names(vocabulary.names, vocabulary.background), device
    ).classes


def _mean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of unit rows (N, E), scaled to length 1."""
    if len(rows) == 1:
        return rows[0]
    mean = rows.astype(np.float64).mean(axis=0)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def check_vectors(
    name: str, vectors: NDArray[np.float32], texts: Sequence[str]
) -> NDArray[np.float32]:
    """Return what an encoder gave; an InputError unless it is (N, E) float32 in unit rows."""
    is_matrix = vectors.ndim == 2 and len(vectors) == len(texts) and vectors.dtype == np.float32
    if (
        not is_matrix or not (np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < 1e-3).all()
    ):  # NaN is not
        raise InputError(
            f"text encoder {name!r}",
            f"not one float32 vector of length 1 for each of {len(texts)} texts",
        )
    return vectors
