"""A run folder: weights, configuration, vocabulary, feature statistics and versions.

::

    RUN/config.yaml          resolved configuration
    RUN/vocabulary.json      class names, background classes, factors
    RUN/run.json             format, versions, feature width and orientation, frame rate
    RUN/features.safetensors statistics of the training features
    RUN/model.safetensors    weights with the best validation score
    RUN/calibration.json     score corrections (decoding.Calibration), if classes were held out
    RUN/decoding.json        chosen decoding settings, if the recipe requests a choice
    RUN/confidence.json      confidences (decoding.Confidence), if there are validation videos
    RUN/ckpts/best.net       link to the weights, if scripts/train.py made the run
    RUN/last.safetensors     most recently saved weights and optimiser, for --resume

No content of these files is executed. Each file is written under a temporary name and then renamed,
so the files of an interrupted run can still be loaded.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors.numpy import save_file as save_arrays
from torch import Tensor

from fact_clip.config import Config
from fact_clip.core import (
    FileLocation,
    InputError,
    Json,
    Location,
    Names,
    Vocabulary,
    library_errors,
)
from fact_clip.core.io import parse_value, read_mapping, read_value, write_value
from fact_clip.core.paths import inside, whole_file
from fact_clip.core.version import __version__
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.decoding import Calibration, Confidence
from fact_clip.models import FACT
from fact_clip.models.heads import is_open, reads_text
from fact_clip.runs.facts import FORMAT, DecodeValues, DecodingChoice, RunFacts, read_facts
from fact_clip.runs.files import COPY_AGAIN, RESULT_FILES, commit, member_folders
from fact_clip.runs.seen import Seen
from fact_clip.runs.weights import load_strictly, read_weights, writing_tensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run(RunFacts):
    """The description of a run folder, without the weights.

    Attributes:
        path: Run folder.
        config: Configuration of the training run.
        vocabulary: Class names of the training run.
        transform: Transform from raw features to the input of the model.
        choice: Decoding settings that were chosen on validation videos, or None.
        members_read: Members of an ensemble that have been read, by number. Copies of this
            description with different settings share them.
    """

    path: Path
    config: Config
    vocabulary: Vocabulary
    transform: FeatureTransform
    choice: DecodingChoice | None = None
    members_read: dict[int, Run] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> Run:
        """Read the description of a run folder.

        Args:
            path: Run folder. For the text that a user types, `runs.hub.run_folder` finds it.
            overrides: Settings ``key=value`` that replace values of its configuration.

        Returns:
            The run.

        Raises:
            InputError: There is no run folder, its format differs, or a file is damaged.
        """
        path = Path(path)
        facts = read_facts(path)
        tree = read_mapping(path / "config.yaml", "a complete run folder")
        for group in Config.model_fields:
            if group not in tree:
                raise InputError(path / "config.yaml", f"no group {group}", COPY_AGAIN)
        stored = parse_value(RunFacts, facts, path / "run.json", COPY_AGAIN)
        recorded = Config.from_tree(tree, str(path / "config.yaml"))
        config = recorded.overridden(overrides)
        _check_choose(config, recorded)
        choice = None
        choice_path = path / "decoding.json"
        if config.decode.choose and os.path.lexists(choice_path):
            choice = read_value(DecodingChoice, choice_path, "train the run again")
            config = recorded.overridden([*choice.overrides, *overrides])
        run = cls(
            path=path,
            config=config,
            vocabulary=read_value(Vocabulary, path / "vocabulary.json", COPY_AGAIN),
            transform=FeatureTransform.read(path / "features.safetensors", COPY_AGAIN),
            choice=choice,
            **vars(stored),
        )
        run.check()
        return run

    def overridden(self, overrides: Sequence[str]) -> Run:
        """Return the run that `read` returns for these overrides, without reading it again.

        Args:
            overrides: Settings ``key=value`` that replace values of its configuration.

        Returns:
            The run.

        Raises:
            InputError: A setting is not valid, or does not match the files of the run.
        """
        recorded = self.without_choice().config
        config = recorded.overridden(overrides)
        _check_choose(config, recorded)
        choice = None
        if config.decode.choose and self.choice is not None:
            choice = self.choice
            config = recorded.overridden([*choice.overrides, *overrides])
        run = replace(self, config=config, choice=choice)
        run.check()
        return run

    def with_choice(self, choice: DecodingChoice) -> Run:
        """Return the run with chosen decoding settings."""
        return replace(self._decoding_by(choice.settings), choice=choice)

    def without_choice(self) -> Run:
        """Return the run with the decoding settings of its recipe."""
        if self.choice is None:
            return self
        return replace(self._decoding_by(self.choice.recipe), choice=None)

    def _decoding_by(self, values: DecodeValues) -> Run:
        decode = self.config.decode.model_copy(update=values)
        return replace(self, config=self.config.model_copy(update={"decode": decode}))

    def check_rate(self, fps: float | None, where: Location) -> None:
        """Raise an InputError if features have a different rate than the training features."""
        if fps is not None and self.fps not in (None, fps):
            problem = f"{fps:g} rows per second, but {self.path} was trained with {self.fps:g}"
            raise InputError(where, problem)

    def check_encoder(self, encoder: str | None, where: Location) -> None:
        """Raise an InputError if features have a different encoder than the training features."""
        if encoder is not None and self.encoder not in (None, encoder):
            problem = (
                f"features of the encoder {encoder}, but {self.path} was trained with "
                f"{self.encoder}"
            )
            raise InputError(where, problem, "extract features with the encoder of the run")

    def check_start(self, dataset: Dataset, where: Location) -> Seen | None:
        """Check that training on a data set may start from this run.

        Args:
            dataset: Data set of the new training run.
            where: Location of an error.

        Returns:
            What this run has seen. If the run has no record, the result is None and a warning is
            logged.

        Raises:
            InputError: The rate or the encoder of the features differs, or this run has seen a test
                video or learned a hidden class.
        """
        self.check_rate(dataset.fps, where)
        self.check_encoder(dataset.encoder, where)
        seen = self.seen_by_all()
        if seen is None:
            logger.warning("%s: %s does not record what it has seen", where, self.path)
            return None
        seen.check_videos(dataset, dataset.test, where)
        if dataset.hidden:
            seen.check_unseen_classes(dataset, where)
            if self.seen is not None:
                # A member may have learned classes by which a different member is tuned.
                self.seen.check_unlearned(dataset.validation_unseen_names, where)
        same = seen.same_names(dataset, dataset.test)
        if same:
            message = (
                "%s: the test video %r has the same name as a video that %s has seen, but its "
                "features differ"
            )
            logger.warning(message, where, same[0], self.path)
        return seen

    def check(self) -> None:
        """Raise an InputError if the files of the folder do not match each other."""
        data = self.config.data
        transform = self.transform
        has_context = tuple(transform.context) == tuple(data.context)
        if not has_context or (transform.mean is not None) != data.standardize:
            problem = "data.context or data.standardize differs from config.yaml"
            raise self._damaged("features.safetensors", problem)
        n_classes = len(self.vocabulary)
        if len(self.vocabulary.background) == n_classes:
            raise self._damaged("vocabulary.json", "all classes are background")
        if n_classes != self.classes.count:
            problem = f"{n_classes} classes, but {self.classes.count} in run.json"
            raise self._damaged("vocabulary.json", problem)
        for key in ("lengths", "visits"):
            n_facts = len(getattr(self, key))
            if n_facts not in (0, n_classes):
                problem = f"{key} of {n_facts} classes, but there are {n_classes}"
                raise self._damaged("run.json", problem)
        if self.objects is not None:
            last = max(map(max, self.objects.columns))
            if last >= transform.width:
                width = transform.width
                problem = f"column {last} of an object, but the model's input has {width} columns"
                raise self._damaged("run.json", problem)
        for first, second, _ in self.transitions:
            if max(first, second) >= 2 * n_classes:
                problem = "a transition of a class that is not in the vocabulary"
                raise self._damaged("run.json", problem)

    def _damaged(self, name: str, problem: str) -> InputError:
        return InputError(self.path / name, problem, COPY_AGAIN)

    @classmethod
    def open(cls, path: str | Path, overrides: Sequence[str] = ()) -> LoadedRun:
        """Read a run and load its models. See `read` and `load`."""
        return cls.read(path, overrides).load()

    def load(self) -> LoadedRun:
        """Load the models in evaluation mode, the calibration and the confidences."""
        if self.is_unfinished():
            logger.warning("the training of %s is not finished", self.path)
        calibration = Calibration.read(self.path / "calibration.json", self.vocabulary)
        if calibration is None and self.is_zero_shot:
            message = "%s has no calibration.json, so gamma is 0 and no prior is subtracted"
            logger.warning(message, self.path)
        confidence = None
        confidence_path = self.path / "confidence.json"
        if os.path.lexists(confidence_path):
            confidence = read_value(Confidence, confidence_path, "train the run again")
        return LoadedRun(self, self.models(), calibration, confidence, self.seen_by_all())

    @property
    def is_zero_shot(self) -> bool:
        """Return whether the model reads names and was trained with classes held out."""
        return self.config.data.has_untrained_classes and is_open(self.config.model.head)

    def write(self) -> None:
        """Write all files except the weights."""
        self.path.mkdir(parents=True, exist_ok=True)
        with whole_file(inside(self.path, "config.yaml")) as path:
            path.write_text(self.config.to_yaml(), encoding="utf-8")
        write_value(inside(self.path, "vocabulary.json"), self.vocabulary)
        with writing_tensors(inside(self.path, "features.safetensors")) as path:
            save_arrays(self.transform.to_arrays(), path)
        facts = {
            "format": FORMAT,
            "fact_clip": __version__,
            "torch": torch.__version__,
            "commit": commit(),
        }
        facts |= TypeAdapter(RunFacts).dump_python(self, mode="json")
        if self.seen is None:
            del facts["seen"]
        write_value(inside(self.path, "run.json"), facts)

    def new_model(
        self,
        text: Tensor | None = None,
        object_text: Tensor | None = None,
        space: Tensor | None = None,
    ) -> FACT:
        """Return a model with the sizes of this run and random weights.

        Args:
            text: Text vectors of the classes, for a head that reads text.
            object_text: Text vectors of the objects.
            space: Space of the similarity head; see `FACT`.

        Raises:
            InputError: The sizes do not match each other.
        """
        n_classes = self.classes.count
        if text is not None and len(text) != n_classes:
            problem = f"text vectors of {len(text)} classes, but the vocabulary has {n_classes}"
            fix = "use the mapping that the weights were trained with"
            raise InputError("text_embeddings", problem, fix)
        # torch's attention asserts that its width is a multiple of the number of heads.
        with library_errors("model", "sizes do not match each other", ValueError, AssertionError):
            return FACT(
                self.config.model,
                self.transform.width,
                self.classes,
                text=text,
                objects=self.objects,
                object_text=object_text,
                frame_weight=self.config.decode.frame_weight,
                space=space,
            )

    def model(self) -> FACT:
        """Load the first model in evaluation mode. All of its parameters must be in the file."""
        path = self.path / "model.safetensors"
        weights, facts = read_weights(path)
        check_classes(self, facts.get("classes"), path)
        if reads_text(self.config.model.head) and "text_embeddings" not in weights:
            problem = f"no text vectors of the classes, which head {self.config.model.head!r} needs"
            raise self._damaged(path.name, problem)
        try:
            model = self.new_model(
                text=weights.get("text_embeddings"),
                object_text=weights.get("objects.names"),
                space=weights.get("similarity.space"),
            )
        except InputError as error:
            location = FileLocation(self.path / "config.yaml", part=str(error.where))
            raise InputError(location, error.problem, error.fix or COPY_AGAIN) from None
        load_strictly(model, weights, path)
        return model.eval()

    def members(self) -> list[Run]:
        """Return the members of an ensemble: the run itself, followed by the members in its folder.

        The folder of a member is read at the first call.
        """
        n_members = self.config.train.members
        members = [self]
        for number, folder in enumerate(member_folders(self.path, n_members), start=2):
            if number not in self.members_read:
                if not folder.is_dir():
                    problem = f"no such folder; the run has {n_members} models"
                    raise InputError(folder, problem, COPY_AGAIN)
                member = Run.read(folder)
                _check_member(self, member)
                self.members_read[number] = member
            members.append(self.members_read[number])
        return members

    def models(self) -> list[FACT]:
        """Load the models of the run, whose number is ``train.members``."""
        return [member.model() for member in self.members()]

    def is_unfinished(self) -> bool:
        """Return whether the run is known to contain a model whose training is not finished."""
        return any(
            member.finished is False or member.config.train.epochs != self.config.train.epochs
            for member in self.members()
        )

    def seen_by_all(self) -> Seen | None:
        """Return what the run, its teacher and its members have seen, or None without a record."""
        if self.seen is None:
            return None
        return self.seen.joined(*self.teachers, *(member.seen for member in self.members()[1:]))

    @property
    def validation_videos(self) -> Names | None:
        """Return the names of the validation videos, or None if they are not recorded."""
        if self.config.data.validation_videos is not None:
            return self.config.data.validation_videos
        if self.seen is None:
            return None
        videos = self.seen.videos[: self.seen.n_own or len(self.seen.videos)]
        return tuple(video.name for video in videos if video.role == "validated")

    def digest(self) -> str:
        """Hash the files that determine the results of the run, including its members."""
        digest = hashlib.blake2b(digest_size=16)
        folders = [self.path, *member_folders(self.path, self.config.train.members)]
        for path in (folder / name for folder in folders for name in RESULT_FILES):
            content = path.read_bytes() if path.is_file() else b""
            digest.update(hashlib.blake2b(content).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class LoadedRun:
    """A run with its models and all other values that are needed to segment videos.

    Attributes:
        run: Description of the run.
        models: The model, or the members of an ensemble.
        calibration: Score corrections, if the run was trained with classes held out.
        confidence: Confidences, if the run has validation videos.
        seen: Record of what all models have seen, or None to use the record of the run.
    """

    run: Run
    models: Sequence[FACT]
    calibration: Calibration | None = None
    confidence: Confidence | None = None
    seen: Seen | None = None

    def trained_classes(self) -> Names:
        """Return the background and the classes that were trained.

        If the run has no record, these are all classes.
        """
        vocabulary = self.run.vocabulary
        record = self.seen or self.run.seen
        trained = vocabulary.names
        if record is not None:
            trained = (*record.classes, *record.named)
        trained = (*trained, *vocabulary.background)
        return tuple(name for name in vocabulary if name in trained)


def _check_choose(config: Config, recorded: Config) -> None:
    """Raise an InputError if an override requests a choice of decoding from a trained run."""
    if config.decode.choose and not recorded.decode.choose:
        problem = "settings are chosen during training"
        raise InputError("decode.choose", problem, "train a run with this setting")


def check_classes(run: Run, names: object, path: Location, fix: str = COPY_AGAIN) -> None:
    """Check that data or weights have the classes of a run in the same order.

    Args:
        run: Run.
        names: Stored class names.
        path: Location of an error.
        fix: Advice on the error.

    Raises:
        InputError: The classes differ.
    """
    if not isinstance(names, list | tuple):
        raise InputError(path, "no class names", fix)
    if tuple(names) == run.vocabulary.names:
        return
    n_classes = len(run.vocabulary)
    problem = f"{len(names)} classes, not the {n_classes} of {run.path}"
    for name, run_name in zip(names, run.vocabulary.names, strict=False):
        if name != run_name:
            problem += f" (first difference: {name!r}, not {run_name!r})"
            break
    raise InputError(path, problem, fix)


def _shared_facts(run: Run) -> Json:
    """Return the parts that all members of an ensemble have in common, with a name for each."""
    data = run.config.data
    arrays = run.transform.to_arrays()
    return {
        "classes": (run.vocabulary, run.classes),
        "model": (run.config.model, run.objects),
        "data or text settings": (
            data.stride,
            data.interleave,
            run.config.text,
            run.encoder,
            run.fps,
        ),
        "features": {key: array.tolist() for key, array in arrays.items()},
    }


def _check_member(run: Run, member: Run) -> None:
    """Raise an InputError if a member does not have the same features and classes as the run."""
    facts = _shared_facts(run)
    for part, value in _shared_facts(member).items():
        if value != facts[part]:
            problem = f"the {part} of this member differ from {run.path}"
            raise InputError(member.path, problem, COPY_AGAIN)
