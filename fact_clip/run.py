"""A run folder: weights, configuration, vocabulary, feature statistics and versions.

::

    RUN/config.yaml          the resolved configuration
    RUN/vocabulary.json      class names, background, factors
    RUN/run.json             format, versions, feature width and orientation, frame rate
    RUN/features.safetensors statistics of the training features
    RUN/model.safetensors    the weights with the best validation score
    RUN/calibration.json     with classes held out: score corrections (decoding.Calibration)
    RUN/decoding.json        where the recipe asks for it: the chosen decoding settings
    RUN/confidence.json      with validation videos: confidences (decoding.Confidence)
    RUN/ckpts/best.net       a link to the weights, where scripts/train.py made the run
    RUN/last.safetensors     last saved weights and optimiser, for --resume

Nothing in it is executed. Each file is written under another name and then renamed, so an
interrupted run leaves files that load.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from torch import Tensor, nn

from fact_clip.config import Config, Rate
from fact_clip.core import (
    FileLocation,
    InputError,
    Json,
    Location,
    Names,
    Vocabulary,
    library_errors,
)
from fact_clip.core.io import (
    check_file,
    parse_json,
    parse_value,
    read_mapping,
    read_value,
    write_value,
)
from fact_clip.core.paths import inside, whole_file
from fact_clip.core.version import __version__
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.decoding import Calibration, Confidence
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.models.heads import is_open, reads_text
from fact_clip.seen import Seen

logger = logging.getLogger(__name__)

FORMAT = 2

FILES = (
    "config.yaml",
    "vocabulary.json",
    "run.json",
    "features.safetensors",
    "model.safetensors",
    "calibration.json",
    "confidence.json",
    "decoding.json",
)
"""Files that determine the results of a run, in its folder and in the folders of members."""

RESULT_FILES = ("model.safetensors", "calibration.json", "confidence.json", "decoding.json")
"""Those of them that a further training changes."""

PATTERNS = (*FILES, *(f"members/*/{name}" for name in FILES))

_COPY = "copy the run folder again"

_Index = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_LogFrames = Annotated[float, Field(ge=0, le=50)]


_Value = Annotated[float, Field(ge=0, le=1e6)]
DecodeValues = dict[Annotated[str, Field(pattern="^[a-z_]+$")], _Value]
"""Values by key of the group ``decode``."""


@dataclass(frozen=True)
class DecodingChoice:
    """Settings of the group ``decode`` that validation videos chose, and the evidence for them.

    See docs/method.md, 'Chosen settings'.

    Attributes:
        recipe: the values of the recipe.
        settings: the values in use, of the same keys.
        videos: number of validation videos that were decoded, each by members that had not trained
            on it.
        gain: mean gain of the best values that were tried, which need not be in use, in points.
        error: standard error of the gain over the videos.
        reason: why these values are in use, in words.
    """

    recipe: DecodeValues
    settings: DecodeValues
    videos: Annotated[int, Field(ge=0)]
    gain: float
    error: float
    reason: str

    @property
    def overrides(self) -> list[str]:
        """Return the chosen settings as overrides of a configuration."""
        return [f"decode.{key}={value}" for key, value in self.settings.items()]

    def __str__(self) -> str:
        """Return the choice in words."""
        words = []
        for key, value in self.settings.items():
            change = "" if value == self.recipe[key] else f" (the recipe has {self.recipe[key]:g})"
            words.append(f"{key} {value:g}{change}")
        return f"decoding with {', '.join(words)}: {self.reason}"


@dataclass(frozen=True)
class RunFacts:
    """The content of ``run.json``, apart from versions.

    Attributes:
        classes: what the heads need of the vocabulary.
        layout: orientation of feature files.
        fps: feature rows per second, if known.
        mean_transcript_length: mean segments of the training videos.
        objects: which columns of the model's input belong to which named object.
        encoder: the frame encoder that made the features from videos, if known.
        transitions: (state, next state, times) of the segments of the training videos; a state is
            one of C classes, or C + a, background after action a.
        lengths: mean and deviation of the logarithm of the frames of a segment of each class.
        visits: of each class the share of the training videos that have it, and the share of these
            in which it comes back.
        videos_a_step: of the training, over all its processes.
        seen: the videos and classes of the training; None in a run without a record.
        teachers: what the teacher of the drafts has seen, as far as is known.
        finished: whether the training came to its end.
        n_frames: median length of a training video.
        notes: Sentences about what the plan of the training decided.
    """

    classes: Classes
    layout: Layout
    fps: Rate | None
    mean_transcript_length: Annotated[float, Field(ge=0, le=1e9)] | None
    objects: ObjectSpec | None = None
    encoder: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    transitions: tuple[tuple[_Index, _Index, Annotated[int, Field(ge=1)]], ...] = ()
    lengths: tuple[tuple[_LogFrames, _LogFrames], ...] = ()
    visits: tuple[tuple[_Share, _Share], ...] = ()
    videos_a_step: Annotated[int, Field(ge=1)] | None = None
    seen: Seen | None = None
    teachers: tuple[Seen | None, ...] = ()
    finished: bool | None = None
    n_frames: Annotated[int, Field(ge=1)] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Run(RunFacts):
    """The description of a run folder, without the weights.

    Attributes:
        path: the folder.
        config: of the training.
        vocabulary: of the training.
        transform: from raw features to the model's input.
        choice: the decoding settings that validation videos chose, if they did.
        members_read: Members of an ensemble that have been read, by number. Changed descriptions
            of the run share them.
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
            path: the folder, which `fact_clip.hub.run_folder` finds for what a user names.
            overrides: ``key=value`` settings on top of its configuration.

        Returns:
            The run.

        Raises:
            InputError: there is no run folder, or one of another format, or a file is damaged.
        """
        path = Path(path)
        facts = _read_facts(path)
        tree = read_mapping(path / "config.yaml", "a complete run folder")
        for group in Config.model_fields:
            if group not in tree:
                raise InputError(path / "config.yaml", f"no group {group}", _COPY)
        stored = parse_value(RunFacts, facts, path / "run.json", _COPY)
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
            vocabulary=read_value(Vocabulary, path / "vocabulary.json", _COPY),
            transform=FeatureTransform.read(path / "features.safetensors", _COPY),
            choice=choice,
            **vars(stored),
        )
        run.check()
        return run

    def overridden(self, overrides: Sequence[str]) -> Run:
        """Return the run as `read` describes it with these overrides, without reading it again.

        Args:
            overrides: ``key=value`` settings on top of its configuration.

        Returns:
            The run.

        Raises:
            InputError: A setting is not valid, or the files of the run do not fit it.
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
        """Raise an InputError for features of another rate than that of the training."""
        if fps is not None and self.fps not in (None, fps):
            problem = f"{fps:g} rows a second, but {self.path} was trained with {self.fps:g}"
            raise InputError(where, problem)

    def check_encoder(self, encoder: str | None, where: Location) -> None:
        """Raise an InputError for features of another encoder than that of the training."""
        if encoder is not None and self.encoder not in (None, encoder):
            problem = f"features by {encoder}, but {self.path} was trained with {self.encoder}"
            raise InputError(where, problem, "extract them with that encoder")

    def check_start(self, dataset: Dataset, where: Location) -> Seen | None:
        """Check that a training on a data set may build on this run.

        Args:
            dataset: of the training.
            where: location of an error.

        Returns:
            What the run has seen; None if it has no record, with a warning.

        Raises:
            InputError: it reads features of another rate or encoder, has seen a test video, or
                learned a hidden class.
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
                # Members may have learned what another tunes by.
                self.seen.check_unlearned(dataset.validation_unseen_names, where)
        same = seen.same_names(dataset, dataset.test)
        if same:
            message = (
                "%s: the test video %r has the name of one that %s has seen, and other features"
            )
            logger.warning(message, where, same[0], self.path)
        return seen

    def check(self) -> None:
        """Raise an InputError if the files of the folder do not belong together."""
        data = self.config.data
        transform = self.transform
        has_context = tuple(transform.context) == tuple(data.context)
        if not has_context or (transform.mean is not None) != data.standardize:
            problem = "other data.context or data.standardize than config.yaml says"
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
                problem = f"column {last} of an object, but the model's input has {transform.width}"
                raise self._damaged("run.json", problem)
        for first, second, _ in self.transitions:
            if max(first, second) >= 2 * n_classes:
                problem = "a transition of a class that the vocabulary lacks"
                raise self._damaged("run.json", problem)

    def _damaged(self, name: str, problem: str) -> InputError:
        return InputError(self.path / name, problem, _COPY)

    @classmethod
    def open(cls, path: str | Path, overrides: Sequence[str] = ()) -> LoadedRun:
        """Read a run, and load its models; see `read` and `load`."""
        return cls.read(path, overrides).load()

    def load(self) -> LoadedRun:
        """Load the models, in evaluation mode, with the calibration and the confidences."""
        if self.is_unfinished():
            logger.warning("the training of %s has not come to its end", self.path)
        calibration = Calibration.read(self.path / "calibration.json", self.vocabulary)
        if calibration is None and self.is_zero_shot:
            message = "no calibration.json in %s, so gamma is 0 and no prior is subtracted"
            logger.warning(message, self.path)
        confidence = None
        confidence_path = self.path / "confidence.json"
        if os.path.lexists(confidence_path):
            confidence = read_value(Confidence, confidence_path, "train the run again")
        return LoadedRun(self, self.models(), calibration, confidence, self.seen_by_all())

    @property
    def is_zero_shot(self) -> bool:
        """Return whether the model reads names, and was trained with classes held out."""
        return self.config.data.has_untrained_classes and is_open(self.config.model.head)

    def write(self) -> None:
        """Write everything but the weights."""
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
        """Return a model of this run's sizes with random weights.

        Args:
            text: text vectors of the classes, for a head that reads text.
            object_text: text vectors of the objects.
            space: see `FACT`.

        Raises:
            InputError: sizes do not fit together.
        """
        n_classes = self.classes.count
        if text is not None and len(text) != n_classes:
            problem = f"text vectors of {len(text)} classes, but the vocabulary has {n_classes}"
            fix = "take the mapping that the weights were trained with"
            raise InputError("text_embeddings", problem, fix)
        # torch's attention asserts that the number of heads divides its width.
        with library_errors("model", "sizes that do not fit together", ValueError, AssertionError):
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
        """Load the (first) model in evaluation mode, strictly."""
        path = self.path / "model.safetensors"
        weights, facts = read_weights(path)
        check_classes(self, facts.get("classes"), path)
        if reads_text(self.config.model.head) and "text_embeddings" not in weights:
            problem = f"no vectors of class names, which head {self.config.model.head!r} needs"
            raise self._damaged(path.name, problem)
        try:
            model = self.new_model(
                text=weights.get("text_embeddings"),
                object_text=weights.get("objects.names"),
                space=weights.get("similarity.space"),
            )
        except InputError as error:
            location = FileLocation(self.path / "config.yaml", part=str(error.where))
            raise InputError(location, error.problem, error.fix or _COPY) from None
        load_strictly(model, weights, path)
        return model.eval()

    def members(self) -> list[Run]:
        """Return the members of an ensemble: the run itself, then the members in its folder.

        The folder of a member is read when the member is first needed.
        """
        n_members = self.config.train.members
        members = [self]
        for number, folder in enumerate(member_folders(self.path, n_members), start=2):
            if number not in self.members_read:
                if not folder.is_dir():
                    problem = f"no such folder; the run has {n_members} models"
                    raise InputError(folder, problem, _COPY)
                member = Run.read(folder)
                _check_member(self, member)
                self.members_read[number] = member
            members.append(self.members_read[number])
        return members

    def models(self) -> list[FACT]:
        """Load the models of the run: one, or as many as ``train.members`` says."""
        return [member.model() for member in self.members()]

    def is_unfinished(self) -> bool:
        """Return whether the training of a model has not come to its end, as far as is known."""
        return any(
            member.finished is False or member.config.train.epochs != self.config.train.epochs
            for member in self.members()
        )

    def seen_by_all(self) -> Seen | None:
        """Return what the run, its teacher and its members have seen; None without a record."""
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
        """Hash the files that determine the results of the run, those of its members included."""
        digest = hashlib.blake2b(digest_size=16)
        folders = [self.path, *member_folders(self.path, self.config.train.members)]
        for path in (folder / name for folder in folders for name in RESULT_FILES):
            content = path.read_bytes() if path.is_file() else b""
            digest.update(hashlib.blake2b(content).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class LoadedRun:
    """A run with everything that segmenting needs.

    Attributes:
        run: the description.
        models: one, or the members of an ensemble.
        calibration: of a run that was trained with classes held out.
        confidence: of a run with validation videos.
        seen: what all models have seen; None: the record of the run.
    """

    run: Run
    models: Sequence[FACT]
    calibration: Calibration | None = None
    confidence: Confidence | None = None
    seen: Seen | None = None

    def trained_classes(self) -> Names:
        """Return background and the classes that were trained, as far as the run records them."""
        vocabulary = self.run.vocabulary
        record = self.seen or self.run.seen
        trained = vocabulary.names
        if record is not None:
            trained = (*record.classes, *record.named)
        trained = (*trained, *vocabulary.background)
        return tuple(name for name in vocabulary if name in trained)


def _check_choose(config: Config, recorded: Config) -> None:
    """Raise an InputError for an override that makes a trained run choose its decoding."""
    if config.decode.choose and not recorded.decode.choose:
        raise InputError("decode.choose", "training chooses settings", "train a run with it")


def member_folders(path: Path, members: int) -> list[Path]:
    """Return the run folders of an ensemble's members after the first, which is the run itself."""
    return [path / "members" / str(number) for number in range(2, members + 1)]


def _read_facts(folder: Path) -> Json:
    """Read run.json; raise an InputError if there is none, or one of another format."""
    path = folder / "run.json"
    if not path.is_file():
        fix = "name a folder made by 'fact-clip train' or 'fact-clip convert'"
        raise InputError(folder, "no run.json", fix)
    facts = read_mapping(path, "a complete run folder")
    version = facts.get("format")
    if type(version) is not int or version != FORMAT:  # True and 2.0 are equal to numbers, too
        fix = f"use the fact-clip version that wrote it ({facts.get('fact_clip', 'unknown')})"
        raise InputError(path, f"format {version!r}, but this version reads {FORMAT}", fix)
    return facts


def classes_of(vocabulary: Vocabulary, head: str) -> Classes:
    """Return what a head needs of a vocabulary; a verb-noun head takes its first two slots.

    Args:
        vocabulary: the classes.
        head: name of the head.

    Raises:
        InputError: a verb-noun head, and fewer than two slots.
    """
    if head != "verb-noun":
        return Classes(len(vocabulary))
    if len(vocabulary.slots) < 2:
        raise InputError("model.head", "verb-noun needs a vocabulary with the slots verb and noun")
    numbers = []
    counts = []
    for slot in vocabulary.slots[:2]:
        factors, indices = vocabulary.factor_indices(slot)
        # Classes without a factor (the background) share one of their own.
        count = len(factors) + int((indices < 0).any())
        numbers.append(tuple((indices % count).tolist()))
        counts.append(count)
    _, first = np.unique(numbers, axis=1, return_index=True)  # class of each verb and noun
    doubled = [repr(name) for label, name in enumerate(vocabulary) if label not in first]
    if doubled:
        message = "never predicted by verb-noun, as earlier classes have their verb and noun: "
        warnings.warn(message + ", ".join(doubled), stacklevel=2)
    return Classes(len(vocabulary), numbers[0], numbers[1], counts[0], counts[1])


def check_classes(run: Run, names: object, path: Location, fix: str = _COPY) -> None:
    """Check that data or weights have the classes of a run, in the same order.

    Args:
        run: the run.
        names: class names, as they were stored.
        path: location of an error.
        fix: what to do about it.

    Raises:
        InputError: the classes differ.
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


def remove_unfinished(path: Path) -> None:
    """Remove temporary files of a training that was killed, from its folder, which is locked."""
    patterns = [
        ".tmp*",  # of safetensors
        "members/.[0-9]*-*.yaml",
        *(f".[0-9]*-{name}" for name in (*FILES, "log.*", "*.safetensors")),
    ]
    for pattern in patterns:
        for file in list(path.glob(pattern)):
            file.unlink()


def _shared_facts(run: Run) -> Json:
    """Return what all members of an ensemble have in common, by a word for each part."""
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
    """Raise an InputError if a member reads other features, or names other classes by them."""
    facts = _shared_facts(run)
    for part, value in _shared_facts(member).items():
        if value != facts[part]:
            problem = f"this member has other {part} than {run.path}"
            raise InputError(member.path, problem, _COPY)


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and some JSON facts to one file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing_tensors(path) as unfinished:
        save_tensors(plain, unfinished, {"facts": json.dumps(dict(facts))})


@contextmanager
def writing_tensors(path: Path) -> Iterator[Path]:
    """Write as `whole_file`, for safetensors, whose error on a full disk is not an OSError."""
    with whole_file(path) as unfinished, library_errors(path, "cannot be written", SafetensorError):
        yield unfinished


def read_weights(path: Path) -> tuple[dict[str, Tensor], Json]:
    """Read tensors and facts of a file of `save_weights`.

    Raises:
        InputError: the file cannot be read.
    """
    check_file(path, "weights as they were saved")
    kinds = SafetensorError, OSError, RuntimeError, TypeError, KeyError
    with (
        library_errors(path, "not a readable safetensors file", *kinds),
        safe_open(path, framework="pt") as file,
    ):
        metadata = file.metadata() or {}
        weights = {key: file.get_tensor(key) for key in list(file.keys())}
    # The best score is minus infinity before the first validation.
    facts = parse_json(metadata.get("facts", "{}"), path, "facts about the weights", finite=False)
    if not isinstance(facts, dict):
        problem = f"the facts about the weights are a {type(facts).__name__}, not an object"
        raise InputError(path, problem)
    return weights, facts


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load weights into a model.

    Args:
        model: the model.
        weights: by name of the parameter.
        path: location of an error.

    Raises:
        InputError: names the first missing, unexpected or wrongly shaped parameter.
    """
    expected = model.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    extra = sorted(weights.keys() - expected.keys())
    if missing or extra:
        first = [*missing, *extra][0]
        problem = (
            f"{len(missing)} parameters are missing and {len(extra)} unexpected (first: {first})"
        )
        raise InputError(path, problem, "check that the configuration is that of the weights")
    for name, value in expected.items():
        loaded = weights[name]
        if loaded.shape != value.shape:
            problem = (
                f"{name} has shape {tuple(loaded.shape)}, but the model has {tuple(value.shape)}"
            )
            raise InputError(path, problem, "check sizes and class count")
        if loaded.is_floating_point() != value.is_floating_point() or loaded.is_meta:
            problem = f"{name} holds {loaded.dtype} of {loaded.device}, not {value.dtype}"
            raise InputError(path, problem, "save the weights again")
        if value.is_floating_point() and not loaded.isfinite().all():
            raise InputError(path, f"{name} has a NaN or an infinity", "train the model again")
    model.load_state_dict(dict(weights))


def commit() -> str | None:
    """Return the git commit of the checkout, with "+" if files differ, or None without git."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def evaluation_stem(split: str, has_actions: bool = False, is_changed: bool = False) -> str:
    """Return the name, without suffix, of the files that an evaluation writes into a run.

    Args:
        split: of the videos.
        has_actions: whether candidates were given.
        is_changed: whether settings or data are other ones, so that the figures do not belong to
            the run.
    """
    stem = "evaluation"
    if split != "test":
        stem += f"_{split}"
    if has_actions:
        stem += "_actions"
    if is_changed:
        stem += "_changed"
    return stem
