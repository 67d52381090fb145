"""Words of candidates that no trained class has, each with the most similar trained word.

A head that reads text scores any name, nonsense included, so each new word is reported beside the
trained word that a sentence encoder finds most similar. MiniLM judges for every run, since the
model's own encoder may have no meanings (hashed words) or put all texts close together (CLIP).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import WHOLE_NAME, NewWord, Vocabulary
from fact_clip.encoders import text_encoder
from fact_clip.text.prompts import tidy

JUDGE = "minilm"

# A word is far if no trained word has at least this cosine (docs/method.md, 'New words').
FAR = 0.58

PHRASE = WHOLE_NAME[0]
"""Slot of names that are compared as a whole."""

# Templates, because a word alone has several senses ("saw", "turn").
ACTION_TEMPLATE = "the action to {}"
OBJECT_TEMPLATE = "the object {}"

Vectors = NDArray[np.float32]


class VectorCache:
    """Cache the vectors of strings, since users add names one at a time.

    Args:
        encode: returns the vectors (N, ...) of N strings.
    """

    MAX_STRINGS = 2_000

    def __init__(self, encode: Callable[[list[str]], Vectors]) -> None:
        self._encode = encode
        self._vectors: dict[str, Vectors] = {}

    def __call__(self, strings: Sequence[str]) -> list[Vectors]:
        """Return the vector of each string."""
        if len(self._vectors) > self.MAX_STRINGS:
            self._vectors.clear()
        missing = [string for string in dict.fromkeys(strings) if string not in self._vectors]
        if missing:
            self._vectors.update(zip(missing, self._encode(missing), strict=True))
        return [self._vectors[string] for string in strings]


@lru_cache(maxsize=1)
def _judge(device: str) -> VectorCache:
    return VectorCache(text_encoder(JUDGE, device).encode_texts)


@dataclass(frozen=True)
class _Word:
    """A word of a candidate that no trained class has."""

    action: str
    slot: str
    word: str


def new_words(
    candidates: Vocabulary, trained: Vocabulary, phrases: Collection[str] = (), device: str = "auto"
) -> tuple[NewWord, ...]:
    """Return the words of the candidates that no trained class has.

    Where names have no parts, every name that was not trained is a new word, so only far ones are
    returned.

    Args:
        candidates: the names.
        trained: the classes with training frames.
        phrases: the candidates that were not parsed, which are compared as a whole.
        device: of the sentence encoder.

    Returns:
        The words, in the order of the candidates and of the slots.
    """
    trained_words = {slot: list(trained.factor_indices(slot)[0]) for slot in trained.slots}
    trained_words[PHRASE] = [name for name in trained if name not in trained.background]
    words = _untrained_words(candidates, trained, phrases, trained_words)
    if not words:
        return ()
    vectors = _embed(words, trained_words, device)
    results = []
    for word in words:
        compared = _compare(word, trained_words[word.slot], vectors)
        if compared.far or candidates.slots != WHOLE_NAME:
            results.append(compared)
    return tuple(results)


def _untrained_words(
    candidates: Vocabulary,
    trained: Vocabulary,
    phrases: Collection[str],
    trained_words: dict[str, list[str]],
) -> list[_Word]:
    words = []
    for name, factors in zip(candidates.names, candidates.factors, strict=True):
        if name in trained or name in candidates.background:
            continue
        if name in phrases or candidates.slots == WHOLE_NAME:
            words.append(_Word(action=name, slot=PHRASE, word=name))
            continue
        for slot, factor in zip(candidates.slots, factors, strict=True):
            if factor is not None and factor not in trained_words[slot]:
                words.append(_Word(action=name, slot=slot, word=factor))
    return words


def _embed(
    words: Sequence[_Word], trained_words: dict[str, list[str]], device: str
) -> dict[tuple[str, str], Vectors]:
    """Return the vectors of new and trained words, by slot and word."""
    vectors: dict[tuple[str, str], Vectors] = {}
    for slot in dict.fromkeys(word.slot for word in words):
        new = dict.fromkeys(word.word for word in words if word.slot == slot)
        strings = [*trained_words[slot], *new]
        template = ACTION_TEMPLATE if slot in ("verb", PHRASE) else OBJECT_TEMPLATE
        rows = _judge(device)([template.format(tidy(string)) for string in strings])
        for string, row in zip(strings, rows, strict=True):
            vectors[slot, string] = row
    return vectors


def _compare(
    word: _Word, trained_words: Sequence[str], vectors: dict[tuple[str, str], Vectors]
) -> NewWord:
    """Return a new word with the most similar trained word of its slot."""
    nearest = ""
    similarity = 0.0
    if trained_words:
        rows = np.stack([vectors[word.slot, trained_word] for trained_word in trained_words])
        cosines = rows @ vectors[word.slot, word.word]
        best = int(cosines.argmax())
        nearest = trained_words[best]
        similarity = round(min(float(cosines[best]), 1.0), 3)
    return NewWord(
        action=word.action,
        slot=word.slot,
        word=word.word,
        nearest=nearest,
        similarity=similarity,
        far=similarity < FAR,
    )


def describe_new_word(word: NewWord) -> str:
    """Describe a new word: 'juggle' (verb, far from all; nearest 'bend', 0.44)."""
    description = "read as a whole phrase" if word.slot == PHRASE else word.slot
    if word.far:
        description += ", far from all"
    if word.nearest:
        description += f"; nearest {word.nearest!r}, {word.similarity:.2f}"
    return f"{word.word!r} ({description})"
