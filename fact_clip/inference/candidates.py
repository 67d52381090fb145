"""Typed names to the candidates that a trained model names frames with."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import names_of
from fact_clip.core.messages import listed, spelling_key
from fact_clip.core.segments import NewWord
from fact_clip.datasets.factors import new_factors
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.decoding import Calibration
from fact_clip.encoders import TextEncoder, is_local, text_encoder
from fact_clip.encoders.cache import class_texts
from fact_clip.inference.new_words import in_words, new_words
from fact_clip.inference.prepared import NONE_OF_THESE
from fact_clip.models import FACT
from fact_clip.run import Run

logger = logging.getLogger(__name__)

MOST_ACTIONS = 10_000
"""Candidates of one video; new names are embedded one by one."""

KEPT_CHOICES, KEPT_NAMES = 64, 2_000
"""Lists of candidates, and vectors of new names, that a segmenter keeps, at most."""


@dataclass(frozen=True)
class Choice:
    """The candidates that frames are named with.

    Attributes:
        vocabulary: the candidates; class indices refer to it.
        text: (C, S, E) for a head that reads text; None: that of the training vocabulary.
        offset: (C,) added to the log scores before the softmax (`decoding.Calibration`), -inf for a class that is no
            candidate; None: nothing.
        new_words: words of the candidates that no trained class has.
    """

    vocabulary: Vocabulary
    text: Tensor | None = None
    offset: NDArray[np.float64] | None = None
    new_words: tuple[NewWord, ...] = ()

    @property
    def ruled_out(self) -> NDArray[np.bool_]:
        """(C,) classes of the vocabulary that are no candidates."""
        return np.zeros(len(self.vocabulary), dtype=bool) if self.offset is None else np.isneginf(self.offset)

    def among(self, vocabulary: Vocabulary) -> tuple[Vocabulary, NDArray[np.int64]]:
        """Another vocabulary, extended by the candidates that it lacks, and the index of each candidate in it."""
        own = self.vocabulary
        new = [name for name in own if name not in vocabulary]
        factors = dict(zip(own.names, own.factors, strict=True))
        whole = vocabulary.extended(new, factors={name: factors[name] for name in new}) if new else vocabulary
        return whole, whole.encode(own.names)


class Candidates:
    """The lists of names that a run was asked for, each looked up once; each new name is embedded once.

    Args:
        run: the description of the run folder.
        model: its model, or the first of several.
        device: where names are embedded.
        calibration: of a model that was trained with classes held out, else None.
        trusted: whether an encoder that the run names by a path may be loaded.
    """

    def __init__(
        self, run: Run, model: FACT, device: torch.device, calibration: Calibration | None, *, trusted: bool
    ) -> None:
        self.run, self.model, self.device, self.calibration, self.trusted = run, model, device, calibration, trusted
        self.vocabulary = run.vocabulary
        self._choices: dict[tuple[str, ...] | None, Choice] = {}
        self._rivalled: dict[tuple[str, ...], Choice] = {}
        self._vectors: dict[str, Tensor] = {}  # (S, E) of each new name
        self._text_encoder: TextEncoder | None = None

    def choose(self, actions: Sequence[str] | None = None) -> Choice:
        """The candidates for these names (None: the classes of the run), with the calibration of the run."""
        key = None if actions is None else names_of(actions, "actions", typed=True)
        if key is not None and len(key) > MOST_ACTIONS:
            raise InputError("actions", f"{len(key):,} names; expected {MOST_ACTIONS:,} at most")
        if key not in self._choices:
            if len(self._choices) >= KEPT_CHOICES:
                self._choices.pop(next(iter(self._choices)))
            self._choices[key] = self._chosen(key)
        return self._choices[key]

    def among_all(self, choice: Choice) -> Choice:
        """The candidates of a choice beside all classes of the run."""
        names = choice.vocabulary.names
        if choice.text is None:
            return self.choose()
        if set(self.vocabulary) <= set(names):
            return choice
        if names not in self._rivalled:
            if len(self._rivalled) >= KEPT_CHOICES:
                self._rivalled.pop(next(iter(self._rivalled)))
            self._rivalled[names] = self._read_names(list(dict.fromkeys([*self.vocabulary, *names])))[0]
        return self._rivalled[names]

    def _chosen(self, actions: tuple[str, ...] | None) -> Choice:
        known = self.vocabulary
        if actions is None:
            return Choice(known, None, self._offset(known))
        if not actions:
            raise InputError("actions", "none; expected at least one")
        check_actions(actions, known.background)
        actions = self._as_trained(actions)
        if not self.run.config.model.is_open:
            return Choice(known, None, self._only(actions))
        choice, phrases = self._read_names(actions)
        self._tell_unmatched(choice)
        trained = known if self.calibration is None else known.subset(self.calibration.seen)
        found = new_words(choice.vocabulary, trained, phrases, str(self.device))
        if found:
            logger.warning("no trained class has these words, so what they find is a guess: %s", in_words(found))
        return replace(choice, new_words=found)

    def _as_trained(self, actions: Sequence[str]) -> tuple[str, ...]:
        """The names as the run spells them: case, underscores and blanks tell no two names apart."""
        first = dict[str, str]()  # the first spelling of each new name
        own = [self.vocabulary.same(name) for name in actions]
        names = tuple(name if name in self.vocabulary else first.setdefault(spelling_key(name), name) for name in own)
        other = [f"{given!r} for {name!r}" for given, name in zip(actions, names, strict=True) if given != name]
        if other:
            logger.warning("another spelling of the same name: %s", listed(list(dict.fromkeys(other))))
        return names

    def _read_names(self, actions: Sequence[str]) -> tuple[Choice, Sequence[str]]:
        """The choice of these names and the background for a head that reads text, and those that did not parse."""
        known = self.vocabulary
        names = dict.fromkeys([*actions, *known.background])
        new, phrases = [name for name in names if name not in known], list[str]()
        whole, text = known, self.model.text
        assert text is not None
        if new:
            config = self.run.config
            factors, phrases = new_factors(config.data, known, new)
            whole = known.extended(new, factors=factors)
            # Known names keep the vectors that they were trained with.
            text = torch.cat([text, self._embedded(whole, new).to(text)])
        vocabulary = whole.subset(names)
        text = text[whole.encode(names).tolist()]
        return Choice(vocabulary, text, self._offset(vocabulary)), phrases

    def _embedded(self, vocabulary: Vocabulary, names: Sequence[str]) -> Tensor:
        """(N, S, E) of new names; the text encoder stays loaded, and each name is embedded once."""
        config = self.run.config.text.model_copy(update={"cache": None})  # a run says nowhere to write to
        missing = [name for name in names if name not in self._vectors]
        if missing:
            if len(self._vectors) + len(missing) > KEPT_NAMES:
                self._vectors.clear()
                missing = list(names)
            if self._text_encoder is None:
                check_trust(self.run, config.encoder, self.trusted)
                self._text_encoder = text_encoder(config.encoder, str(self.device))
            rows = class_texts(config, vocabulary.subset(missing), str(self.device), self._text_encoder)
            assert self.model.text is not None
            trained = tuple(self.model.text.shape[1:])
            if rows.shape[1:] != trained:
                found = f"{rows.shape[1]} vectors of {rows.shape[2]} numbers for each name, by {config.encoder}"
                expected = f"{trained[0]} of {trained[1]}, as the run was trained with"
                raise InputError(
                    self.run.path, f"{found}; expected {expected}", "use the text settings of the training"
                )
            self._vectors.update(zip(missing, torch.from_numpy(rows), strict=True))
        return torch.stack([self._vectors[name] for name in names])

    def load(self) -> None:
        """Load what embeds and compares names, where the head reads text."""
        if not self.run.config.model.is_open:
            return
        with suppress(InputError):  # stored vectors know no new names
            choice, phrases = self._read_names(("something new",))
            new_words(choice.vocabulary, self.vocabulary, phrases, str(self.device))

    def _tell_unmatched(self, choice: Choice) -> None:
        """One line of warning for new names whose word matches no object column: the columns say nothing of them."""
        vocabulary = choice.vocabulary
        if self.model.objects is None or choice.text is None or all(name in self.vocabulary for name in vocabulary):
            return
        slot = vocabulary.slots.index(self.run.config.data.objects.slot)
        unmatched = self.model.objects.unmatched(choice.text).tolist()
        words = [
            str(factors[slot])
            for name, factors, lost in zip(vocabulary.names, vocabulary.factors, unmatched, strict=True)
            if lost and name not in self.vocabulary
        ]
        if words:
            told = listed(list(dict.fromkeys(words)))
            logger.warning("no object column matches %s; these actions are named without evidence of objects", told)

    def _only(self, actions: Sequence[str]) -> NDArray[np.float64]:
        """(C,) the offset of a closed-set model that rules out all but some of its classes and the background."""
        try:
            allowed = self.vocabulary.encode(actions)
        except InputError as error:
            fix = f"{error.fix} " * bool(error.fix) + "A run trained with model.head=text takes any name"
            raise InputError(error.where, error.problem, fix) from None
        offset = np.full(len(self.vocabulary), -np.inf)
        offset[[*allowed, *self.vocabulary.background_indices]] = 0
        return offset

    def _offset(self, vocabulary: Vocabulary) -> NDArray[np.float64] | None:
        return None if self.calibration is None else self.calibration.offset(vocabulary)


def check_actions(actions: Sequence[str], background: Collection[str] = ()) -> None:
    """An InputError for a name that stands for no action in files, and where there is nothing but background."""
    for name in (UNLABELLED, NONE_OF_THESE):
        if name in actions:
            raise InputError(
                "actions", f"{name!r}, which stands for frames without an action; expected names of actions"
            )
    if set(actions) <= set(background):
        raise InputError(
            "actions", f"only {', '.join(map(repr, actions))}, the background; expected at least one action"
        )


def check_trust(run: Run, encoder: str, trusted: bool, other: str = "") -> None:
    """An InputError where the run names an encoder by a path and nobody said that this path is to be trusted."""
    if is_local(encoder) and not trusted:
        todo = f"{other}say --trust-encoder (in Python trust_encoder=True) if you trust these files"
        raise InputError(run.path, f"the encoder {encoder}, a path that the run names; expected your consent", todo)
