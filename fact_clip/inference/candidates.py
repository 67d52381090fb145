"""Typed names to the candidates that a trained model names frames with, and their words that it has not learned."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.core import WHOLE_NAME, InputError, NewWord, Vocabulary
from fact_clip.core.arguments import names_of
from fact_clip.core.messages import join_names, spelling_key
from fact_clip.datasets.benchmarks import new_factors
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.decoding import CandidateSet
from fact_clip.decoding.scores import change_prices
from fact_clip.encoders import FRAME_ENCODERS, TextEncoder, is_local, text_encoder
from fact_clip.encoders.vectors import class_texts
from fact_clip.models import FACT
from fact_clip.run import LoadedRun, Run
from fact_clip.text.prompts import tidy

logger = logging.getLogger(__name__)

NONE_OF_THESE = "none of these"
"""The label of segments that `DecodeSettings.reject` leaves without an action; files treat it as background."""

# A head that reads text scores any name, nonsense included, so each new word is reported beside the trained word that a
# sentence encoder finds most similar. MiniLM judges for every run: the model's own encoder may know no meanings (hashed
# words) or put all texts near each other (CLIP).
JUDGE = "minilm"
FAR = (
    0.58  # A word is far if no trained word has at least this cosine (docs/method.md, 'New words')
)

PHRASE = WHOLE_NAME[0]

ACTION, OBJECT = "the action to {}", "the object {}"
"""What words are put into: alone, many have several senses ("saw", "turn")."""

Vectors = NDArray[np.float32]

_MAX_SETS = 64  # lists of names that are kept


class CandidateReader:
    """Reads lists of names: each list once, and each new name is embedded once, by an encoder that must be trusted."""

    def __init__(self, loaded: LoadedRun, device: torch.device, *, trust_encoder: bool) -> None:
        self.run, self.calibration = loaded.run, loaded.calibration
        self.device, self.trust_encoder = device, trust_encoder
        self.model: FACT = loaded.models[0]
        self.vocabulary = loaded.run.vocabulary
        self._read = lru_cache(_MAX_SETS)(self._read_actions)
        self._vectors = KeptVectors(self._embed)

    def read(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for these names (None: the classes of the run), with the calibration of the run."""
        return self._read(None if actions is None else names_of(actions, "actions", typed=True))

    def with_run_classes(self, candidates: CandidateSet) -> CandidateSet:
        """Return candidates beside all classes of the run."""
        if candidates.text is None:
            return self.read()
        names = candidates.vocabulary.names
        if set(self.vocabulary) <= set(names):
            return candidates
        return self._open_set(tuple(dict.fromkeys([*self.vocabulary, *names])))[0]

    def load(self) -> None:
        """Load what embeds and compares names, where the head reads text."""
        if self.run.config.model.is_open:
            with suppress(InputError):  # stored vectors know no new names
                candidates, phrases = self._open_set(("something new",))
                new_words(candidates.vocabulary, self.vocabulary, phrases, str(self.device))

    def _read_actions(self, actions: tuple[str, ...] | None) -> CandidateSet:
        classes = self.vocabulary
        if actions is None:
            return self._candidates(classes, None)
        check_actions(actions, classes.background)
        actions = self._as_trained(actions)
        if (
            not self.run.config.model.is_open
        ):  # all but some classes and the background are ruled out
            try:
                allowed = classes.encode(actions)
            except InputError as error:
                fix = (
                    f"{error.fix} " * bool(error.fix)
                    + "A run trained with model.head=text takes any name"
                )
                raise InputError(error.where, error.problem, fix) from None
            offset = np.full(len(classes), -np.inf)
            offset[[*allowed, *classes.background_indices]] = 0
            return replace(self._candidates(classes, None), offset=offset)
        candidates, phrases = self._open_set(actions)
        self._warn_of_unmatched(candidates)
        trained = classes if self.calibration is None else classes.subset(self.calibration.seen)
        words = new_words(candidates.vocabulary, trained, phrases, str(self.device))
        if words:
            text = "no trained class has these words, so what they find is a guess: %s"
            logger.warning(text, join_names(dict.fromkeys(map(describe_new_word, words))))
        return replace(candidates, new_words=words)

    def _candidates(self, vocabulary: Vocabulary, text: Tensor | None) -> CandidateSet:
        """Candidates with the calibration of the run; without one, gamma is taken from all classes of the run."""
        if self.calibration is None:
            trained, gamma, offset = self.vocabulary.names, 0.0, None
        else:
            trained, gamma, offset = (
                self.calibration.seen,
                self.calibration.gamma,
                self.calibration.offset(vocabulary),
            )
        is_trained, prices = np.array([name in trained for name in vocabulary]), None
        if (
            weight := self.run.config.decode.order
        ):  # what each change costs by the order of the training
            index, names = (
                {name: position for position, name in enumerate(vocabulary)},
                self.vocabulary.names,
            )
            named = (
                (index.get(names[a]), index.get(names[b]), times)
                for a, b, times in self.run.transitions
            )
            pairs = [(a, b, times) for a, b, times in named if a is not None and b is not None]
            prices = change_prices(pairs, len(index), weight)
        return CandidateSet(vocabulary, text, offset, is_trained, gamma, prices=prices)

    def _as_trained(self, actions: Sequence[str]) -> tuple[str, ...]:
        """The names as the run spells them: case, underscores and blanks tell no two names apart."""
        first = dict[str, str]()  # the first spelling of each new name
        similar = [self.vocabulary.canonical(name) for name in actions]
        names = tuple(
            name if name in self.vocabulary else first.setdefault(spelling_key(name), name)
            for name in similar
        )
        pairs = [
            f"{typed!r} for {name!r}"
            for typed, name in zip(actions, names, strict=True)
            if typed != name
        ]
        if pairs:
            logger.warning(
                "another spelling of the same name: %s", join_names(dict.fromkeys(pairs))
            )
        return names

    def _open_set(self, actions: Sequence[str]) -> tuple[CandidateSet, Sequence[str]]:
        """These names and the background for a head that reads text, and those that did not parse."""
        vocabulary, text, phrases = self.vocabulary, self.model.text, list[str]()
        assert text is not None
        names = dict.fromkeys([*actions, *vocabulary.background])
        new = [name for name in names if name not in vocabulary]
        if new:
            factors, phrases = new_factors(self.run.config.data, vocabulary, new)
            vocabulary = vocabulary.extended(new, factors=factors)
            # Trained names keep the vectors that they were trained with.
            text = torch.cat([text, torch.from_numpy(np.stack(self._vectors(new))).to(text)])
        chosen = vocabulary.subset(names)
        return self._candidates(chosen, text[vocabulary.encode(names).tolist()]), phrases

    @cached_property
    def _encoder(self) -> TextEncoder:
        encoder = self.run.config.text.encoder
        check_trust(self.run, encoder, self.trust_encoder)
        return text_encoder(encoder, str(self.device))

    def _embed(self, names: Sequence[str]) -> Vectors:
        """(N, S, E) of new names."""
        factors, _ = new_factors(self.run.config.data, self.vocabulary, names)
        vocabulary = self.vocabulary.extended(names, factors=factors).subset(names)
        rows = class_texts(self.run.config.text, vocabulary, str(self.device), self._encoder)
        assert self.model.text is not None
        trained = tuple(self.model.text.shape[1:])
        if rows.shape[1:] != trained:
            problem = f"text vectors {rows.shape[1:]} of a name, but the training had {trained}"
            raise InputError(self.run.path, problem, "use the text settings of the training")
        return rows

    def _warn_of_unmatched(self, candidates: CandidateSet) -> None:
        """Warn of new names whose word matches no object column: the columns say nothing of them."""
        vocabulary = candidates.vocabulary
        if self.model.objects is None:
            return
        assert candidates.text is not None
        slot = vocabulary.slots.index(self.run.config.data.objects.slot)
        unmatched = self.model.objects.unmatched(candidates.text).tolist()
        pairs = zip(vocabulary.names, vocabulary.factors, unmatched, strict=True)
        words = [
            str(factors[slot])
            for name, factors, lost in pairs
            if lost and name not in self.vocabulary
        ]
        if words:
            text = join_names(dict.fromkeys(words))
            logger.warning(
                "no object column matches %s; these actions are named without evidence of objects",
                text,
            )


def check_actions(actions: Sequence[str], background: Collection[str] = ()) -> None:
    """Raise an InputError where there is no action among some names, or one that stands for none in files."""
    if not set(actions) - set(background):
        problem = f"only {', '.join(map(repr, actions))}, the background" if actions else "no names"
        raise InputError("actions", problem, "name at least one action")
    for name in (UNLABELLED, NONE_OF_THESE):
        if name in actions:
            raise InputError(
                "actions", f"{name!r} stands for frames without an action", "give names of actions"
            )


def check_trust(run: Run, encoder: str, trusted: bool, other: str = "") -> None:
    """Raise an InputError where the run names an encoder by a path that nobody said to trust, or lacks its package."""
    run.check_plugin(
        FRAME_ENCODERS, encoder.partition(":")[0]
    )  # as the table of texts, of the same group
    if is_local(encoder) and not trusted:
        fix = f"{other}say --trust-encoder (in Python trust_encoder=True) if you trust these files"
        raise InputError(run.path, f"the run names its encoder by a path, {encoder}", fix)


class KeptVectors:
    """Keeps the vectors that `encode` makes of texts, because names are typed one by one."""

    MAX_TEXTS = 2_000

    def __init__(self, encode: Callable[[list[str]], Vectors]) -> None:
        self._encode, self._vectors = encode, dict[str, Vectors]()

    def __call__(self, texts: Sequence[str]) -> list[Vectors]:
        """Return the vector of each text."""
        if len(self._vectors) > self.MAX_TEXTS:
            self._vectors.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._encode(new), strict=True))
        return [self._vectors[text] for text in texts]


@lru_cache(maxsize=1)
def _judge(device: str) -> KeptVectors:
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
    words_of_slot = {slot: list(trained.factor_indices(slot)[0]) for slot in trained.slots} | {
        PHRASE: actions
    }
    words = list[tuple[str, str, str]]()  # action, slot, word
    for name, factors in zip(candidates.names, candidates.factors, strict=True):
        if name in trained or name in candidates.background:
            continue
        if name in phrases or candidates.slots == WHOLE_NAME:
            words.append((name, PHRASE, name))
            continue
        pairs = zip(candidates.slots, factors, strict=True)
        words += [
            (name, slot, word)
            for slot, word in pairs
            if word is not None and word not in words_of_slot[slot]
        ]
    if not words:
        return ()
    encode, vectors, results = _judge(device), dict[tuple[str, str], Vectors](), list[NewWord]()
    for slot in dict.fromkeys(slot for _, slot, _ in words):
        texts = [
            *words_of_slot[slot],
            *dict.fromkeys(word for _, of_word, word in words if of_word == slot),
        ]
        template = ACTION if slot in ("verb", PHRASE) else OBJECT
        of_texts = encode([template.format(tidy(text)) for text in texts])
        vectors |= zip(((slot, text) for text in texts), of_texts, strict=True)
    for action, slot, word in words:
        nearest, similarity = "", 0.0
        if among := words_of_slot[slot]:
            cosines = np.stack([vectors[slot, name] for name in among]) @ vectors[slot, word]
            best = int(cosines.argmax())
            nearest, similarity = among[best], round(min(float(cosines[best]), 1.0), 3)
        results.append(NewWord(action, slot, word, nearest, similarity, similarity < FAR))
    return tuple(word for word in results if word.far or candidates.slots != WHOLE_NAME)


def describe_new_word(word: NewWord) -> str:
    """Describe a new word: 'juggle' (verb, far from all; nearest 'bend', 0.44)."""
    kind = "read as a whole phrase" if word.slot == PHRASE else word.slot
    nearest = f"; nearest {word.nearest!r}, {word.similarity:.2f}" if word.nearest else ""
    return f"{word.word!r} ({kind}{', far from all' * word.far}{nearest})"
