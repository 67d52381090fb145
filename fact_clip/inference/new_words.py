"""Words of candidates that no trained class has, each with the most similar trained word.

A head that reads text scores any name, even nonsense. Each new word is therefore reported with the
trained word that a sentence encoder finds most similar. This encoder is MiniLM for every run,
because the model's own encoder may lack meaning (hashed words) or give all texts similar vectors
(CLIP).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from fact_clip.core import WHOLE_NAME, NewWord, Singles, Vocabulary
from fact_clip.encoders import text_encoder
from fact_clip.text.prompts import tidy

JUDGE = "minilm"
"""Name of the sentence encoder that compares words."""

FAR = 0.58
"""Cosine below which a word is far from its nearest trained word (docs/method.md, 'New words')."""

PHRASE = WHOLE_NAME[0]
"""Slot name for names that are compared as a whole."""

# Templates are needed because a single word has several senses ("saw", "turn").
ACTION_TEMPLATE = "the action to {}"
OBJECT_TEMPLATE = "the object {}"


class VectorCache:
    """Cache for the vectors of strings, because users add names one at a time.

    Args:
        encode: Function that returns the vectors (N, ...) of N strings.
    """

    MAX_STRINGS = 2_000

    def __init__(self, encode: Callable[[list[str]], Singles]) -> None:
        self._encode = encode
        self._vectors: dict[str, Singles] = {}  # each has shape (...)

    def __call__(self, strings: Sequence[str]) -> list[Singles]:
        """Return the vector (...) of each string."""
        if len(self._vectors) > self.MAX_STRINGS:
            self._vectors.clear()
        missing = [string for string in dict.fromkeys(strings) if string not in self._vectors]
        if missing:
            vectors = self._encode(missing)  # (N, ...)
            self._vectors.update(zip(missing, vectors, strict=True))
        return [self._vectors[string] for string in strings]


def new_words(
    candidates: Vocabulary, trained: Vocabulary, phrases: Collection[str] = (), device: str = "auto"
) -> tuple[NewWord, ...]:
    """Return the words of the candidates that no trained class has.

    If names have no parts, every untrained name is a new word, so only far ones are returned.

    Args:
        candidates: Names of the candidates.
        trained: Classes with training frames.
        phrases: Candidates that were not parsed, which are compared as a whole.
        device: Device of the sentence encoder.

    Returns:
        The words, in the order of the candidates and of the slots.
    """
    # Words to compare new words with, by slot. In the slot `PHRASE`, they are whole names.
    trained_words = {slot: list(trained.factor_indices(slot)[0]) for slot in trained.slots}
    trained_words[PHRASE] = [name for name in trained if name not in trained.background]

    names_have_parts = candidates.slots != WHOLE_NAME
    untrained = []
    for name, factors in zip(candidates.names, candidates.factors, strict=True):
        if name in trained or name in candidates.background:
            continue
        words: list[tuple[str, str | None]] = [(PHRASE, name)]
        if names_have_parts and name not in phrases:
            words = list(zip(candidates.slots, factors, strict=True))
        for slot, word in words:
            if word is None or word in trained_words[slot]:
                continue
            untrained.append(NewWord(action=name, slot=slot, word=word))
    compared = {word: word for word in untrained}
    for slot, trained_of_slot in trained_words.items():
        of_slot = [word for word in untrained if word.slot == slot]
        if trained_of_slot and of_slot:
            nearest = _compared(of_slot, trained_of_slot, device)
            compared.update(zip(of_slot, nearest, strict=True))
    return tuple(word for word in compared.values() if word.far or names_have_parts)


@lru_cache(maxsize=1)
def _sentence_vectors(device: str) -> VectorCache:
    """Return the cache of the sentence encoder `JUDGE`, which is loaded once."""
    return VectorCache(text_encoder(JUDGE, device).encode_texts)


def _compared(
    words: Sequence[NewWord], trained_words: Sequence[str], device: str
) -> Iterator[NewWord]:
    """Yield words of one slot, each with the most similar trained word."""
    template = ACTION_TEMPLATE if words[0].slot in ("verb", PHRASE) else OBJECT_TEMPLATE
    names = [*trained_words, *(word.word for word in words)]
    vectors = np.stack(_sentence_vectors(device)([template.format(tidy(name)) for name in names]))
    trained, new = np.split(vectors, [len(trained_words)])
    for word, cosines in zip(words, new @ trained.T, strict=True):
        best = int(cosines.argmax())
        similarity = round(min(float(cosines[best]), 1.0), 3)
        far = similarity < FAR
        yield replace(word, nearest=trained_words[best], similarity=similarity, far=far)


def describe_new_word(word: NewWord) -> str:
    """Describe a new word, such as "'juggle' (verb, far from all; nearest 'bend', 0.44)"."""
    description = "read as a whole phrase" if word.slot == PHRASE else word.slot
    if word.far:
        description += ", far from all"
    if word.nearest:
        description += f"; nearest {word.nearest!r}, {word.similarity:.2f}"
    return f"{word.word!r} ({description})"
