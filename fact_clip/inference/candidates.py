"""Conversion of names to the candidates of a trained model, with the calibration of its run."""

import logging
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from fact_clip.config.rows import frames_per_row
from fact_clip.core import NONE_OF_THESE, InputError, Names, Singles, Vocabulary
from fact_clip.core.arguments import names_of
from fact_clip.core.messages import join_names, spelling_key
from fact_clip.datasets.benchmarks import new_factors
from fact_clip.datasets.labels import UNLABELLED, unlabelled
from fact_clip.datasets.objects import OBJECT_SLOT
from fact_clip.decoding import CandidateSet
from fact_clip.decoding.durations import Durations
from fact_clip.decoding.scores import Scoring
from fact_clip.decoding.segment_costs import SegmentCosts
from fact_clip.decoding.switching import StateCosts, listed_counts
from fact_clip.decoding.visits import VisitRules
from fact_clip.encoders import TextEncoder, is_local, text_encoder
from fact_clip.encoders.vectors import class_texts, twins
from fact_clip.inference.new_words import VectorCache, describe_new_word, new_words
from fact_clip.models import FACT
from fact_clip.models.heads import is_open
from fact_clip.runs.run import LoadedRun, Run

logger = logging.getLogger(__name__)

_MAX_SETS = 64  # maximum number of cached lists of names


class CandidateReader:
    """Converts lists of names to candidates. Caches lists and the embeddings of new names.

    Args:
        loaded: Run with its models.
        device: Device that embeds new names.
        trust_encoder: Whether to load a text encoder that the run names by a path.
    """

    def __init__(self, loaded: LoadedRun, device: torch.device, *, trust_encoder: bool) -> None:
        self._loaded = loaded
        self.run = loaded.run
        self.calibration = loaded.calibration
        self.device = device
        self.trust_encoder = trust_encoder
        self.model: FACT = loaded.models[0]
        self.vocabulary = loaded.run.vocabulary
        self._read = lru_cache(_MAX_SETS)(self._read_actions)
        self._embeddings = VectorCache(self._embed)

    def read(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for names, or for the classes of the run if `actions` is None.

        Raises:
            InputError: A name is invalid, or is not a class of a run with a closed head.
        """
        return self._read(None if actions is None else names_of(actions, "actions", typed=True))

    def with_run_classes(self, candidates: CandidateSet) -> CandidateSet:
        """Return the candidates together with all classes of the run."""
        if candidates.scoring.text_embeddings is None:
            return self.read()
        names = candidates.vocabulary.names
        if set(self.vocabulary) <= set(names):
            return candidates
        return self._open_set(tuple(dict.fromkeys([*self.vocabulary, *names])))[0]

    def load(self) -> None:
        """Load the encoders that embed and compare names, if the head reads text."""
        if is_open(self.run.config.model.head):
            with suppress(InputError):  # stored vectors lack new names
                candidates, phrases = self._open_set(("something new",))
                new_words(candidates.vocabulary, self.vocabulary, phrases, str(self.device))

    def _read_actions(self, actions: Names | None) -> CandidateSet:
        if actions is None:
            return self._candidate_set(self.vocabulary, text_embeddings=None)
        check_actions(actions, ())
        names = self._as_spelled_in_training(actions)
        check_actions(names, self.vocabulary.background, unlabelled(self.run.config.data))
        if not is_open(self.run.config.model.head):
            return self._closed_set(names)

        candidates, phrases = self._open_set(names)
        embeddings = candidates.scoring.text_embeddings
        assert embeddings is not None
        for alike in twins(candidates.vocabulary.names, embeddings.numpy(force=True)):
            if not set(alike) <= set(self.vocabulary):  # training has reported such classes
                message = "the model cannot distinguish these names, so either may occur: %s"
                logger.warning(message, join_names(map(repr, alike)))
        self._warn_of_unmatched_objects(candidates.vocabulary, embeddings)
        trained = self.vocabulary.subset(self._loaded.trained_classes())
        words = new_words(candidates.vocabulary, trained, phrases, str(self.device))
        if words:
            descriptions = join_names(dict.fromkeys(describe_new_word(word) for word in words))
            message = "no trained class has these words, so their results are a guess: %s"
            logger.warning(message, descriptions)
        return replace(candidates, new_words=words)

    def _closed_set(self, names: Sequence[str]) -> CandidateSet:
        """Return all classes of the run. Only the named ones and background are allowed."""
        indices = self.vocabulary.encode(names)
        allowed = np.zeros(len(self.vocabulary), bool)
        allowed[[*indices, *self.vocabulary.background_indices]] = True
        candidates = self._candidate_set(self.vocabulary, text_embeddings=None)
        return replace(candidates.uncorrected(), allowed=allowed)

    def _open_set(self, actions: Sequence[str]) -> tuple[CandidateSet, Sequence[str]]:
        """Return candidates for a head that reads text, and the names that were not parsed."""
        vocabulary = self.vocabulary
        embeddings = self.model.text
        assert embeddings is not None
        phrases: Sequence[str] = ()
        names = dict.fromkeys([*actions, *vocabulary.background])
        new_names = [name for name in names if name not in vocabulary]
        if new_names:
            factors, phrases = new_factors(self.run.config.data, vocabulary, new_names)
            vocabulary = vocabulary.extended(new_names, factors=factors)
            # Trained names keep their vectors from training.
            rows = torch.from_numpy(np.stack(self._embeddings(new_names)))
            embeddings = torch.cat([embeddings, rows.to(embeddings)])
        selected = embeddings[vocabulary.encode(names).tolist()]
        return self._candidate_set(vocabulary.subset(names), selected), phrases

    def _candidate_set(
        self, vocabulary: Vocabulary, text_embeddings: Tensor | None
    ) -> CandidateSet:
        """Return candidates with the calibration and the transition costs of the run."""
        trained = np.isin(vocabulary.names, self._loaded.trained_classes())
        durations = self._durations(vocabulary)
        candidates = CandidateSet(
            vocabulary=vocabulary,
            scoring=Scoring(text_embeddings, trained=trained),
            costs=SegmentCosts(
                self.transition_costs(vocabulary), durations, self._visit_rules(vocabulary)
            ),
        )
        if self.calibration is None:
            return candidates
        return candidates.calibrated(self.calibration)

    def transition_costs(
        self, vocabulary: Vocabulary, weight: float | None = None
    ) -> StateCosts | None:
        """Return the costs of changes between candidates.

        Args:
            vocabulary: The C candidates.
            weight: Weight of the order, or None for the weight of the run.

        Returns:
            The costs, or None if the weight is 0. They remember the last action across background
            if the run counted transitions in this way.
        """
        if weight is None:
            weight = self.run.config.decode.order
        if not weight:
            return None
        new_names = [name for name in vocabulary if name not in self.vocabulary]
        index = {name: position for position, name in enumerate((*self.vocabulary, *new_names))}
        n_trained, n_classes = len(self.vocabulary), len(index)
        states = np.append(np.arange(n_trained), n_classes + np.arange(n_trained))
        counts = np.zeros((2 * n_classes, 2 * n_classes))
        for first, second, times in self.run.transitions:
            counts[states[first], states[second]] += times
        classes = [index[name] for name in vocabulary]
        counts = listed_counts(counts, classes, self.vocabulary.background_indices)
        return StateCosts.learned(counts, weight, vocabulary.background_indices)

    def _durations(self, vocabulary: Vocabulary) -> Durations | None:
        """Return the segment lengths of candidates, or None if they are not used."""
        config = self.run.config
        if not config.decode.durations:
            return None
        if not self.run.lengths:
            message = "decode.durations has no effect, because no segment lengths are known"
            warnings.warn(message, stacklevel=2)
            return None
        facts = self._facts(self.run.lengths, vocabulary)
        stride = frames_per_row(config.data.stride, config.data.interleave)
        return Durations.of_classes(facts, self.run.lengths, stride, config.decode.durations)

    def _facts(
        self, facts: Sequence[tuple[float, float]], vocabulary: Vocabulary
    ) -> list[tuple[float, float] | None]:
        """Return facts about candidates, selected from the facts about the classes of the run."""
        facts_of = dict(zip(self.vocabulary.names, facts, strict=True))
        return [facts_of.get(name) for name in vocabulary]

    def _visit_rules(self, vocabulary: Vocabulary) -> VisitRules | None:
        """Return the rules about whole videos for candidates, or None if they are not used."""
        decode = self.run.config.decode
        if not decode.always and not decode.returns:
            return None
        if not self.run.visits:
            problem = "the run has no record of which actions occur"
            raise InputError("decode.always", problem, "train it again, or leave it out")
        visits = self._facts(self.run.visits, vocabulary)
        is_background = np.isin(range(len(vocabulary)), vocabulary.background_indices)
        return VisitRules.learned(
            visits, is_background, use_always=decode.always, use_once=decode.returns
        )

    def _as_spelled_in_training(self, actions: Sequence[str]) -> Names:
        """Return names as the run spells them, ignoring case, underscores and spaces."""
        first_spelling: dict[str, str] = {}
        names = []
        changed: dict[str, None] = {}
        for action in actions:
            name = self.vocabulary.canonical(action)
            if name not in self.vocabulary:
                name = first_spelling.setdefault(spelling_key(name), name)
            if name != action:
                changed[f"{action!r} for {name!r}"] = None
            names.append(name)
        if changed:
            logger.warning("different spelling of the same name: %s", join_names(changed))
        return tuple(dict.fromkeys(names))

    @cached_property
    def _encoder(self) -> TextEncoder:
        encoder = self.run.config.text.encoder
        check_trust(self.run, encoder, self.trust_encoder)
        return text_encoder(encoder, str(self.device))

    def _embed(self, names: Sequence[str]) -> Singles:
        """Return the text vectors of new names, (N, S, E)."""
        factors, _ = new_factors(self.run.config.data, self.vocabulary, names)
        vocabulary = self.vocabulary.extended(names, factors=factors).subset(names)
        rows = class_texts(self.run.config.text, vocabulary, self._encoder)
        assert self.model.text is not None
        trained_shape = tuple(self.model.text.shape[1:])
        if rows.shape[1:] != trained_shape:
            problem = f"text vectors {rows.shape[1:]} of a name, but training used {trained_shape}"
            raise InputError(self.run.path, problem, "use the text settings of training")
        return rows

    def _warn_of_unmatched_objects(self, vocabulary: Vocabulary, embeddings: Tensor) -> None:
        """Warn about new names whose object matches no object column of the features."""
        if self.model.objects is None:
            return
        slot = vocabulary.slots.index(OBJECT_SLOT)
        unmatched = self.model.objects.unmatched(embeddings)  # (C,)
        words = []
        for index in unmatched.nonzero().flatten().tolist():
            if vocabulary.names[index] not in self.vocabulary:
                words.append(str(vocabulary.factors[index][slot]))
        if words:
            message = "no object column matches %s, so objects give no evidence for these actions"
            logger.warning(message, join_names(dict.fromkeys(words)))


def check_actions(
    actions: Sequence[str],
    background: Collection[str] = (),
    unlabelled_names: Names = (UNLABELLED,),
) -> None:
    """Check that names contain an action, and no name that means "no action" in files.

    Args:
        actions: The names.
        background: Names of background classes.
        unlabelled_names: Label names that are ignored.

    Raises:
        InputError: There is no action, or a name is reserved or repeated.
    """
    if not set(actions) - set(background):
        problem = "no names"
        if actions:
            problem = f"only {', '.join(map(repr, actions))}, the background"
        raise InputError("actions", problem, "name at least one action")
    for name, count in Counter(actions).items():
        if count > 1:
            raise InputError("actions", f"{name!r} is listed twice", "name each action once")
    for name in (*unlabelled_names, NONE_OF_THESE):
        if name in actions:
            problem = f"{name!r} stands for frames without an action"
            raise InputError("actions", problem, "give names of actions")


def check_trust(run: Run, encoder: str, trusted: bool, alternative: str = "") -> None:
    """Check that an encoder named by a run may be loaded.

    Args:
        run: The run.
        encoder: Name of a frame or text encoder.
        trusted: Whether to trust paths that the run names.
        alternative: First part of the error's advice, which describes a different solution.

    Raises:
        InputError: The run names the encoder by a path that is not trusted.
    """
    if is_local(encoder) and not trusted:
        problem = f"the run names its encoder by a path, {encoder}"
        fix = "set trust_encoder=True if you trust these files"
        raise InputError(run.path, problem, f"{alternative}{fix}")
