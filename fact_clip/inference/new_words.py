"""Words of typed names that no trained class has, and how near the nearest trained word is.

A head that reads text scores any name, nonsense included, so each new word is told beside the trained word that a
sentence encoder finds most similar. MiniLM judges for every run: the model's own encoder may know no meanings (hashed
words) or put all texts near each other (CLIP).

Below a cosine of 0.58 a word is far: the threshold that best tells synonyms from words of other worlds (docs/method.md,
'New words').
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Vocabulary
from fact_clip.core.messages import listed
from fact_clip.core.segments import NewWord
from fact_clip.core.vocabulary import WHOLE_NAME
from fact_clip.encoders import text_encoder
from fact_clip.encoders.cache import encode_cached
from fact_clip.text.prompts import tidy

FAR = 0.58
"""A word is far if no trained word has at least this cosine."""

JUDGE = "minilm"
"""The text encoder that compares words."""

KEPT_TEXTS = 2_000
"""Texts whose vectors are kept, at most."""

PHRASE = WHOLE_NAME[0]

ACTION, OBJECT = "the action to {}", "the object {}"
"""What words are put into: alone, many have several senses ("saw", "turn")."""


def new_words(
    candidates: Vocabulary,
    trained: Vocabulary,
    phrases: Collection[str] = (),
    device: str = "auto",
    cache: str | None = None,
) -> tuple[NewWord, ...]:
    """The words of the candidates that no trained class has, in the order of the candidates and of the slots.

    Where names have no parts, every name that was not trained is a new word, so only the far ones are told.

    Args:
        candidates: the names, with their factors.
        trained: the classes that had training frames, in the same slots.
        phrases: candidates that did not parse; they are compared with the trained names.
        device, cache: of the sentence encoder, which is loaded only if there is something to compare.
    """
    actions = [name for name in trained if name not in trained.background]
    found = list[tuple[str, str, str]]()  # action, slot, word
    known = {slot: list(trained.factor_indices(slot)[0]) for slot in trained.slots} | {PHRASE: actions}
    for name, factors in zip(candidates.names, candidates.factors, strict=True):
        if name in trained or name in candidates.background:
            continue
        if name in phrases or candidates.slots == WHOLE_NAME:
            found.append((name, PHRASE, name))
            continue
        pairs = zip(candidates.slots, factors, strict=True)
        found += [(name, slot, word) for slot, word in pairs if word is not None and word not in known[slot]]
    if not found:
        return ()
    encoder, told = _judge(device), list[NewWord]()
    for slot in dict.fromkeys(slot for _, slot, _ in found):
        own = [each for each in found if each[1] == slot]
        words = [*known[slot], *dict.fromkeys(word for _, _, word in own)]
        template = ACTION if slot in ("verb", PHRASE) else OBJECT
        vectors = encode_cached(encoder, [template.format(tidy(word)) for word in words], cache)
        rows = dict(zip(words, vectors, strict=True))
        told += [_told(*each, known[slot], rows) for each in own]
    order = {each: place for place, each in enumerate(found)}
    told.sort(key=lambda each: order[each.action, each.slot, each.word])
    return tuple(each for each in told if each.far or candidates.slots != WHOLE_NAME)


class _Judge:
    """The sentence encoder, which stays loaded, and vectors of texts that it has had: names are typed one by one."""

    def __init__(self, device: str) -> None:
        self._encoder = text_encoder(JUDGE, device)
        self._rows: dict[str, NDArray[np.float32]] = {}

    @property
    def name(self) -> str:
        """That of the encoder."""
        return self._encoder.name

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """N texts -> (N, E), each row of length 1."""
        if len(self._rows) > KEPT_TEXTS:
            self._rows.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self._rows.update(zip(new, self._encoder.encode_texts(new), strict=True))
        return np.stack([self._rows[text] for text in texts])


_judge = lru_cache(maxsize=1)(_Judge)


def _told(
    action: str, slot: str, word: str, known: Sequence[str], vector: Mapping[str, NDArray[np.float32]]
) -> NewWord:
    """The word beside the most similar of the known ones."""
    if not known:
        return NewWord(action, slot, word, "", 0.0, True)
    cosines = np.stack([vector[each] for each in known]) @ vector[word]
    best = int(cosines.argmax())
    similarity = round(min(float(cosines[best]), 1.0), 3)
    return NewWord(action, slot, word, known[best], similarity, similarity < FAR)


def in_words(found: Sequence[NewWord]) -> str:
    """New words as a line: 'juggle' (verb, far from all; nearest 'bend', 0.44)."""
    told: dict[tuple[str, str], str] = {}
    for each in found:
        kind = "read as a whole phrase" if each.slot == PHRASE else each.slot
        kind += ", far from all" * each.far
        beside = f"; nearest {each.nearest!r}, {each.similarity:.2f}" if each.nearest else ""
        told[each.slot, each.word] = f"{each.word!r} ({kind}{beside})"
    return listed(list(told.values()))
