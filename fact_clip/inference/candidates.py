"""Typed names to the candidates that a trained model names frames with."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import names_of
from fact_clip.core.messages import listed, spelling_key
from fact_clip.datasets.factors import new_factors
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.decoding import CandidateSet
from fact_clip.decoding.switching import change_prices
from fact_clip.encoders import FRAME_ENCODERS, TextEncoder, is_local, text_encoder
from fact_clip.encoders.vectors import class_texts
from fact_clip.inference.new_words import KeptVectors, describe_new_words, new_words
from fact_clip.models import FACT
from fact_clip.run import LoadedRun, Run

logger = logging.getLogger(__name__)

NONE_OF_THESE = "none of these"
"""The label of segments that `DecodeSettings.reject` leaves without an action; files treat it as background."""

_MAX_SETS = 64  # lists of names that are kept


class CandidateReader:
    """Reads lists of names: each list once, and each new name is embedded once, by an encoder that must be trusted."""

    def __init__(self, loaded: LoadedRun, device: torch.device, *, trust_encoder: bool) -> None:
        self.run, self.calibration = loaded.run, loaded.calibration
        self.device, self.trust_encoder = device, trust_encoder
        self.model: FACT = loaded.models[0]
        self.vocabulary = loaded.run.vocabulary
        self._read = lru_cache(_MAX_SETS)(self._read_actions)
        self._extend = lru_cache(_MAX_SETS)(lambda names: self._open_set(names)[0])
        self._vectors = KeptVectors[Tensor](self._embed)

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
        return self._extend(tuple(dict.fromkeys([*self.vocabulary, *names])))

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
        if not self.run.config.model.is_open:
            return replace(self._candidates(classes, None), offset=self._only(actions))
        candidates, phrases = self._open_set(actions)
        self._warn_of_unmatched(candidates)
        trained = classes if self.calibration is None else classes.subset(self.calibration.seen)
        words = new_words(candidates.vocabulary, trained, phrases, str(self.device))
        if words:
            reason = describe_new_words(words)
            logger.warning("no trained class has these words, so what they find is a guess: %s", reason)
        return replace(candidates, new_words=words)

    def _candidates(self, vocabulary: Vocabulary, text: Tensor | None) -> CandidateSet:
        """Candidates with the calibration of the run; without one, gamma is taken from all classes of the run."""
        if self.calibration is None:
            trained, gamma, offset = self.vocabulary.names, 0.0, None
        else:
            trained, gamma, offset = self.calibration.seen, self.calibration.gamma, self.calibration.offset(vocabulary)
        is_trained = np.array([name in trained for name in vocabulary])
        return CandidateSet(vocabulary, text, offset, is_trained, gamma, prices=self._prices(vocabulary))

    def _prices(self, vocabulary: Vocabulary) -> NDArray[np.float64] | None:
        """(C, C) what each change costs by the order of the training; None where the run does not ask for it."""
        weight, names = self.run.config.decode.order, self.vocabulary.names
        if not weight:
            return None
        index = {name: position for position, name in enumerate(vocabulary)}
        named = ((index.get(names[a]), index.get(names[b]), times) for a, b, times in self.run.transitions)
        return change_prices([(a, b, n) for a, b, n in named if a is not None and b is not None], len(index), weight)

    def _as_trained(self, actions: Sequence[str]) -> tuple[str, ...]:
        """The names as the run spells them: case, underscores and blanks tell no two names apart."""
        first = dict[str, str]()  # the first spelling of each new name
        similar = [self.vocabulary.same(name) for name in actions]
        names = tuple(
            name if name in self.vocabulary else first.setdefault(spelling_key(name), name) for name in similar
        )
        pairs = [f"{typed!r} for {name!r}" for typed, name in zip(actions, names, strict=True) if typed != name]
        if pairs:
            logger.warning("another spelling of the same name: %s", listed(dict.fromkeys(pairs)))
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
            text = torch.cat([text, torch.stack(self._vectors(new)).to(text)])
        chosen = vocabulary.subset(names)
        return self._candidates(chosen, text[vocabulary.encode(names).tolist()]), phrases

    @cached_property
    def _encoder(self) -> TextEncoder:
        encoder = self.run.config.text.encoder
        check_trust(self.run, encoder, self.trust_encoder)
        return text_encoder(encoder, str(self.device))

    def _embed(self, names: Sequence[str]) -> Tensor:
        """(N, S, E) of new names."""
        config = self.run.config.text
        factors, _ = new_factors(self.run.config.data, self.vocabulary, names)
        vocabulary = self.vocabulary.extended(names, factors=factors).subset(names)
        rows = class_texts(config, vocabulary, str(self.device), self._encoder)
        assert self.model.text is not None
        trained = tuple(self.model.text.shape[1:])
        if rows.shape[1:] != trained:
            problem = f"{config.encoder} makes {rows.shape[1]} vectors of {rows.shape[2]} numbers for each name"
            fix = f"use the text settings of the training, which had {trained[0]} of {trained[1]}"
            raise InputError(self.run.path, problem, fix)
        return torch.from_numpy(rows)

    def _warn_of_unmatched(self, candidates: CandidateSet) -> None:
        """Warn of new names whose word matches no object column: the columns say nothing of them."""
        vocabulary = candidates.vocabulary
        if self.model.objects is None or all(name in self.vocabulary for name in vocabulary):
            return
        assert candidates.text is not None
        slot = vocabulary.slots.index(self.run.config.data.objects.slot)
        unmatched = self.model.objects.unmatched(candidates.text).tolist()
        pairs = zip(vocabulary.names, vocabulary.factors, unmatched, strict=True)
        words = [str(factors[slot]) for name, factors, lost in pairs if lost and name not in self.vocabulary]
        if words:
            text = listed(dict.fromkeys(words))
            logger.warning("no object column matches %s; these actions are named without evidence of objects", text)

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


def check_actions(actions: Sequence[str], background: Collection[str] = ()) -> None:
    """Raise an InputError where there is no action among some names, or one that stands for none in files."""
    if not set(actions) - set(background):
        problem = f"only {', '.join(map(repr, actions))}, the background" if actions else "no names"
        raise InputError("actions", problem, "name at least one action")
    for name in (UNLABELLED, NONE_OF_THESE):
        if name in actions:
            raise InputError("actions", f"{name!r} stands for frames without an action", "give names of actions")


def check_trust(run: Run, encoder: str, trusted: bool, other: str = "") -> None:
    """Raise an InputError where the run names an encoder by a path that nobody said to trust, or lacks its package."""
    run.check_plugin(FRAME_ENCODERS, encoder.partition(":")[0])  # as the table of texts, of the same group
    if is_local(encoder) and not trusted:
        fix = f"{other}say --trust-encoder (in Python trust_encoder=True) if you trust these files"
        raise InputError(run.path, f"the run names its encoder by a path, {encoder}", fix)
