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
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from fact_clip import __version__
from fact_clip.config import BLOCK_OF_LETTER, Config, ModelConfig, Rate, checked, set_key, settings_of
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import path_of
from fact_clip.core.commit import commit
from fact_clip.core.errors import ConfigKey, FileLocation
from fact_clip.core.files import check_file, inside, parse_json, read_mapping, whole_file
from fact_clip.core.public import public
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import FeatureTransform
from fact_clip.models import FACT, Classes, ObjectSpec
from fact_clip.models.blocks import block_configs
from fact_clip.models.heads import HEADS, KEY_WIDTH

FORMAT = 2
_COMPLETE = "a complete run folder"
_LARGEST_STATISTICS = 1 << 30  # bytes


@dataclass(frozen=True)
class Run:
    """What a run folder says about its model, apart from the weights."""

    path: Path
    config: Config
    vocabulary: Vocabulary  # that of the training
    classes: Classes  # what the heads know of it
    transform: FeatureTransform  # from raw features to the model's input
    layout: Layout  # orientation of feature files
    fps: float | None  # feature rows per second, if known
    mean_transcript_length: float | None  # mean number of segments of the training videos
    objects: ObjectSpec | None = None  # which columns of the model's input belong to which named object
    encoder: str | None = None  # the frame encoder that made the features from videos, if known
    videos_a_step: int | None = None  # of the training, over all its processes, if known
    videos: str | None = None  # `Dataset.digest` of the training, if known

    def new_model(
        self, text: Tensor | None = None, object_text: Tensor | None = None, space: Tensor | None = None
    ) -> FACT:
        """A model of this run's size with random weights, and what its head reads, if that is text; see `FACT`."""
        config, width = self.config, self.transform.width
        further = self.objects, object_text, config.decode.frame_weight, space
        if config.model.head not in HEADS:
            raise InputError(ConfigKey("model.head"), f"{config.model.head!r}; expected one of {', '.join(HEADS)}")
        if text is not None and len(text) != self.classes.count:
            found, expected = f"text vectors of {len(text)} classes", f"{self.classes.count}, as the vocabulary has"
            raise InputError(
                "text_embeddings",
                f"{found}; expected {expected}",
                "take the mapping that the weights were trained with",
            )
        for letter, block in zip(config.model.blocks, block_configs(config.model), strict=True):
            for size, by, used in (
                ("action_dim", "heads", block.action != "gru_om"),
                ("frame_dim", "frame_groups", True),
            ):
                whole, part = getattr(block, size), getattr(block, by)
                if used and whole % part:
                    key = f"model.{BLOCK_OF_LETTER[letter]}"
                    raise InputError(key, f"{size} {whole} and {by} {part}; expected {size} divisible by {by}")
        count = least_parameters(config.model, width)
        if count > MOST_PARAMETERS:
            found = f"about {count:,} parameters"
            raise InputError(
                "model", f"{found}; expected {MOST_PARAMETERS:,} at most", "choose smaller sizes or fewer layers"
            )
        try:
            return FACT(config.model, width, self.classes, text, *further)
        except InputError:
            raise
        except (ValueError, AssertionError) as error:  # torch's attention asserts that heads divide its width
            raise InputError("model", f"{error}; expected sizes that fit together") from None


MOST_PARAMETERS = 200_000_000
"""Of a model; published ones have thirty million."""


def least_parameters(model: ModelConfig, width: int) -> int:
    """About how many parameters a model has, and never more: those of its large layers, without making any."""
    total, into = model.tokens * model.input.action_dim, width
    for block in block_configs(model):
        wide, deep, forward = block.frame_dim, block.action_dim, block.feedforward
        total += into * wide + block.frame_layers * wide * wide // block.frame_groups + (wide + deep) * block.hidden
        total += block.action_layers * (3 * deep * deep + 2 * deep * forward)
        into = block.hidden
    return total


class _Facts(BaseModel):
    """What a file of a run says; keys of other versions are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


_Index = Annotated[int, Field(ge=0, le=1_000_000)]


class ClassFacts(_Facts):
    """The values of `Classes`."""

    count: int = Field(ge=1, le=1_000_000)
    verb: tuple[_Index, ...] = ()
    noun: tuple[_Index, ...] = ()
    n_verbs: _Index = 0
    n_nouns: _Index = 0
    n_slots: _Index = 0
    text_width: _Index = 0
    evidence_slot: _Index = 0
    evidence_width: _Index = 0

    @model_validator(mode="after")
    def _agree(self) -> ClassFacts:
        for own, size in ((self.verb, self.n_verbs), (self.noun, self.n_nouns)):
            if own and (len(own) != self.count or max(own) >= size):
                raise ValueError("verbs or nouns that do not fit the number of classes")
        return self


class ObjectFacts(_Facts):
    """The values of `ObjectSpec`."""

    columns: tuple[tuple[_Index, ...], ...] = Field(min_length=1)
    fixed: tuple[_Index, ...]
    slot: _Index

    @model_validator(mode="after")
    def _agree(self) -> ObjectFacts:
        if len({len(row) for row in self.columns}) != 1 or not self.columns[0]:
            raise ValueError("objects with different numbers of columns")
        if max(self.fixed, default=0) >= len(self.columns):
            raise ValueError("a fixed object that is none of them")
        return self


class RunFacts(_Facts):
    """``run.json`` of a run folder."""

    classes: ClassFacts
    layout: Layout
    fps: Rate | None
    mean_transcript_length: Annotated[float, Field(ge=0, le=1e9)] | None
    objects: ObjectFacts | None = None
    encoder: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    videos_a_step: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    videos: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = None


class VocabularyFile(BaseModel):
    """``vocabulary.json`` of a run folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    names: tuple[str, ...]
    background: tuple[str, ...]
    slots: tuple[str, ...]
    factors: tuple[tuple[str | None, ...], ...]


def classes_of(vocabulary: Vocabulary, head: str) -> Classes:
    """What a head must know of a vocabulary; a verb-noun head takes its first two slots."""
    if head != "verb-noun":
        return Classes(len(vocabulary))
    if len(vocabulary.slots) < 2:
        raise InputError(
            ConfigKey("model.head"), "verb-noun with one slot; expected a vocabulary with the slots verb and noun"
        )
    (verbs, verb), (nouns, noun) = (vocabulary.factor_indices(slot) for slot in vocabulary.slots[:2])
    # A class without a factor (the background) gets one of its own.
    n_verbs, n_nouns = len(verbs) + int((verb < 0).any()), len(nouns) + int((noun < 0).any())
    verb, noun = verb % n_verbs, noun % n_nouns
    return Classes(len(vocabulary), tuple(verb.tolist()), tuple(noun.tolist()), n_verbs, n_nouns)


def create(run: Run) -> None:
    """Write everything but the weights."""
    run.path.mkdir(parents=True, exist_ok=True)
    with whole_file(inside(run.path, "config.yaml")) as path:
        path.write_text(run.config.to_yaml(), encoding="utf-8")
    write_json(inside(run.path, "vocabulary.json"), run.vocabulary.to_dict())
    with _whole_tensors(inside(run.path, "features.safetensors")) as path:
        save_arrays(run.transform.to_arrays(), path)
    facts = {"format": FORMAT, "fact_clip": __version__, "torch": torch.__version__, "commit": commit()}
    facts["classes"] = asdict(run.classes)
    facts |= {
        name: getattr(run, name)
        for name in ("layout", "fps", "mean_transcript_length", "encoder", "videos_a_step", "videos")
    }
    facts["objects"] = None if run.objects is None else asdict(run.objects)
    write_json(inside(run.path, "run.json"), facts)


@public
def run_folder(path: str | Path) -> Path:
    """The run folder of a path: the path itself, or the folder of a file in it such as RUN/ckpts/best.net."""
    path = path_of(path, "run")
    if path.is_dir():
        return path
    return next((folder for folder in list(path.parents)[:2] if (folder / "run.json").is_file()), path)


@public
def open_run(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Read a run folder's description, with ``key=value`` overrides on top of its configuration.

    ``path`` is the folder, or one of its weight files (see :func:`run_folder`).

    Raises:
        InputError: no run folder, another format version, or a damaged file.
    """
    path = run_folder(path)
    if not (path / "run.json").is_file():
        inner = next((each.parent for each in sorted(path.glob("*/run.json"))), None) if path.is_dir() else None
        todo = "" if inner is None else f"name one of the runs in it, as {inner}"
        raise InputError(
            path, "no run.json; expected a run folder made by 'fact-clip train' or 'fact-clip convert'", todo
        )
    facts = read_mapping(path / "run.json", _COMPLETE)
    written = facts.get("format")
    if type(written) is not int or written not in (1, FORMAT):  # True and 1.0 are equal to 1
        todo = f"use the fact-clip version that wrote it ({facts.get('fact_clip', 'unknown')})"
        raise InputError(path / "run.json", f"format {written!r}; expected format {FORMAT}", todo)
    tree = read_mapping(path / "config.yaml", _COMPLETE)
    if written == 1:
        _from_format_1(path, facts, tree)
    config = Config.overridden(tree, settings_of(overrides), str(path / "config.yaml"))
    if written != 1 and (missing := [group for group in Config.model_fields if group not in tree]):
        raise InputError(
            path / "config.yaml", f"no {missing[0]}; expected {_COMPLETE}", "copy the run again, as it was written"
        )
    known = checked(RunFacts, facts, path / "run.json", "copy the run again, as it was written")
    plain = checked(VocabularyFile, read_mapping(path / "vocabulary.json", _COMPLETE), path / "vocabulary.json")
    try:
        vocabulary = Vocabulary.from_dict(plain.model_dump())
    except InputError as error:
        raise InputError(path / "vocabulary.json", f"{error}; expected as it was written") from None
    transform, classes = _read_transform(path / "features.safetensors"), Classes(**known.classes.model_dump())
    for key, own, asked in (
        ("data.context", list(transform.context), list(config.data.context)),
        ("data.standardize", transform.mean is not None, config.data.standardize),
    ):
        if own != asked:
            where = path / "features.safetensors"
            raise InputError(
                where, f"{key} = {json.dumps(own)}; expected {json.dumps(asked)}, as the configuration has it"
            )
    if len(vocabulary.background) == len(vocabulary):
        raise InputError(path / "vocabulary.json", "classes that are all background; expected an action among them")
    if len(vocabulary) != classes.count:
        raise InputError(
            path / "vocabulary.json", f"{len(vocabulary)} classes; expected {classes.count}, as in run.json"
        )
    objects = None if known.objects is None else ObjectSpec(**known.objects.model_dump())
    if objects is not None and max(map(max, objects.columns)) >= transform.width:
        found = f"column {max(map(max, objects.columns))} of an object"
        raise InputError(
            path / "run.json", f"{found}; expected columns among the {transform.width} of the model's input"
        )
    clock = known.layout, known.fps, known.mean_transcript_length
    training = known.encoder, known.videos_a_step, known.videos
    return Run(path, config, vocabulary, classes, transform, *clock, objects, *training)


def _read_transform(path: Path) -> FeatureTransform:
    """The statistics of the training features."""
    check_file(path, "feature statistics", _LARGEST_STATISTICS)
    try:
        return FeatureTransform.from_arrays(load_arrays(path))
    except InputError as error:
        raise InputError(path, f"{error}; expected as they were written") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"not readable ({error}); expected feature statistics") from None


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


def _from_format_1(path: Path, facts: dict[str, Any], tree: dict[str, Any]) -> None:
    """Rename in place what format 1 called differently; an InputError if a run uses what is gone."""
    for old, new in _RENAMED.items():
        if (value := _popped(tree, old)) is not None:
            set_key(tree, new.split("."), value, str(path))
    if (value := _popped(tree, "data.holdout_mode")) is not None:
        set_key(tree, ["data", "holdout_mode"], "oracle" if value == "show" else value, str(path))
    facts["objects"] = facts.pop("channels", None)
    used = [f"{key}={value}" for key, kept in _REMOVED.items() if (value := _popped(tree, key, kept)) != kept]
    if isinstance(tree.get("model"), dict) and tree["model"].get("head") == "factored":
        used.append("model.head=factored")
    if used:
        todo = f"use fact-clip {facts.get('fact_clip', '0.1')}"
        raise InputError(
            path, f"a run that uses {', '.join(used)}; expected settings that this version still has", todo
        )


def _popped(tree: Any, key: str, default: Any = None) -> Any:
    """A nested key's value, taken out; what is no group of keys is left to the check of the configuration."""
    *outer, name = key.split(".")
    for each in outer:
        tree = tree.get(each) if isinstance(tree, dict) else None
    return tree.pop(name, default) if isinstance(tree, dict) else default


def remove_unfinished(path: Path) -> None:
    """Remove what a training that was killed while it wrote left in its folder, which is locked."""
    names = ("config.yaml", "vocabulary.json", "run.json", "calibration.json", "log.*", "*.safetensors")
    patterns = [".tmp*", "members/.[0-9]*-*.yaml", *(f".[0-9]*-{name}" for name in names)]  # .tmp* is of safetensors
    for each in [found for pattern in patterns for found in path.glob(pattern)]:
        each.unlink()


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and a few JSON facts to one file, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with _whole_tensors(path) as unfinished:
        save_tensors(plain, unfinished, {"facts": json.dumps(dict(facts))})


@contextmanager
def _whole_tensors(path: Path) -> Iterator[Path]:
    """As `whole_file`, for safetensors, whose error is no OSError, also where the disk is full."""
    with whole_file(path) as unfinished:
        try:
            yield unfinished
        except SafetensorError as error:
            raise InputError(path, f"cannot be written ({error}); expected a place to write to") from None


_FORMAT_1 = re.compile(r"(?<![^.])channels[.]")  # names of the object columns' parameters


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file of `save_weights`; an InputError where it cannot be read."""
    if not path.exists():
        todo = "train it, or let the training reach its first epoch"
        raise InputError(path, "no such file; expected the weights of a run", todo)
    expected = "weights as they were saved"
    check_file(path, expected)
    try:
        with safe_open(path, framework="pt") as file:
            # the best score is minus infinity before the first validation
            facts = parse_json((file.metadata() or {}).get("facts", "{}"), path, expected, finite=False)
            weights = {_FORMAT_1.sub("objects.", name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, TypeError, KeyError) as error:
        raise InputError(path, f"not a readable safetensors file ({error}); expected {expected}") from None
    if not isinstance(facts, dict):
        raise InputError(path, f"facts that are a {type(facts).__name__}; expected {expected}")
    return weights, facts


def load_model(run: Run) -> FACT:
    """The run's model with its chosen weights, in evaluation mode; strict."""
    weights, facts = read_weights(run.path / "model.safetensors")
    check_classes(run, facts, run.path / "model.safetensors")
    if run.config.model.reads_text and "text_embeddings" not in weights:
        found, todo = "no vectors of class names: weights of another model", "copy the run again, as it was written"
        raise InputError(
            run.path / "model.safetensors", f"{found}; expected those of head {run.config.model.head!r}", todo
        )
    try:
        model = run.new_model(*map(weights.get, ("text_embeddings", "objects.names", "similarity.space")))
    except InputError as error:
        where, todo = run.path / "config.yaml", error.fix or "copy the run again, as it was written"
        raise InputError(FileLocation(where, part=str(error.where)), error.problem, todo) from None
    load_strictly(model, weights, str(run.path / "model.safetensors"))
    return model.eval()


def check_classes(run: Run, facts: Mapping[str, Any], weights: Path) -> None:
    """Refuse weights that were trained on other classes than the run names; older ones do not say."""
    names, ours = facts.get("classes"), run.vocabulary.names
    if not isinstance(names, list) or tuple(names) == ours:
        return
    first = next((f"{theirs!r} against {own!r}" for theirs, own in zip(names, ours, strict=False) if theirs != own), "")
    found = f"trained on {len(names)} classes" + (f" (first that differs: {first})" if first else "")
    raise InputError(
        weights, f"{found}; expected the {len(ours)} of vocabulary.json", "copy the run again, as it was written"
    )


def member_folders(path: Path, members: int) -> list[Path]:
    """The run folders of an ensemble's members after the first, which is the run itself."""
    return [path / "members" / str(number) for number in range(2, members + 1)]


def load_models(run: Run) -> list[FACT]:
    """The models of a run: one, or as many as ``train.members`` says; an InputError if one is missing."""
    folders = member_folders(run.path, run.config.train.members)
    for folder in folders:
        if not folder.is_dir():
            expected = f"one of the {len(folders) + 1} models of the run"
            raise InputError(folder, f"no such folder; expected {expected}", "copy it too")
    members = [run, *map(open_run, folders)]
    for member in members[1:]:
        _check_member(run, member)
    return [load_model(member) for member in members]


def _check_member(run: Run, member: Run) -> None:
    """An InputError where a member does not read the same features, or does not name the same classes by them."""
    own, other = run.transform.to_arrays(), member.transform.to_arrays()
    for what, agree in (
        ("classes", run.vocabulary == member.vocabulary and run.classes == member.classes),
        ("model", run.config.model == member.config.model and run.objects == member.objects),
        ("features", own.keys() == other.keys() and all(np.array_equal(own[key], other[key]) for key in own)),
    ):
        if not agree:
            raise InputError(
                member.path, f"a member with other {what}; expected those of {run.path}", "copy the run again"
            )


def load_strictly(model: FACT, weights: Mapping[str, Tensor], where: str) -> None:
    """Load weights; an InputError names the first missing, unexpected or wrongly shaped parameter."""
    own = model.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or extra:
        found = [f"{len(missing)} missing (first: {missing[0]})"] if missing else []
        found += [f"{len(extra)} unexpected (first: {extra[0]})"] if extra else []
        raise InputError(
            where, " and ".join(found) + " parameters" + "; expected exactly the model's", "check the configuration"
        )
    for name, value in own.items():
        if weights[name].shape != value.shape:
            found_shape, expected = tuple(weights[name].shape), tuple(value.shape)
            raise InputError(
                where, f"{name} has shape {found_shape}; expected {expected}", "check sizes and class count"
            )
        if weights[name].is_floating_point() != value.is_floating_point():
            raise InputError(
                where, f"{name} holds {weights[name].dtype}; expected {value.dtype}", "save the weights again"
            )
        if value.is_floating_point() and not weights[name].isfinite().all():
            raise InputError(
                where, f"{name} has a NaN or an infinity; expected finite weights", "train the model again"
            )
    model.load_state_dict(dict(weights))


def check_vocabulary(run: Run, vocabulary: Vocabulary, where: str | Path) -> None:
    """Refuse data whose classes are not the checkpoint's, in the same order."""
    if run.vocabulary.names != vocabulary.names:
        shared = min(len(run.vocabulary), len(vocabulary))
        pairs = zip(run.vocabulary.names[:shared], vocabulary.names[:shared], strict=True)
        first = next((f"{ours!r} against {theirs!r}" for ours, theirs in pairs if ours != theirs), "their number")
        found = f"{len(vocabulary)} classes that differ from the checkpoint's {len(run.vocabulary)} (first: {first})"
        raise InputError(
            where, f"{found}; expected the vocabulary of {run.path}", "use the data that it was trained on"
        )


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=1), encoding="utf-8")
