"""From names to the candidates that a trained model scores, with the calibration of its run."""

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

_MAX_SETS = 64  # lists of names that are cached


class CandidateReader:
    """Turns lists of names into candidates. Lists and the embeddings of new names are cached.

    Args:
        loaded: the run with its models.
        device: where new names are embedded.
        trust_encoder: load a text encoder that the run names by a path.
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
        """Return the candidates for names, or for the classes of the run with None.

        Raises:
            InputError: a name is not valid, or not a class of a run that knows its classes alone.
        """
        return self._read(None if actions is None else names_of(actions, "actions", typed=True))

    def with_run_classes(self, candidates: CandidateSet) -> CandidateSet:
        """Return the candidates beside all classes of the run."""
        if candidates.scoring.text_embeddings is None:
            return self.read()
        names = candidates.vocabulary.names
        if set(self.vocabulary) <= set(names):
            return candidates
        return self._open_set(tuple(dict.fromkeys([*self.vocabulary, *names])))[0]

    def load(self) -> None:
        """Load what embeds and compares names, where the head reads text."""
        if is_open(self.run.config.model.head):
            with suppress(InputError):  # stored vectors have none for new names
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
            if not set(alike) <= set(self.vocabulary):  # the training has reported its own
                message = "the model reads these names as (nearly) one, so either may be found: %s"
                logger.warning(message, join_names(map(repr, alike)))
        self._warn_of_unmatched_objects(candidates.vocabulary, embeddings)
        trained = self.vocabulary.subset(self._loaded.trained_classes())
        words = new_words(candidates.vocabulary, trained, phrases, str(self.device))
        if words:
            descriptions = join_names(dict.fromkeys(describe_new_word(word) for word in words))
            message = "no trained class has these words, so what they find is a guess: %s"
            logger.warning(message, descriptions)
        return replace(candidates, new_words=words)

    def _closed_set(self, names: Sequence[str]) -> CandidateSet:
        """Return all classes of the run, of which some and the background are allowed."""
        indices = self.vocabulary.encode(names)
        allowed = np.zeros(len(self.vocabulary), bool)
        allowed[[*indices, *self.vocabulary.background_indices]] = True
        candidates = self._candidate_set(self.vocabulary, text_embeddings=None)
        return replace(candidates.uncorrected(), allowed=allowed)

    def _open_set(self, actions: Sequence[str]) -> tuple[CandidateSet, Sequence[str]]:
        """Return names and the background for a head that reads text, and the unparsed names."""
        vocabulary = self.vocabulary
        embeddings = self.model.text
        assert embeddings is not None
        phrases: Sequence[str] = ()
        names = dict.fromkeys([*actions, *vocabulary.background])
        new_names = [name for name in names if name not in vocabulary]
        if new_names:
            factors, phrases = new_factors(self.run.config.data, vocabulary, new_names)
            vocabulary = vocabulary.extended(new_names, factors=factors)
            # Trained names keep the vectors that they were trained with.
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
        """Return the costs of changes of candidates.

        Args:
            vocabulary: the C candidates.
            weight: of the order. Default: that of the run.

        Returns:
            The costs, or None if the weight is 0. They remember the last action through background
            if the run has counted so.
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
        """Return the lengths of segments of candidates, or None if they are not used."""
        config = self.run.config
        if not config.decode.durations:
            return None
        if not self.run.lengths:
            message = "decode.durations has no effect, as no length of a segment is known"
            warnings.warn(message, stacklevel=2)
            return None
        facts = self._facts(self.run.lengths, vocabulary)
        stride = frames_per_row(config.data.stride, config.data.interleave)
        return Durations.of_classes(facts, self.run.lengths, stride, config.decode.durations)

    def _facts(
        self, facts: Sequence[tuple[float, float]], vocabulary: Vocabulary
    ) -> list[tuple[float, float] | None]:
        """Return the facts about candidates of those about the classes of the run."""
        facts_of = dict(zip(self.vocabulary.names, facts, strict=True))
        return [facts_of.get(name) for name in vocabulary]

    def _visit_rules(self, vocabulary: Vocabulary) -> VisitRules | None:
        """Return the rules about whole videos for candidates, or None if they are not used."""
        decode = self.run.config.decode
        if not decode.always and not decode.returns:
            return None
        if not self.run.visits:
            problem = "the run has no record of it"
            raise InputError("decode.always", problem, "train it again, or leave it out")
        visits = self._facts(self.run.visits, vocabulary)
        is_background = np.isin(range(len(vocabulary)), vocabulary.background_indices)
        return VisitRules.learned(
            visits, is_background, use_always=decode.always, use_once=decode.returns
        )

    def _as_spelled_in_training(self, actions: Sequence[str]) -> Names:
        """Return the names as the run spells them, up to case, underscores and blanks."""
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
            logger.warning("another spelling of the same name: %s", join_names(changed))
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
            problem = (
                f"text vectors {rows.shape[1:]} of a name, but the training had {trained_shape}"
            )
            raise InputError(self.run.path, problem, "use the text settings of the training")
        return rows

    def _warn_of_unmatched_objects(self, vocabulary: Vocabulary, embeddings: Tensor) -> None:
        """Warn of new names whose object matches no object column of the features."""
        if self.model.objects is None:
            return
        slot = vocabulary.slots.index(OBJECT_SLOT)
        unmatched = self.model.objects.unmatched(embeddings)  # (C,)
        words = []
        for index in unmatched.nonzero().flatten().tolist():
            if vocabulary.names[index] not in self.vocabulary:
                words.append(str(vocabulary.factors[index][slot]))
        if words:
            message = (
                "no object column matches %s; these actions are named without evidence of objects"
            )
            logger.warning(message, join_names(dict.fromkeys(words)))


def check_actions(
    actions: Sequence[str],
    background: Collection[str] = (),
    unlabelled_names: Names = (UNLABELLED,),
) -> None:
    """Check that names contain an action, and none that stands for no action in files.

    Args:
        actions: the names.
        background: names that are no actions.
        unlabelled_names: label names that are ignored.

    Raises:
        InputError: there is no action, or a reserved name, or one name twice.
    """
    if not set(actions) - set(background):
        problem = "no names"
        if actions:
            problem = f"only {', '.join(map(repr, actions))}, the background"
        raise InputError("actions", problem, "name at least one action")
    for name, count in Counter(actions).items():
        if count > 1:
            raise InputError("actions", f"{name!r} twice", "name each action once")
    for name in (*unlabelled_names, NONE_OF_THESE):
        if name in actions:
            problem = f"{name!r} stands for frames without an action"
            raise InputError("actions", problem, "give names of actions")


def check_trust(run: Run, encoder: str, trusted: bool, alternative: str = "") -> None:
    """Check that an encoder which a run names may be loaded.

    Args:
        run: the run.
        encoder: name of a frame or text encoder.
        trusted: whether paths that the run names are trusted.
        alternative: start of the error's advice, another way to go on.

    Raises:
        InputError: the run names it by a path that is not trusted.
    """
    if is_local(encoder) and not trusted:
        problem = f"the run names its encoder by a path, {encoder}"
        fix = "set trust_encoder=True if you trust these files"
        raise InputError(run.path, problem, f"{alternative}{fix}")
