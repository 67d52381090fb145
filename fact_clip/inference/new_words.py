"""Words of typed names that no trained class has, and how near the nearest trained word is.

A head that reads text scores any name, nonsense included, so each new word is reported beside the trained word that a
sentence encoder finds most similar. MiniLM judges for every run: the model's own encoder may know no meanings (hashed
words) or put all texts near each other (CLIP).

Below a cosine of 0.58 a word is far: the threshold that best tells synonyms from words of other worlds (docs/method.md,
'New words').
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Vocabulary
from fact_clip.core.messages import listed
from fact_clip.core.segments import NewWord
from fact_clip.core.vocabulary import WHOLE_NAME
from fact_clip.encoders import text_encoder
from fact_clip.text.prompts import tidy

FAR = 0.58  # A word is far if no trained word has at least this cosine
JUDGE = "minilm"  # The text encoder that compares words

PHRASE = WHOLE_NAME[0]

ACTION, OBJECT = "the action to {}", "the object {}"
"""What words are put into: alone, many have several senses ("saw", "turn")."""

Vector = TypeVar("Vector")


class KeptVectors(Generic[Vector]):
    """Keeps the vectors that `encode` makes of texts, because names are typed one by one."""

    MAX_TEXTS = 2_000

    def __init__(self, encode: Callable[[list[str]], Iterable[Vector]]) -> None:
        self._encode, self._vectors = encode, dict[str, Vector]()

    def __call__(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vector of each text."""
        if len(self._vectors) > self.MAX_TEXTS:
            self._vectors.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._encode(new), strict=True))
        return [self._vectors[text] for text in texts]


@lru_cache(maxsize=1)
def _judge(device: str) -> KeptVectors[NDArray[np.float32]]:
    return KeptVectors(text_encoder(JUDGE, device).encode_texts)


def new_words(
    candidates: Vocabulary, trained: Vocabulary, phrases: Collection[str] = (), device: str = "auto"
) -> tuple[NewWord, ...]:
    """Return the words of the candidates that no trained class has, in the order of the candidates and of the slots.

    Where names have no parts, every name that was not trained is a new word, so only the far ones are returned.
    `trained` are the classes with training frames, `phrases` the candidates that did not parse and are compared as a
    whole.
    """
    actions = [name for name in trained if name not in trained.background]
    words_of_slot = {slot: list(trained.factor_indices(slot)[0]) for slot in trained.slots} | {PHRASE: actions}
    words = list[tuple[str, str, str]]()  # action, slot, word
    for name, factors in zip(candidates.names, candidates.factors, strict=True):
        if name in trained or name in candidates.background:
            continue
        if name in phrases or candidates.slots == WHOLE_NAME:
            words.append((name, PHRASE, name))
            continue
        pairs = zip(candidates.slots, factors, strict=True)
        words += [(name, slot, word) for slot, word in pairs if word is not None and word not in words_of_slot[slot]]
    if not words:
        return ()
    encode, results = _judge(device), dict[tuple[str, str, str], NewWord]()
    for slot in dict.fromkeys(slot for _, slot, _ in words):
        entries = [entry for entry in words if entry[1] == slot]
        template = ACTION if slot in ("verb", PHRASE) else OBJECT
        texts = [*words_of_slot[slot], *dict.fromkeys(word for _, _, word in entries)]
        vectors = dict(zip(texts, encode([template.format(tidy(word)) for word in texts]), strict=True))
        results |= {entry: _compared(*entry, words_of_slot[slot], vectors) for entry in entries}
    in_order = [results[entry] for entry in words]
    return tuple(word for word in in_order if word.far or candidates.slots != WHOLE_NAME)


def _compared(
    action: str, slot: str, word: str, trained: Sequence[str], vectors: Mapping[str, NDArray[np.float32]]
) -> NewWord:
    """The word beside the most similar of the trained ones."""
    if not trained:
        return NewWord(action, slot, word, "", 0.0, True)
    cosines = np.stack([vectors[name] for name in trained]) @ vectors[word]
    best = int(cosines.argmax())
    similarity = round(min(float(cosines[best]), 1.0), 3)
    return NewWord(action, slot, word, trained[best], similarity, similarity < FAR)


def describe_new_words(words: Iterable[NewWord]) -> str:
    """Describe new words in a line: 'juggle' (verb, far from all; nearest 'bend', 0.44)."""
    lines: dict[tuple[str, str], str] = {}
    for word in words:
        kind = "read as a whole phrase" if word.slot == PHRASE else word.slot
        kind += ", far from all" * word.far
        nearest = f"; nearest {word.nearest!r}, {word.similarity:.2f}" if word.nearest else ""
        lines[word.slot, word.word] = f"{word.word!r} ({kind}{nearest})"
    return listed(list(lines.values()))
