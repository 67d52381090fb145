"""The configuration: frozen values, read from short YAML recipes and ``key=value`` overrides.

A recipe holds only what differs from the defaults below; ``base: NAME`` builds it on another recipe.
docs/configuration.md, which lists recipes and keys, is generated from this file.
"""

from __future__ import annotations

import copy
import difflib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fact_clip.core.errors import InputError, Location
from fact_clip.core.io import check_file, read_mapping
from fact_clip.core.messages import printable, shortened
from fact_clip.core.public import public
from fact_clip.core.segments import LEAST_FPS, MOST_FPS, MOST_FRAMES
from fact_clip.core.yaml_text import parse_yaml

__all__ = ["Config", "recipes"]

MOST_BASES = 20  # one on another
RECIPES = Path(__file__).parent / "configs"

# No number of a recipe is larger. They are far above what anybody means, and below what would fill a memory.
WIDEST = 65_536  # values a row inside a model
LONGEST_TEXT = 4096  # of a name or a path
LARGEST = 1e6  # weights and costs

# of frames or pictures
Rate = Annotated[float, Field(ge=LEAST_FPS, le=MOST_FPS)]

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_one_or_more = BeforeValidator(lambda value: value if isinstance(value, list | tuple) else [value])


def _all_different(values: Any) -> Any:
    if isinstance(values, tuple) and len(set(values)) < len(values):
        raise ValueError("each once")
    return values


_once = AfterValidator(_all_different)


def _weight_or_unset(value: float) -> float:
    if -1 < value < 0:
        raise ValueError("a weight of 0 or more, or -1")
    return value


def _block_letters(blocks: str) -> str:
    if blocks[:1] not in ("i", "I") or set(blocks[1:]) - {"u", "U"}:
        raise ValueError("one letter per block: i or I first, then u and U")
    return blocks


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ObjectData(_Frozen):
    """Which feature columns belong to which named object.

    The file names O objects, one a line. The columns come in blocks: with ``blocks: [1, 2]`` columns 0 to O-1 are the
    first value of each object, and the next 2 O columns hold two values of each, object by object.
    """

    file: str | None = Field(None, description="names of the objects, one a line; under data.root. Unset: none")
    find: bool | Literal["auto"] = Field(
        False, description="without a file: find the objects in the features, their names by labels; auto: if they show"
    )
    blocks: tuple[_Count, ...] = Field(
        (), max_length=100, description="values per object in each block; unset: one block of all"
    )
    slot: str = Field("object", description="vocabulary slot whose words are names of objects")
    fixed: tuple[str, ...] = Field((), description="objects that keep their identity, beside the words of other slots")


class DataConfig(_Frozen):
    """Which videos are used, and how their features are read."""

    name: str = Field("folder", description="entry of datasets/benchmarks.py; 'folder' is a data set of your own")
    root: str | None = Field(
        None, description="folder of the data, also from the recipe's; else $FACT_CLIP_DATA/NAME, else ./data/NAME"
    )
    split: int | str = Field(1, description="number or name of the split; 'all' trains each in turn")
    layout: Literal["TD", "DT"] | None = Field(None, description="time or channels first; unset: the benchmark's")
    fps: float | None = Field(
        None, ge=LEAST_FPS, le=MOST_FPS, description="frames (feature rows) per second; unset: the benchmark's"
    )
    background: tuple[str, ...] | None = Field(
        None, description="names of background classes; unset: the benchmark's; own data, head 'text': by their names"
    )
    unlabelled: tuple[str, ...] = Field((), description="names of labels that are ignored, beside '?'; no classes")
    grammar: str | None = Field(
        None, description="how names are read: '{verb} {object} [with {tool}]'; docs/datasets.md"
    )
    stride: int = Field(
        1, ge=1, le=1_000_000, description="temporal stride; labels by majority, predictions stretched back"
    )
    interleave: bool = Field(False, description="with a stride: train from any first row; predict from each and merge")
    standardize: bool = Field(False, description="scale columns to mean 0 and variance 1 over the training videos")
    context: Annotated[tuple[_Count, ...], _once] = Field(
        (), max_length=16, description="windows in frames whose mean and deviation become columns too"
    )
    objects: ObjectData = ObjectData()
    holdout: str | tuple[str | int, ...] | None = Field(None, description="held-out classes: JSON file, name or list")
    holdout_mode: Literal["mask", "drop", "oracle"] | None = Field(
        None, description="mask frames, drop videos, or hide nothing (upper bound); unset: as in the JSON, else mask"
    )
    validation_unseen: Literal["auto"] | tuple[str, ...] | None = Field(
        None, description="held-out classes that choose settings; auto: chosen where the hold-out names none"
    )
    validation: float = Field(0.15, ge=0, le=0.5, description="share of the training videos that picks the checkpoint")
    validation_part: int = Field(0, ge=0, le=1_000_000, description="which of the disjoint parts of that size is used")
    groups: str | None = Field(
        None, description="pattern whose parentheses find the subject in a name; validation shares none with training"
    )
    tolerance: float = Field(0.01, ge=0, le=1, description="share by which features and labels may differ in length")
    tolerance_frames: int = Field(10, ge=0, le=1_000_000_000, description="or this many frames, if that is more")


class BlockConfig(_Frozen):
    """Sizes of one kind of block (docs/method.md, 'Blocks')."""

    hidden: int = Field(512, ge=1, le=WIDEST, description="H, width of what blocks pass on")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout in both branches")
    frame: Literal["m", "m2"] = Field("m2", description="frame branch: MS-TCN (m) or MS-TCN++ (m2)")
    frame_dim: int = Field(512, ge=1, le=WIDEST, description="F, width inside the frame branch")
    frame_layers: int = Field(10, ge=1, le=16, description="layers of the frame branch")
    frame_norm: bool = Field(False, description="LayerNorm over channels after each layer of 'm'")
    frame_groups: int = Field(1, ge=1, le=WIDEST, description="groups of the dilated convolution of 'm'")
    action: Literal["sca", "sa", "gru_om"] = Field(
        "sca", description="action branch: self- and cross-attention, self-attention alone, or a GRU over a transcript"
    )
    action_dim: int = Field(512, ge=1, le=WIDEST, description="A, width inside the action branch")
    action_layers: int = Field(6, ge=1, le=100, description="layers of the action branch")
    heads: int = Field(8, ge=1, le=1_000, description="attention heads of the action branch")
    feedforward: int = Field(512, ge=1, le=WIDEST, description="width of its feed-forward layers")
    segment_layers: int = Field(1, ge=1, le=100, description="layers of the segment GRU in 'U'")


# what a block does not inherit from the one before it
_OWN_DEFAULTS: dict[str, Any] = {"action": "sa", "action_layers": 1, "frame_layers": 5, "segment_layers": 1}
BLOCK_OF_LETTER = {"i": "input", "I": "input", "u": "update", "U": "pooled"}


def _plain(block: Any) -> dict[str, Any]:
    return block.model_dump() if isinstance(block, BaseModel) else dict(block or {})


class AlignmentConfig(_Frozen):
    """FACT-CLIP's alignment of frames to class texts (head 'fact-clip')."""

    temperature: float = Field(0.07, gt=0, le=1_000, description="temperature of the cosine similarities")
    projection_dim: int = Field(512, ge=1, le=WIDEST, description="hidden width of the projection")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the projection")


class ObjectConfig(_Frozen):
    """Object columns; used where ``data.objects`` names a file or finds them."""

    hidden: int = Field(32, ge=1, le=WIDEST, description="width of the network that all objects share")
    width: int = Field(16, ge=1, le=WIDEST, description="width of an object's evidence")


class SimilarityConfig(_Frozen):
    """Similarity of frames and names (head 'similarity')."""

    channels: int = Field(16, ge=1, le=WIDEST, description="width of the network that all candidates share")
    layers: int = Field(4, ge=0, le=16, description="its dilated layers")
    windows: tuple[_Count, ...] = Field((5, 25), description="rows over which similarities are smoothed")
    map: bool = Field(False, description="learn a linear map from frames to texts, at first the identity")
    text: float = Field(0.0, ge=0, le=LARGEST, description="weight of the text head's scores beside the evidence")


class ModelConfig(_Frozen):
    """The FACT model. Missing keys of ``update`` and ``pooled`` come from the block before them."""

    blocks: Annotated[str, AfterValidator(_block_letters)] = Field(
        "iuUU", max_length=32, description="one letter per block: i or I first, then u and U"
    )
    tokens: int = Field(60, ge=0, le=10_000, description="M, action tokens (0 with a transcript)")
    head: str = Field("closed", description="entry of models/heads.py")
    frame_positions: bool = Field(False, description="sinusoidal frame positions")
    transcript: bool = Field(False, description="tokens are the classes of a given transcript")
    alignment: AlignmentConfig = AlignmentConfig()
    objects: ObjectConfig = ObjectConfig()
    similarity: SimilarityConfig = SimilarityConfig()
    input: BlockConfig = BlockConfig()
    update: BlockConfig = BlockConfig(**_OWN_DEFAULTS)
    pooled: BlockConfig = BlockConfig(**_OWN_DEFAULTS)

    @property
    def is_open(self) -> bool:
        """Whether the head scores candidates by their texts, so that any name can be one."""
        return self.head in ("text", "similarity")

    @property
    def reads_text(self) -> bool:
        """Whether the head is made from the vectors of class names; that of FACT-CLIP scores its own classes alone."""
        return self.is_open or self.head == "fact-clip"

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        base, given = _plain(values.get("input")), {}
        used = [BLOCK_OF_LETTER.get(b, "input") for b in str(values.get("blocks", "iuUU"))]
        for name in dict.fromkeys([*used, "update", "pooled"]):
            if name != "input":
                # a block that does not occur has no sizes of its own, so that equal models are equal values
                own = _plain(values.get(name)) if name in used else {}
                base = {**base, **_OWN_DEFAULTS, **{key: value for key, value in own.items() if value is not None}}
                given[name] = base
        return {**values, **given}


class TextConfig(_Frozen):
    """How class names become vectors (heads 'text' and 'fact-clip')."""

    encoder: str = Field("minilm", description="minilm, hash:64, open_clip:MODEL/WEIGHTS, file:PATH; see encoders/")
    parts: Literal["auto"] | Annotated[tuple[Literal["sentence", "factors"], ...], Field(min_length=1), _once] = Field(
        ("sentence",), description="vectors of a class; auto: the sentence, and factors where names have several slots"
    )
    templates: str = Field("plain", description="prompts around the name: entry of TEMPLATES in text/prompts.py")
    phrase: str = Field("name", description="how class names are read: entry of PHRASES in text/prompts.py")
    cache: str | None = Field(None, description="folder that keeps the vectors of trainings; unset: none is kept")


class LossConfig(_Frozen):
    """Matching and loss (docs/method.md, 'Matching and loss')."""

    match: Literal["o2o", "o2m", "seq"] = Field("o2o", description="one to one, one to many, or by a transcript")
    class_cost: float = Field(
        0.2, ge=0, le=LARGEST, description="weight of the class probability in the matching cost (pc)"
    )
    overlap_cost: float = Field(
        1.0, ge=0, le=LARGEST, description="weight of the attention overlap in the matching cost (a2fc)"
    )
    smoothing: float = Field(5.0, ge=0, le=LARGEST, description="weight of the smoothing term (sw)")
    token_weight: float = Field(
        1.0, ge=0, le=LARGEST, description="weight of the terms of tokens and attention beside that of frames"
    )
    background_weight: float = Field(1.0, ge=0, le=LARGEST, description="weight of background classes (bgw)")
    null_weight: Annotated[float, AfterValidator(_weight_or_unset)] = Field(
        -1.0, ge=-1, le=LARGEST, description="weight of the null class; -1: by tokens and segments"
    )
    balance: float = Field(0.0, ge=0, le=1, description="a class of n frames weighs n^-this, scaled to mean 1")
    segment_balance: float = Field(0.0, ge=0, le=1, description="the same for a segment of n frames within its video")
    fact_weight: float = Field(0.5, ge=0, le=LARGEST, description="head 'fact-clip': weight of the FACT loss")
    contrastive_weight: float = Field(0.5, ge=0, le=LARGEST, description="head 'fact-clip': weight of the InfoNCE loss")


class AugmentConfig(_Frozen):
    """Changes to the input while training."""

    channels: float = Field(0.3, ge=0, lt=1, description="share of feature columns zeroed for a whole video (cmr)")
    swap: Annotated[tuple[_Share, ...], _one_or_more] = Field(
        (0.0,),
        min_length=1,
        max_length=100,
        description="share of steps that swap named objects; one value, or one per member",
    )
    speed: float = Field(0.0, ge=0, le=100, description="play each video up to (1 + this) times faster or slower")
    time_spans: int = Field(5, ge=0, le=10_000, description="number of time spans that are zeroed, at most (0: none)")
    time_length: int = Field(30, ge=1, le=1_000_000_000, description="a span is shorter than this many frames")
    time_share: float = Field(0.05, ge=0, le=1, description="... and at most this share of the video")


class DecodeConfig(_Frozen):
    """From the model's scores to segments."""

    frame_weight: float = Field(0.1, ge=0, le=1, description="weight of the frame voter against the token voter (mwt)")
    blocks: Literal["last", "all"] = Field("last", description="frame voter: the last block or the mean of all")
    switch_penalty: float = Field(
        0.0, ge=0, le=LARGEST, description="cost in nats of changing the action (0: each frame alone)"
    )
    window: int = Field(
        0, ge=0, le=MOST_FRAMES, description="frames per pass over a long video (0: one pass); docs/long_videos.md"
    )
    overlap: int | None = Field(
        None, ge=0, le=MOST_FRAMES, description="frames that two passes share; unset: reach of the layers"
    )
    training_free: float = Field(
        0.0, ge=0, lt=1, description="share of training-free scores (docs/protocol.md, 'Mixed scores')"
    )
    factor_weight: float = Field(
        0.0, ge=0, le=LARGEST, description="weight of the words of the frames around; docs/method.md, 'Decoding'"
    )
    factor_frames: float = Field(
        15.0, gt=0, le=1_000_000, description="... deviation in frames of the Gaussian that weighs them"
    )
    prior_weight: float = Field(
        0.0, ge=0, le=LARGEST, description="classes held out: share of log p(class) that is subtracted"
    )
    prior: Literal["factors", "frames", "posterior", "frames+posterior"] = Field(
        "factors", description="where p(class) comes from (docs/protocol.md)"
    )
    gamma_rule: Literal["none", "cost", "harmonic"] = Field("cost", description="choice of gamma (docs/protocol.md)")
    gamma_cost: float = Field(0.15, ge=0, lt=1, description="rule 'cost': share of seen accuracy that may be lost")


class TrainConfig(_Frozen):
    """Optimisation."""

    epochs: int = Field(150, ge=1, le=1_000_000, description="passes over the training videos")
    batch_size: int = Field(4, ge=1, le=100_000, description="videos per step, for each process of torchrun")
    similar_lengths: bool = Field(False, description="batches of videos of similar length, so that less is padding")
    workers: int | None = Field(
        None, ge=0, le=1_000, description="processes that read videos; unset: 4 for CUDA, else 0"
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="sgd has momentum 0.9")
    lr: float = Field(1e-4, gt=0, le=1_000, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, le=1_000, description="weight decay")
    schedule: Literal["step", "cosine", "constant"] = Field("step", description="course of the learning rate")
    lr_decay: int = Field(80, ge=1, le=1_000_000, description="'step': epochs until the learning rate falls to a tenth")
    warmup: int = Field(0, ge=0, le=1_000_000, description="epochs of linear warm-up")
    clip_norm: float = Field(10.0, ge=0, le=LARGEST, description="largest gradient norm (0: no clipping)")
    average: float = Field(0.0, ge=0, lt=1, description="decay per step of a moving average of the weights (0: none)")
    members: int = Field(
        1, ge=1, le=100, description="models trained side by side with a seed each; their scores are averaged"
    )
    member_parts: bool = Field(False, description="each member validates on another part of the videos")
    init: str | None = Field(None, description="run folder whose weights the training starts from (docs/app.md)")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of all random numbers")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: on a GPU bf16 where it is native, else TF32; float32 on the CPU"
    )
    compile: bool | None = Field(None, description="compile the temporal convolutions; unset: on CUDA")
    checkpointing: bool = Field(False, description="compute activations again in the backward pass: less memory")
    deterministic: bool = Field(False, description="deterministic operations wherever torch has them (docs/scaling.md)")
    select: str = Field("score", description="picks the checkpoint; score is the mean of accuracy, edit and F1@10")
    validate_every: int = Field(1, ge=1, le=1_000_000, description="epochs between validations")
    validate_from: float = Field(0.0, ge=0, lt=1, description="share of the epochs before the first validation")
    patience: int = Field(
        0, ge=0, le=1_000_000, description="stop after this many validations without a better one (0: never)"
    )
    loggers: tuple[str, ...] = Field((), description="tensorboard, wandb; CSV and JSONL are always written")


class EvaluationConfig(_Frozen):
    """How predictions are scored."""

    profile: str = Field("fact", description="whose rules: fact, mstcn, mstcn-legacy or ltcontext (docs/metrics.md)")
    count_background: bool = Field(True, description="whether background counts in edit and F1 (eval_bg)")

    @property
    def rules(self) -> dict[str, Any]:
        """Both, as arguments of `metrics.evaluate`."""
        return {"profile": self.profile, "count_background": self.count_background}


class Config(_Frozen):
    """Everything that makes a run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    text: TextConfig = TextConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    decode: DecodeConfig = DecodeConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @classmethod
    @public
    def load(cls, recipe: str | Path, overrides: Sequence[str] = ()) -> Config:
        """Read a recipe, by name (``configs/NAME.yaml``) or path, and apply ``key=value`` overrides.

        ``base=NAME`` among them replaces the recipe that this one builds on. A relative ``data.root`` of a recipe file
        starts from the file's folder if the data is there, else from the current folder, and so does the file of
        ``data.holdout``; those of an override start from the current folder.
        """
        overrides = settings_of(overrides)
        bases = [text.removeprefix("base=") for text in overrides if text.startswith("base=")]
        if bases and not bases[-1]:
            raise InputError("base=", "nothing; expected a recipe, by name or path")
        tree = read_recipe(recipe, base=bases[-1] if bases else None)
        return cls.overridden(tree, [text for text in overrides if not text.startswith("base=")], str(recipe))

    @classmethod
    def overridden(cls, tree: dict[str, Any], overrides: Sequence[str], where: str) -> Config:
        """Check a nested mapping with ``key=value`` overrides on top; an error names the override if it made it."""
        before = copy.deepcopy(tree)
        try:
            return cls.from_tree(with_overrides(tree, overrides), where)
        except InputError as error:
            if overrides:
                cls.from_tree(before, where)  # an error of the mapping itself comes first
            raise _of_override(error, overrides) from None

    @classmethod
    @public
    def from_tree(cls, tree: Mapping[str, Any], where: str) -> Config:
        """Check a nested mapping; ``where`` names it in errors."""
        if not isinstance(tree, Mapping):
            raise InputError(where, f"{tree!r}; expected a mapping of keys")
        _check_keys(cls, tree, where)
        return checked(cls, tree, where)

    def to_yaml(self) -> str:
        """The whole configuration, every key with its value."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


class ConfigError(InputError):
    """A key that does not exist (`unknown`), or one with a value that does not fit."""

    def __init__(self, where: Location | str | Path, problem: str, fix: str, key: str, unknown: bool = False) -> None:
        super().__init__(where, problem, fix)
        self.key, self.unknown = key, unknown

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.where, self.problem, self.fix, self.key, self.unknown)


def _of_override(error: InputError, overrides: Sequence[str]) -> InputError:
    """The error, with the override in place of the recipe where it names the key or value that the override gave."""
    if not isinstance(error, ConfigError):
        return error
    for override in reversed(overrides):
        key = override.partition("=")[0]
        if error.unknown and f"{key}.".startswith(f"{error.key}."):
            return InputError(override, error.problem, error.fix)
        if not error.unknown and f"{error.key}.".startswith(f"{key}."):
            return InputError("setting", error.problem, error.fix)
    return error


def checked_config(config: Any) -> Config:
    """The configuration; an InputError for anything else, and for a copy with values that do not fit.

    Pydantic's ``model_copy(update=...)`` looks at no value.
    """
    if not isinstance(config, Config):
        raise InputError("config", f"a {type(config).__name__}; expected a Config, as Config.load gives it")
    for name in Config.model_fields:
        value, section = getattr(config, name), Config.model_fields[name].annotation
        if isinstance(section, type) and not isinstance(value, section):
            todo = f"change single settings: Config.load(recipe, ['{name}.KEY=VALUE'])"
            raise InputError("config", f"{name} = {value!r}; expected settings, a {section.__name__}", todo)
    return Config.from_tree(config.model_dump(warnings=False), "config")


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], tree: Any, where: str | Path, todo: str = "", *, prefix: str = "") -> Model:
    """A tree as a model of pydantic; an InputError names the first value that does not fit."""
    try:
        if not model.model_config.get("strict"):
            return model.model_validate(tree)
        # JSON has no tuples, so that a list is one
        return model.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        key, value, expected = _fault(error, tree)
        key = f"{prefix}{key}"
        if not expected:
            raise ConfigError(where, f"no {key}", todo, key) from None
        problem = f"{key} = {value!r}; expected {expected}" if key else expected
        raise ConfigError(where, problem, _CHANGED.get(f"{key}={value}", todo), key) from None


# What people call the types of pydantic.
_TYPES = {
    "tuple_type": "a list, as [a, b]",
    "string_type": "a text, in quotes if it looks like a number or a truth value",
    "model_type": "a group of keys",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    **dict.fromkeys(("int_parsing", "int_from_float", "int_type", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    "string_pattern_mismatch": "a text without control characters",
}


def _fault(error: ValidationError, tree: Any) -> tuple[str, Any, str]:
    """The first key that does not fit, with its value and what would fit; the last is empty for a missing key.

    Where a value may be of several types, pydantic has an error for each, and their names among the keys.
    """
    faults = []
    for each in error.errors():
        keys, inner = list[str](), tree
        for part in each["loc"]:
            places = (
                inner if isinstance(inner, Mapping) else range(len(inner)) if isinstance(inner, list | tuple) else ()
            )
            if part in places:
                keys.append(str(part))
                inner = inner[part]
            elif each["type"] == "missing":
                keys.append(str(part))
        # names and patterns keep their case
        message = (each["msg"][:1].lower() + each["msg"][1:]).removeprefix("input should be ")
        expected = _TYPES.get(each["type"], message.removeprefix("value error, "))
        faults.append((".".join(keys), each["input"], "" if each["type"] == "missing" else expected))
    field = faults[0][0]
    longest = max((key for key, *_ in faults if key == field or key.startswith(f"{field}.")), key=len)
    own = [(value, expected) for key, value, expected in faults if key == longest]
    own = [each for each in own if "should have at least" not in each[1]] or own  # a list whose item does not fit
    return longest, own[0][0], " or ".join(dict.fromkeys(expected for _, expected in own))


# Keys and values of earlier versions.
_CHANGED = {
    "data.channels": "it is called data.objects now",
    "model.channels": "it is called model.objects now",
    "model.frame_weight": "it is called decode.frame_weight now",
    "data.holdout_mode=show": "it is called oracle now",
    **dict.fromkeys(
        ("dataset", "aux", "FACT", "Bi", "Bu", "BU", "Loss", "TM", "CLIP"),
        "published YAML files are read by scripts/train.py --cfg",
    ),
    **dict.fromkeys(("decode.method", "loss.prior", "model.key_width"), "it was removed: leave it out"),
    **dict.fromkeys((f"model.objects.{key}" for key in ("words", "layers", "heads", "dropout")), "it was removed"),
}


def _check_keys(model: type[BaseModel], tree: Mapping[str, Any], where: str, prefix: str = "") -> None:
    for name, value in tree.items():
        key, field = f"{prefix}{name}", model.model_fields.get(str(name))
        for one in value if isinstance(value, list | tuple) else (value,):
            _check_value(key, one, set() if field is None else _types(field.annotation), where)
        if field is None:
            todo = _CHANGED.get(key, f"did you mean {_nearest_key(str(name), model, prefix)}?")
            problem = f"unknown key {key}; expected one of {', '.join(model.model_fields)}"
            raise ConfigError(where, problem, todo, key, unknown=True)
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel) and isinstance(value, Mapping):
            _check_keys(nested, value, where, f"{key}.")
            if nested is BlockConfig:  # one that does not occur is dropped, but not its mistakes
                checked(nested, {name: own for name, own in value.items() if own is not None}, where, prefix=f"{key}.")
        elif nested is BlockConfig and value is not None:
            problem = f"{key} = {value!r}; expected a group of keys: {', '.join(BlockConfig.model_fields)}"
            raise ConfigError(where, problem, "", key)


def _nearest_key(name: str, model: type[BaseModel], prefix: str) -> str:
    """What a key that does not exist may have meant: one of its group, or one of this name in another group."""
    near = difflib.get_close_matches(name.lower(), model.model_fields, n=1, cutoff=0.0)[0]
    groups = [] if prefix else [(key, kind.annotation) for key, kind in model.model_fields.items()]
    inner = [
        f"{key}.{name}" for key, kind in groups if isinstance(kind, type) and name in getattr(kind, "model_fields", ())
    ]
    leaves = {key: group for group, kind in groups for key in getattr(kind, "model_fields", ())}
    if not inner and (close := difflib.get_close_matches(name, leaves, n=1, cutoff=0.8)):
        return f"{leaves[close[0]]}.{close[0]}"
    return inner[0] if inner else f"{prefix}{near}"


def _check_value(key: str, value: Any, types: set[Any], where: str) -> None:
    """An InputError for a value that YAML has made of what was meant, and for a text that no setting can be."""
    if isinstance(value, bool) and bool not in types and types & {int, float, str}:
        todo = "write names such as no, on and 12 in quotes" if str in types else ""
        expected = "a text" if todo else "a number"
        raise ConfigError(where, f"{key} = {json.dumps(value)}; expected {expected}", todo, key)
    if isinstance(value, bytes):
        raise ConfigError(where, f"{key} = {value!r}; expected a text", "", key)
    if value == "":
        raise ConfigError(where, f"{key} = ''; expected a text", "leave it out, or write null", key)
    if isinstance(value, str) and (len(value) > LONGEST_TEXT or printable(value) != value):
        expected = f"at most {LONGEST_TEXT:,} characters, without control characters"
        raise ConfigError(where, f"{key} = {shortened(value)!r}; expected {expected}", "", key)


def _types(annotation: Any) -> set[Any]:
    """The types that a field takes, alone or in a list."""
    return {annotation, *(inner for kind in get_args(annotation) for inner in _types(kind))}


def set_key(tree: dict[str, Any], keys: Sequence[str], value: Any, where: str) -> None:
    """Set the value of nested keys; an InputError where one of the outer ones has a value already.

    A group of keys is merged with what is there.
    """
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise InputError(where, f"{key!r} is a value, not a group of keys")
    before = tree.get(keys[-1])
    tree[keys[-1]] = merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value


def settings_of(overrides: Sequence[str]) -> Sequence[str]:
    """The ``key=value`` settings, which have to be a list of texts."""
    if isinstance(overrides, str) or not all(isinstance(override, str) for override in overrides):
        raise InputError("overrides", f"{overrides!r}; expected a list of key=value settings")
    return overrides


def with_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The tree of a recipe, changed by ``key=value`` settings; an InputError where one is malformed.

    Of a setting that is given twice the last one counts, and a group of settings is merged key by key.
    """
    for override in overrides:
        key, sep, value = override.partition("=")
        if not sep:
            raise InputError(override, "no '=' in the override; expected key=value, as in train.epochs=20")
        if not all(key.split(".")):
            raise InputError(override, f"no key {key!r}; expected key=value, as in train.epochs=20")
        torn = value[:1] in ("{", "[") and value[-1] not in "]}"  # by the shell, at a blank
        expected = "a value as in a recipe" + (f", and quotes around what has blanks: '{override} ...'" if torn else "")
        set_key(tree, key.split("."), value_of(key, value, key, expected), override)
    return tree


def value_of(key: str, text: str, where: str, expected: str = "a value as in a recipe") -> Any:
    """The value of a setting that was typed, as YAML reads it; a pattern begins with a brace, as a mapping does."""
    return text if key == "data.grammar" and text[:1] in ("{", "[") else parse_yaml(text, where, expected)


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read_recipe(recipe: str | Path, above: tuple[Path, ...] = (), base: str | None = None) -> dict[str, Any]:
    """The tree of a recipe, by name or path, merged into that of its base, or of another `base`.

    `above` are the files that build on this one, nearest last; a relative path starts from the last of them.
    """
    by_name = not str(recipe).endswith((".yaml", ".yml"))
    # unlike Path.is_dir it is no error for names that are too long
    if by_name and not above and str(recipe) not in recipes() and os.path.isdir(recipe):  # noqa: PTH112
        raise InputError(
            recipe, "a folder; expected a recipe, by name or the path of a YAML file", _recipe_in(Path(recipe))
        )
    if by_name and not above and str(recipe) not in recipes() and os.path.isfile(recipe):  # noqa: PTH113
        raise InputError(
            recipe, "a file that does not end in .yaml; expected a recipe, by name or the path of a YAML file"
        )
    path = RECIPES / f"{recipe}.yaml" if by_name else Path(recipe)
    if above and not by_name:
        path = above[-1].parent / path
    if (by_name or path.parent == RECIPES) and path.stem not in recipes():
        near = difflib.get_close_matches(str(recipe)[:100], recipes(), n=1, cutoff=0.4)
        todo = f"did you mean {near[0]!r}?" if near else "give one of them or the path of a YAML file"
        where, found = (above[-1], f"base {recipe}, no such recipe") if above else (recipe, "no such recipe")
        raise InputError(where, f"{found}; expected one of {', '.join(recipes())}", todo)
    check_file(path, "a YAML recipe")
    if path.resolve() in (file.resolve() for file in above):
        raise InputError(above[-1], f"base {recipe} is built on this file; expected a base without a circle")
    if len(above) > MOST_BASES:
        raise InputError(path, f"a base of {len(above)} recipes above it; expected {MOST_BASES} at most")
    tree = read_mapping(path, "a YAML recipe", may_be_empty=True)
    tree = {key: value for key, value in tree.items() if value is not None}  # a group whose keys are all comments
    _look_beside(path, tree)
    own = tree.pop("base", None)
    base = base or own
    if base is None:
        return tree
    if not isinstance(base, str) or not base or printable(base) != base:
        raise InputError(path, f"base = {base!r}; expected the name of a recipe, or the path of a YAML file")
    return merged(read_recipe(base, (*above, path)), tree)


def _recipe_in(folder: Path) -> str:
    """What to give where a folder was given for a recipe."""
    for name in ("config.yaml", "recipe.yaml"):  # of a run, and of a data set
        if (folder / name).is_file():
            return f"give {folder / name}"
    if (folder / "mapping.txt").is_file():
        quoted = shlex.quote(str(folder))
        return f"write one with: fact-clip data init {quoted}; or give folder data.root={quoted}"
    return ""


def _look_beside(path: Path, tree: Mapping[str, Any]) -> None:
    """Make a relative ``data.root`` or ``data.holdout`` absolute, in place, if it lies beside the recipe.

    What is in the current folder too counts there, unless what lies beside the recipe is a data set: a run keeps its
    configuration in a folder of its own.
    """
    data = tree.get("data")
    if not isinstance(data, dict):
        return
    root, holdout = data.get("root"), data.get("holdout")
    if isinstance(root, str) and not root.startswith("~"):
        beside = path.parent / root
        is_data = any((beside / part).exists() for part in ("mapping.txt", "groundTruth"))
        if beside.is_dir() and (is_data or not Path(root).is_dir()):
            data["root"] = str(beside.resolve())
    if isinstance(holdout, str) and not Path(holdout).is_file():
        beside = path.parent / holdout
        in_root = isinstance(root, str) and Path(data["root"], holdout).is_file()
        if beside.is_file() and not in_root:
            data["holdout"] = str(beside.resolve())


def merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """A new tree: `base` with what `top` adds or replaces, group by group."""
    result = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result
