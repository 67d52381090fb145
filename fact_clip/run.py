"""A run folder: weights, configuration, vocabulary, feature statistics and versions; nothing in it is executed.

::

    RUN/config.yaml          the resolved configuration
    RUN/vocabulary.json      class names, background, factors
    RUN/run.json             format, versions, feature width and orientation, frame rate
    RUN/features.safetensors statistics of the training features
    RUN/model.safetensors    the weights chosen on validation
    RUN/calibration.json     with classes held out: what is taken off scores (decoding.Calibration)
    RUN/confidence.json      with validation videos: what scores are worth (decoding.Confidence)
    RUN/ckpts/best.net       the same, where scripts/train.py made the run: a link to it
    RUN/last.safetensors     weights and optimiser as they were last saved, for --resume

Each file is written under another name and then renamed, so a killed run leaves files that load.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from torch import Tensor, nn

from fact_clip import __version__, hub
from fact_clip.config import Config, Rate, set_key
from fact_clip.core import ConfigKey, FileLocation, InputError, Location, Vocabulary, library_errors
from fact_clip.core.arguments import validated
from fact_clip.core.io import (
    check_file,
    parse_json,
    parse_value,
    read_mapping,
    read_value,
    write_value,
)
from fact_clip.core.paths import inside, whole_file
from fact_clip.core.plugins import Table
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import FeatureTransform
from fact_clip.decoding import Calibration, Confidence
from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.models.heads import HEADS, KEY_WIDTH

logger = logging.getLogger(__name__)

FORMAT = 2
FILES = (
    "config.yaml", "vocabulary.json", "run.json", "features.safetensors", "model.safetensors", "calibration.json",
    "confidence.json",
)  # fmt: skip
"""What decides the results of a run, as far as it is there, in its folder and in those of the other members."""

_PATTERNS = (*FILES, *(f"members/*/{name}" for name in FILES))
_COPY = "copy the run folder again"
_Index = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class RunFacts:
    """What ``run.json`` says, beside versions."""

    classes: Classes  # what the heads know of the vocabulary
    layout: Layout  # orientation of feature files
    fps: Rate | None  # feature rows per second, if known
    mean_transcript_length: (
        Annotated[float, Field(ge=0, le=1e9)] | None
    )  # mean segments of the training videos
    objects: ObjectSpec | None = (
        None  # which columns of the model's input belong to which named object
    )
    # the frame encoder that made the features from videos, if known
    encoder: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    # (class, next class, times) of the segments of the training videos
    transitions: tuple[tuple[_Index, _Index, Annotated[int, Field(ge=1)]], ...] = ()
    videos_a_step: Annotated[int, Field(ge=1)] | None = (
        None  # of the training, over all its processes
    )
    videos: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = (
        None  # `Dataset.digest` of the training
    )
    products: dict[str, str] | None = (
        None  # what multiplied matrices in the training, on the CPU (`kernels.products`)
    )
    packages: dict[str, str] | None = (
        None  # "GROUP:NAME" of each plug-in that the run uses, and its package
    )
    n_frames: Annotated[int, Field(ge=1)] | None = None  # of a training video, their median


@dataclass(frozen=True, kw_only=True)
class Run(RunFacts):
    """What a run folder says about its model, apart from the weights."""

    path: Path
    config: Config
    vocabulary: Vocabulary  # that of the training
    transform: FeatureTransform  # from raw features to the model's input

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> Run:
        """Read a run folder's description, with ``key=value`` overrides on top of its configuration.

        The path may be that of one of its weight files (see :func:`run_folder`). An InputError where there is no run
        folder, or one of another format version, or a damaged file.
        """
        path = run_folder(path)
        if not (path / "run.json").is_file():
            inner = (
                next((file.parent for file in sorted(path.glob("*/run.json"))), None)
                if path.is_dir()
                else None
            )
            fix = "name a folder made by 'fact-clip train' or 'fact-clip convert'"
            raise InputError(
                path,
                "no run.json",
                fix if inner is None else f"name one of the runs in it, as {inner}",
            )
        facts, tree = (
            read_mapping(path / name, "a complete run folder")
            for name in ("run.json", "config.yaml")
        )
        written = facts.get("format")
        if type(written) is not int or written not in (1, FORMAT):  # True and 1.0 are equal to 1
            fix = f"use the fact-clip version that wrote it ({facts.get('fact_clip', 'unknown')})"
            raise InputError(
                path / "run.json", f"format {written!r}, but this version reads {FORMAT}", fix
            )
        _pop(tree, "text.cache")  # which earlier versions had
        if written == 1:
            _convert_format_1(path, facts, tree)
        elif missing := [group for group in Config.model_fields if group not in tree]:
            raise InputError(path / "config.yaml", f"no group {missing[0]}", _COPY)
        config = Config.overridden(tree, overrides, str(path / "config.yaml"))
        stored = parse_value(RunFacts, facts, path / "run.json", _COPY)
        vocabulary = read_value(Vocabulary, path / "vocabulary.json", _COPY)
        transform = _read_transform(path / "features.safetensors")
        run = cls(
            path=path, config=config, vocabulary=vocabulary, transform=transform, **vars(stored)
        )
        run.check()
        return run

    def check_plugin(self, table: Table[Any], name: str) -> None:
        """Raise an InputError where a part of the run came from a package that is not installed."""
        package = (self.packages or {}).get(f"{table.group}:{name}")
        if package is not None and table.package(name) is None:
            problem = f"{name!r} comes from the package {package}, which is not installed"
            raise InputError(
                self.path / "run.json", problem, f"pip install {package.partition(' ')[0]}"
            )

    def check_rate(self, fps: float | None, where: Location) -> None:
        """Raise an InputError for features of another rate than that of the training."""
        if fps is not None and self.fps not in (None, fps):
            raise InputError(
                where, f"{fps:g} rows a second, but {self.path} was trained with {self.fps:g}"
            )

    def check(self) -> None:
        """Raise an InputError where the files of the folder do not belong together."""
        self.check_plugin(HEADS, self.config.model.head)
        data, transform = self.config.data, self.transform
        if (tuple(transform.context), transform.mean is not None) != (
            tuple(data.context),
            data.standardize,
        ):
            problem = "other data.context or data.standardize than config.yaml says"
            raise InputError(self.path / "features.safetensors", problem, _COPY)
        if len(self.vocabulary.background) == len(self.vocabulary):
            raise InputError(self.path / "vocabulary.json", "all classes are background", _COPY)
        if len(self.vocabulary) != self.classes.count:
            problem = f"{len(self.vocabulary)} classes, but {self.classes.count} in run.json"
            raise InputError(self.path / "vocabulary.json", problem, _COPY)
        last = 0 if self.objects is None else max(map(max, self.objects.columns))
        if last >= self.transform.width:
            problem = (
                f"column {last} of an object, but the model's input has {self.transform.width}"
            )
            raise InputError(self.path / "run.json", problem, _COPY)

    @classmethod
    def open(cls, path: str | Path, overrides: Sequence[str] = ()) -> LoadedRun:
        """Read a run with its models, in evaluation mode, and what it learned on validation videos; see `read`."""
        run = cls.read(path, overrides)
        calibration = Calibration.read(run.path / "calibration.json", run.vocabulary)
        stored = run.path / "confidence.json"
        confidence = (
            read_value(Confidence, stored, "train the run anew")
            if os.path.lexists(stored)
            else None
        )
        if calibration is None and run.config.data.holdout is not None and run.config.model.is_open:
            logger.warning(
                "no calibration.json in %s, so gamma is 0 and no prior is taken off", run.path
            )
        models = run.models()
        if max((max(before, after) for before, after, _ in run.transitions), default=0) >= len(
            run.vocabulary
        ):
            raise InputError(
                run.path / "run.json", "a transition of a class that the vocabulary lacks", _COPY
            )
        return LoadedRun(run, models, calibration, confidence)

    def write(self) -> None:
        """Write everything but the weights."""
        self.path.mkdir(parents=True, exist_ok=True)
        with whole_file(inside(self.path, "config.yaml")) as path:
            path.write_text(self.config.to_yaml(), encoding="utf-8")
        write_value(inside(self.path, "vocabulary.json"), self.vocabulary.to_dict())
        with writing_tensors(inside(self.path, "features.safetensors")) as path:
            save_arrays(self.transform.to_arrays(), path)
        versions = {
            "format": FORMAT,
            "fact_clip": __version__,
            "torch": torch.__version__,
            "commit": commit(),
        }
        stored = TypeAdapter(RunFacts).dump_python(self, mode="json")
        tables: tuple[Table[Any], ...] = (HEADS, TEXT_ENCODERS, FRAME_ENCODERS)
        parts = self.config.model.head, self.config.text.encoder, self.encoder
        named = (
            (table, str(part).partition(":")[0]) for table, part in zip(tables, parts, strict=True)
        )
        packages = {
            f"{table.group}:{name}": package
            for table, name in named
            if (package := table.package(name))
        }
        stored["packages"] = (self.packages or {}) | packages or None
        write_value(inside(self.path, "run.json"), versions | stored)

    def new_model(
        self,
        text: Tensor | None = None,
        object_text: Tensor | None = None,
        space: Tensor | None = None,
    ) -> FACT:
        """Return a model of this run's size with random weights, and the texts that its head reads; see `FACT`."""
        config = self.config
        if text is not None and len(text) != self.classes.count:
            problem = (
                f"text vectors of {len(text)} classes, but the vocabulary has {self.classes.count}"
            )
            raise InputError(
                "text_embeddings", problem, "take the mapping that the weights were trained with"
            )
        more = self.objects, object_text, config.decode.frame_weight, space
        # torch's attention asserts that heads divide its width
        with library_errors("model", "sizes that do not fit together", ValueError, AssertionError):
            return FACT(config.model, self.transform.width, self.classes, text, *more)

    def model(self) -> FACT:
        """Load the (first) model with its chosen weights, in evaluation mode; strict."""
        path = self.path / "model.safetensors"
        weights, facts = read_weights(path)
        check_classes(self, facts.get("classes"), path)
        if self.config.model.reads_text and "text_embeddings" not in weights:
            raise InputError(
                path,
                f"no vectors of class names, which head {self.config.model.head!r} needs",
                _COPY,
            )
        try:
            model = self.new_model(
                *map(weights.get, ("text_embeddings", "objects.names", "similarity.space"))
            )
        except InputError as error:
            location = FileLocation(self.path / "config.yaml", part=str(error.where))
            raise InputError(location, error.problem, error.fix or _COPY) from None
        load_strictly(model, weights, path)
        return model.eval()

    def members(self) -> list[Run]:
        """Read the members of an ensemble: the run itself, then those in its folder."""
        members = [self]
        for folder in member_folders(self.path, self.config.train.members):
            if not folder.is_dir():
                raise InputError(
                    folder, f"no such folder; the run has {self.config.train.members} models", _COPY
                )
            members.append(Run.read(folder))
            _check_member(self, members[-1])
        return members

    def models(self) -> list[FACT]:
        """Load the models of the run: one, or as many as ``train.members`` says."""
        return [member.model() for member in self.members()]


@dataclass(frozen=True)
class LoadedRun:
    """A run with everything that segmenting needs."""

    run: Run
    models: Sequence[FACT]
    calibration: Calibration | None = None  # of a run that was trained with classes held out
    confidence: Confidence | None = None  # of one with validation videos


def run_folder(path: str | Path) -> Path:
    """Return the run folder of a path: the path itself, or the folder of a file in it such as RUN/ckpts/best.net.

    The run of an address of the hub, hf://OWNER/NAME, is downloaded into its cache (docs/sharing.md).
    """
    if hub.is_address(path):
        return hub.fetch(path, _PATTERNS)
    path = Path(path)
    if path.is_dir():
        return path
    return next(
        (folder for folder in list(path.parents)[:2] if (folder / "run.json").is_file()), path
    )


@validated()
def share(
    run_dir: str | Path,
    repository: str,
    *,
    private: bool = False,
    message: str | None = None,
    licence: str = "mit",
) -> str:
    """Upload a run and a model card to the Hugging Face hub (docs/sharing.md); return the address on the web.

    The `repository`, OWNER/NAME, is made if there is none, and is then `private` or not; `message` is that of the
    commit, and `licence` is written as the hub has it: mit, apache-2.0, cc-by-4.0, ...
    """
    message = message or "Upload a run of FACT-CLIP"
    return hub.publish(
        Run.open(run_dir), repository, _PATTERNS, private=private, message=message, licence=licence
    )


def member_folders(path: Path, members: int) -> list[Path]:
    """Return the run folders of an ensemble's members after the first, which is the run itself."""
    return [path / "members" / str(number) for number in range(2, members + 1)]


def classes_of(vocabulary: Vocabulary, head: str) -> Classes:
    """Return what a head must know of a vocabulary; a verb-noun head takes its first two slots."""
    if head != "verb-noun":
        return Classes(len(vocabulary))
    if len(vocabulary.slots) < 2:
        raise InputError(
            ConfigKey("model.head"), "verb-noun needs a vocabulary with the slots verb and noun"
        )
    (verbs, verb), (nouns, noun) = (
        vocabulary.factor_indices(slot) for slot in vocabulary.slots[:2]
    )
    # A class without a factor (the background) gets one of its own.
    n_verbs, n_nouns = len(verbs) + int((verb < 0).any()), len(nouns) + int((noun < 0).any())
    verb, noun = verb % n_verbs, noun % n_nouns
    return Classes(len(vocabulary), tuple(verb.tolist()), tuple(noun.tolist()), n_verbs, n_nouns)


def check_classes(run: Run, names: object, path: Location | Path, fix: str = _COPY) -> None:
    """Refuse data or weights with other classes than the run's, in the same order; older weights do not name them."""
    if isinstance(names, list | tuple) and tuple(names) != run.vocabulary.names:
        pairs = zip(names, run.vocabulary.names, strict=False)
        first = next(
            (
                f" (first difference: {name!r}, not {ours!r})"
                for name, ours in pairs
                if name != ours
            ),
            "",
        )
        raise InputError(
            path, f"{len(names)} classes, not the {len(run.vocabulary)} of {run.path}{first}", fix
        )


def remove_unfinished(path: Path) -> None:
    """Remove what a training that was killed while it wrote left in its folder, which is locked."""
    names = (
        "config.yaml",
        "vocabulary.json",
        "run.json",
        "calibration.json",
        "log.*",
        "*.safetensors",
    )
    patterns = [
        ".tmp*",
        "members/.[0-9]*-*.yaml",
        *(f".[0-9]*-{name}" for name in names),
    ]  # .tmp* is of safetensors
    for file in [file for pattern in patterns for file in path.glob(pattern)]:
        file.unlink()


def _check_member(run: Run, member: Run) -> None:
    """Raise an InputError where a member does not read the same features, or names other classes by them."""
    arrays, others = run.transform.to_arrays(), member.transform.to_arrays()
    for what, agree in (
        ("classes", run.vocabulary == member.vocabulary and run.classes == member.classes),
        ("model", run.config.model == member.config.model and run.objects == member.objects),
        (
            "features",
            arrays.keys() == others.keys()
            and all(np.array_equal(arrays[k], others[k]) for k in arrays),
        ),
    ):
        if not agree:
            raise InputError(member.path, f"this member has other {what} than {run.path}", _COPY)


def _read_transform(path: Path) -> FeatureTransform:
    """Read the statistics of the training features."""
    check_file(path, "feature statistics")
    try:
        return FeatureTransform.from_arrays(load_arrays(path))
    except InputError as error:
        raise InputError(FileLocation(path, part=str(error.where)), error.problem, _COPY) from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not readable ({error})", _COPY) from None


_OBJECTS_OF_FORMAT_1 = re.compile(
    r"(?<![^.])channels[.]"
)  # names of the object columns' parameters


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and a few JSON facts to one file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing_tensors(path) as unfinished:
        save_tensors(plain, unfinished, {"facts": json.dumps(dict(facts))})


@contextmanager
def writing_tensors(path: Path) -> Iterator[Path]:
    """Do as `whole_file` for safetensors, whose error on a full disk is not an OSError."""
    with whole_file(path) as unfinished, library_errors(path, "cannot be written", SafetensorError):
        yield unfinished


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and facts of a file of `save_weights`; an InputError where it cannot be read."""
    if not path.exists():
        raise InputError(
            path, "no such file", "train the run, or let the training reach its first epoch"
        )
    check_file(path, "weights as they were saved")
    kinds = SafetensorError, OSError, RuntimeError, TypeError, KeyError
    with (
        library_errors(path, "not a readable safetensors file", *kinds),
        safe_open(path, framework="pt") as file,
    ):
        # the best score is minus infinity before the first validation
        facts = parse_json(
            (file.metadata() or {}).get("facts", "{}"),
            path,
            "facts about the weights",
            finite=False,
        )
        weights = {
            _OBJECTS_OF_FORMAT_1.sub("objects.", key): file.get_tensor(key)
            for key in list(file.keys())
        }
    if not isinstance(facts, dict):
        raise InputError(
            path, f"the facts about the weights are a {type(facts).__name__}, not an object"
        )
    return weights, facts


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load weights; an InputError names the first missing, unexpected or wrongly shaped parameter."""
    expected = model.state_dict()
    missing, extra = (
        sorted(expected.keys() - weights.keys()),
        sorted(weights.keys() - expected.keys()),
    )
    if missing or extra:
        problem = f"{len(missing)} parameters are missing and {len(extra)} unexpected (first: {[*missing, *extra][0]})"
        raise InputError(path, problem, "check that the configuration is that of the weights")
    for name, value in expected.items():
        loaded = weights[name]
        if loaded.shape != value.shape:
            problem = (
                f"{name} has shape {tuple(loaded.shape)}, but the model has {tuple(value.shape)}"
            )
            raise InputError(path, problem, "check sizes and class count")
        if loaded.is_floating_point() != value.is_floating_point():
            raise InputError(
                path, f"{name} holds {loaded.dtype}, not {value.dtype}", "save the weights again"
            )
        if value.is_floating_point() and not loaded.isfinite().all():
            raise InputError(path, f"{name} has a NaN or an infinity", "train the model again")
    model.load_state_dict(dict(weights))


# Keys of format 1 that are called differently now.
_RENAMED = {
    "data.channels": "data.objects",
    "model.channels": "model.objects",
    "model.frame_weight": "decode.frame_weight",
}
# Keys of format 1 that are gone, and the value with which a run still loads.
_REMOVED = {
    "model.key_width": KEY_WIDTH,
    "model.objects.words": True,
    "model.objects.layers": 0,
    "model.objects.heads": 4,
    "model.objects.dropout": 0.0,
    "loss.prior": 0.0,
    "decode.method": "switching",
}


def _convert_format_1(path: Path, facts: dict[str, Any], tree: dict[str, Any]) -> None:
    """Rename in place what format 1 called differently; an InputError if a run uses what is gone."""
    for old, new in _RENAMED.items():
        if (value := _pop(tree, old)) is not None:
            set_key(tree, new.split("."), value, str(path))
    if (value := _pop(tree, "data.holdout_mode")) is not None:
        set_key(tree, ["data", "holdout_mode"], "oracle" if value == "show" else value, str(path))
    facts["objects"] = facts.pop("channels", None)
    used = [
        f"{key}={value}"
        for key, default in _REMOVED.items()
        if (value := _pop(tree, key, default)) != default
    ]
    if isinstance(tree.get("model"), dict) and tree["model"].get("head") == "factored":
        used.append("model.head=factored")
    if used:
        problem = f"it uses settings that were removed: {', '.join(used)}"
        raise InputError(path, problem, f"use fact-clip {facts.get('fact_clip', '0.1')}")


def _pop(tree: Any, key: str, default: Any = None) -> Any:
    """Take out a nested key's value; what is not a group of keys is left to the check of the configuration."""
    *groups, name = key.split(".")
    for group in groups:
        tree = tree.get(group) if isinstance(tree, dict) else None
    return tree.pop(name, default) if isinstance(tree, dict) else default


def commit() -> str | None:
    """Return the git commit of this package's checkout, with "+" if files differ, or None without git."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def evaluation_stem(split: str, has_actions: bool = False) -> str:
    """Return the name, without suffix, of the files that `training.evaluate` writes into a run folder."""
    stem = "evaluation"
    if split != "test":
        stem += f"_{split}"
    if has_actions:
        stem += "_actions"
    return stem
