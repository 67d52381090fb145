"""The vectors of a vocabulary's classes and factors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fact_clip.config import TextConfig
from fact_clip.core import InputError, Names, Singles, Vocabulary
from fact_clip.datasets import havid
from fact_clip.encoders import TextEncoder
from fact_clip.text.prompts import make_prompts, tidy

PHRASES: dict[str, Callable[[str], str]] = {"name": tidy, "havid": havid.phrase}
"""Functions that convert a class name to a phrase that starts with its verb."""


@dataclass(frozen=True)
class TextMatrix:
    """The text vectors of a vocabulary.

    Attributes:
        classes: Unit vectors (C, E) of all classes, including background.
        slots: Unit vectors (K, E) of the factors of each slot, in the order of `factor_indices`.
    """

    classes: Singles
    slots: Mapping[str, Singles]


def embed(
    encoder: TextEncoder, vocabulary: Vocabulary, templates: str = "plain", phrase: str = "name"
) -> TextMatrix:
    """Embed every class and every factor of a vocabulary.

    The vector of a class with several prompts (`make_prompts`) is their mean, scaled to length 1.
    """
    if phrase not in PHRASES:
        raise InputError("phrase", f"no entry {phrase!r}", f"use one of {', '.join(PHRASES)}")
    prompts = make_prompts(vocabulary, templates, to_phrase=PHRASES[phrase])
    texts = prompts.texts()
    rows = check_vectors(encoder.name, encoder.encode_texts(texts), texts)
    row_of = dict(zip(texts, rows, strict=True))

    def matrix(items: Sequence[Names]) -> Singles:
        means = np.zeros((len(items), rows.shape[1]), dtype=np.float32)
        for number, item_prompts in enumerate(items):
            means[number] = _mean(np.stack([row_of[prompt] for prompt in item_prompts]))
        return means

    slots = {slot: matrix(factors) for slot, factors in prompts.slots.items()}
    return TextMatrix(matrix(prompts.classes), slots)


def class_texts(config: TextConfig, vocabulary: Vocabulary, encoder: TextEncoder) -> Singles:
    """Return the vectors that the text head reads, (C, S, E).

    Depending on ``text.parts``, they are the vector of the whole name, then one vector per slot.
    They are zero for the (first) background class and for factors that a class lacks. Further
    background classes have the vectors of their names.
    """
    if "factors" not in config.parts:  # the words of names do not need vectors
        vocabulary = Vocabulary.from_names(vocabulary.names, vocabulary.background)
    background = vocabulary.background[:1]
    actions = vocabulary.subset(name for name in vocabulary.names if name not in background)
    matrix = embed(encoder, actions, phrase=config.phrase)
    columns = []
    if "sentence" in config.parts:
        columns.append(matrix.classes)
    if "factors" in config.parts:
        for slot in actions.slots:
            # a last row of zeros for the index -1 of a missing factor
            vectors = np.pad(matrix.slots[slot], ((0, 1), (0, 0)))
            columns.append(vectors[actions.factor_indices(slot)[1]])
    texts = np.zeros((len(vocabulary), len(columns), matrix.classes.shape[1]), dtype=np.float32)
    texts[vocabulary.encode(actions.names)] = np.stack(columns, axis=1)
    return texts


def class_vectors(encoder: TextEncoder, vocabulary: Vocabulary, phrase: str) -> Singles:
    """Return the vectors (C, E) of the whole names of all classes, including background."""
    names = Vocabulary.from_names(vocabulary.names, vocabulary.background)
    return embed(encoder, names, phrase=phrase).classes


ALIKE = 0.99  # cosine of the vectors of two classes, above which they are reported


def twins(names: Sequence[str], vectors: Singles) -> list[list[str]]:
    """Return groups of names whose vectors (N, S, E) have a cosine above `ALIKE` with the first.

    Names without a vector are not in any group.
    """
    rows = vectors.reshape(len(vectors), -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.maximum(lengths, 1e-12)
    is_alike = rows @ rows.T > ALIKE
    groups: dict[int, list[str]] = {}  # groups by their first name
    for number, name in enumerate(names):
        alike = [first for first in groups if is_alike[number, first]]
        if alike:
            groups[alike[0]].append(name)
        elif rows[number].any():
            groups[number] = [name]
    return [group for group in groups.values() if len(group) > 1]


def _mean(rows: Singles) -> Singles:
    """Return the mean of unit rows (N, E), scaled to length 1."""
    if len(rows) == 1:
        return rows[0]
    mean = rows.astype(np.float64).mean(axis=0)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def check_vectors(name: str, vectors: Singles, texts: Sequence[str]) -> Singles:
    """Check that the vectors of an encoder are (N, E) float32 in unit rows. Return them."""
    is_matrix = vectors.ndim == 2 and len(vectors) == len(texts) and vectors.dtype == np.float32
    # NaN is not below the bound
    if not is_matrix or not (np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < 1e-3).all():
        problem = f"not one float32 vector of length 1 for each of {len(texts)} texts"
        raise InputError(f"text encoder {name!r}", problem)
    return vectors
