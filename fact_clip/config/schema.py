"""Every key of the configuration with its default, bounds and meaning; docs/configuration.md is made from this file."""

from __future__ import annotations

import copy
import difflib
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fact_clip.config.recipes import read_recipe, set_key, with_overrides
from fact_clip.core import LEAST_FPS, MAX_FRAMES, MOST_FPS, ConfigKey, InputError, Location, plugins
from fact_clip.core.arguments import validated
from fact_clip.core.decode_settings import SwitchPenalty
from fact_clip.core.messages import printable

# Bounds far above what anybody means, and below what would fill a memory.
WIDEST = 65_536  # values a row inside a model
LARGEST = 1e6  # weights and costs

# of frames or pictures
Rate = Annotated[float, Field(ge=LEAST_FPS, le=MOST_FPS)]

Weight = Annotated[float, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Natural = Annotated[int, Field(ge=0, le=1_000_000)]
_one_or_more = BeforeValidator(lambda value: value if isinstance(value, list | tuple) else [value])


def _all_different(values: Any) -> Any:
    if isinstance(values, tuple) and len(set(values)) < len(values):
        raise ValueError("a list with each entry once")
    return values


_once = AfterValidator(_all_different)


def _block_letters(blocks: str) -> str:
    if blocks[:1] not in ("i", "I") or set(blocks[1:]) - {"u", "U"}:
        raise ValueError("one letter per block: i or I first, then u and U")
    return blocks


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_typed(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what YAML makes of names such as no and on, and text that no setting can be."""
        types = _types(cls.model_fields[str(info.field_name)].annotation)
        for entry in value if isinstance(value, list | tuple) else (value,):
            if isinstance(entry, bool) and bool not in types:
                raise ValueError("a text or a number; names such as no and on need quotes")
            if isinstance(entry, str) and (not entry or printable(entry) != entry):
                raise ValueError("a text without control characters")
        return value


def _types(annotation: Any) -> set[Any]:
    """Return the types that a field takes, alone or in a list."""
    return {annotation, *(inner for kind in get_args(annotation) for inner in _types(kind))}


class ObjectData(_Frozen):
    """Which feature columns belong to which named object.

    The file names O objects, one a line. The columns come in blocks: with ``blocks: [1, 2]`` columns 0 to O-1 are the
    first value of each object, and the next 2 O columns hold two values of each, object by object.
    """

    file: str | None = Field(
        None, description="names of the objects, one a line; under data.root. Unset: none"
    )
    find: bool | Literal["auto"] = Field(
        False, description="without a file: find objects in features; auto: if any"
    )
    blocks: tuple[Count, ...] = Field(
        (), max_length=100, description="values per object and block; unset: one block"
    )
    slot: str = Field("object", description="vocabulary slot whose words are names of objects")
    fixed: tuple[str, ...] = Field(
        (), description="objects that keep their identity, beside the words of other slots"
    )


class DataConfig(_Frozen):
    """Which videos are used, and how their features are read."""

    name: str = Field(
        "folder", description="entry of datasets/benchmarks.py; 'folder' is a data set of your own"
    )
    root: str | None = Field(
        None, description="folder of the data, or above it; else below $FACT_CLIP_DATA or ./data"
    )
    split: int | str = Field(
        1, description="number or name of the split; 'all' trains each in turn"
    )
    layout: Literal["TD", "DT"] | None = Field(
        None, description="time or channels first; unset: the benchmark's"
    )
    fps: float | None = Field(
        None, ge=LEAST_FPS, le=MOST_FPS, description="rows per second; unset: the benchmark's"
    )
    background: tuple[str, ...] | None = Field(
        None,
        description="names of background classes; unset: the benchmark's; own data, head 'text': by their names",
    )
    unlabelled: tuple[str, ...] = Field(
        (), description="names of labels that are ignored, beside '?'; no classes"
    )
    grammar: str | None = Field(
        None, description="how names are read: '{verb} {object} [with {tool}]', or english"
    )
    stride: Count = Field(
        1, description="temporal stride; labels by majority, predictions stretched back"
    )
    interleave: bool = Field(
        False, description="with a stride: train from any first row; predict from each and merge"
    )
    standardize: bool = Field(
        False, description="scale columns to mean 0 and variance 1 over the training videos"
    )
    context: Annotated[tuple[Count, ...], _once] = Field(
        (),
        max_length=16,
        description="windows in frames whose mean and deviation become columns too",
    )
    objects: ObjectData = ObjectData()
    holdout: str | tuple[str | int, ...] | None = Field(
        None, description="held-out classes: JSON file, name or list"
    )
    holdout_mode: Literal["mask", "drop", "oracle"] | None = Field(
        None,
        description="mask frames, drop videos, or hide nothing (upper bound); unset: as in the JSON, else mask",
    )
    validation_unseen: Literal["auto"] | tuple[str, ...] | None = Field(
        None,
        description="held-out classes that choose settings; auto: chosen where the hold-out names none",
    )
    validation: float = Field(
        0.15, ge=0, le=0.5, description="share of the training videos that picks the checkpoint"
    )
    validation_part: Natural = Field(
        0, description="which of the disjoint parts of that size is used"
    )
    groups: str | None = Field(
        None, description="pattern whose parentheses find subjects, which no two parts share"
    )
    tolerance: Share = Field(
        0.01, description="share by which features and labels may differ in length"
    )
    tolerance_frames: int = Field(
        10, ge=0, le=1_000_000_000, description="or this many frames, if that is more"
    )


class BlockConfig(_Frozen):
    """Sizes of one kind of block (docs/method.md, 'Blocks')."""

    hidden: Width = Field(512, description="H, width of what blocks pass on")
    dropout: Part = Field(0.0, description="dropout in both branches")
    frame: Literal["m", "m2"] = Field("m2", description="frame branch: MS-TCN (m) or MS-TCN++ (m2)")
    frame_dim: Width = Field(512, description="F, width inside the frame branch")
    frame_layers: int = Field(10, ge=1, le=16, description="layers of the frame branch")
    frame_norm: bool = Field(False, description="LayerNorm over channels after each layer of 'm'")
    frame_groups: Width = Field(1, description="groups of the dilated convolution of 'm'")
    action: Literal["sca", "sa", "gru_om"] = Field(
        "sca",
        description="action branch: self- and cross-attention, self-attention alone, or a GRU over a transcript",
    )
    action_dim: Width = Field(512, description="A, width inside the action branch")
    action_layers: int = Field(6, ge=1, le=100, description="layers of the action branch")
    heads: int = Field(8, ge=1, le=1_000, description="attention heads of the action branch")
    feedforward: Width = Field(512, description="width of its feed-forward layers")
    segment_layers: int = Field(1, ge=1, le=100, description="layers of the segment GRU in 'U'")


# what a block does not inherit from the one before it
_NOT_INHERITED: dict[str, Any] = {
    "action": "sa",
    "action_layers": 1,
    "frame_layers": 5,
    "segment_layers": 1,
}
BLOCK_OF_LETTER = {"i": "input", "I": "input", "u": "update", "U": "pooled"}


class AlignmentConfig(_Frozen):
    """FACT-CLIP's alignment of frames to class texts (head 'fact-clip')."""

    temperature: float = Field(
        0.07, gt=0, le=1_000, description="temperature of the cosine similarities"
    )
    projection_dim: Width = Field(512, description="hidden width of the projection")
    dropout: Part = Field(0.1, description="dropout in the projection")


class ObjectConfig(_Frozen):
    """Object columns; used where ``data.objects`` names a file or finds them."""

    hidden: Width = Field(32, description="width of the network that all objects share")
    width: Width = Field(16, description="width of an object's evidence")


class SimilarityConfig(_Frozen):
    """Similarity of frames and names (head 'similarity')."""

    channels: Width = Field(16, description="width of the network that all candidates share")
    layers: int = Field(4, ge=0, le=16, description="its dilated layers")
    windows: tuple[Count, ...] = Field(
        (5, 25), description="rows over which similarities are smoothed"
    )
    map: bool = Field(
        False, description="learn a linear map from frames to texts, at first the identity"
    )
    text: Weight = Field(0.0, description="weight of the text head's scores beside the evidence")


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
    update: BlockConfig = BlockConfig(**_NOT_INHERITED)
    pooled: BlockConfig = BlockConfig(**_NOT_INHERITED)

    @property
    def is_open(self) -> bool:
        """Return whether the head scores candidates by their texts, so that any name can be one."""
        if self.head in ("closed", "verb-noun", "fact-clip"):
            return False
        return self.head in ("text", "similarity") or plugins.flag(
            "fact_clip.heads", self.head, "is_open"
        )

    @property
    def reads_text(self) -> bool:
        """Return whether the head is made from vectors of class names; FACT-CLIP's scores trained classes alone."""
        return self.is_open or self.head == "fact-clip"

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        base, blocks = _set_values(values.get("input")), {}
        used = _used_blocks(str(values.get("blocks", "iuUU")))
        for name in dict.fromkeys([*used, "update", "pooled"]):
            block = values.get(name)
            if name == "input" or not isinstance(
                block, Mapping | BaseModel | None
            ):  # pydantic refuses it
                continue
            blocks[name] = {**base, **_NOT_INHERITED, **_set_values(block)}
            base = blocks[name] if name in used else base
        return {**values, **blocks}

    @model_validator(mode="after")
    def _reset_unused(self) -> ModelConfig:
        """Give a block that does not occur the sizes of the one before, so that equal models are equal values."""
        used = _used_blocks(self.blocks)
        values = getattr(self, used[-1]).model_dump() | _NOT_INHERITED
        for name in {"update", "pooled"} - {*used}:
            object.__setattr__(self, name, BlockConfig(**values))
        return self


def _used_blocks(letters: str) -> list[str]:
    """Return the blocks of a model, each once, in the order in which sizes are inherited."""
    return list(dict.fromkeys(BLOCK_OF_LETTER.get(letter, "input") for letter in letters)) or [
        "input"
    ]


def _set_values(block: Any) -> dict[str, Any]:
    values = block.model_dump() if isinstance(block, BaseModel) else block
    return (
        {key: value for key, value in values.items() if value is not None}
        if isinstance(values, Mapping)
        else {}
    )


class TextConfig(_Frozen):
    """How class names become vectors (heads 'text' and 'fact-clip')."""

    encoder: str = Field(
        "minilm", description="minilm, hash:64, open_clip:MODEL/WEIGHTS, file:PATH; see encoders/"
    )
    parts: (
        Literal["auto"]
        | Annotated[tuple[Literal["sentence", "factors"], ...], Field(min_length=1), _once]
    ) = Field(
        ("sentence",),
        description="vectors of a class; auto: the sentence, and factors where names have several slots",
    )
    templates: str = Field(
        "plain", description="prompts around the name: entry of TEMPLATES in text/prompts.py"
    )
    phrase: str = Field(
        "name", description="how class names are read: entry of PHRASES in text/prompts.py"
    )


class LossConfig(_Frozen):
    """Matching and loss (docs/method.md, 'Matching and loss')."""

    match: Literal["o2o", "o2m", "seq"] = Field(
        "o2o", description="one to one, one to many, or by a transcript"
    )
    class_cost: Weight = Field(
        0.2, description="weight of the class probability in the matching cost (pc)"
    )
    overlap_cost: Weight = Field(
        1.0, description="weight of the attention overlap in the matching cost (a2fc)"
    )
    smoothing: Weight = Field(5.0, description="weight of the smoothing term (sw)")
    token_weight: Weight = Field(
        1.0, description="weight of the terms of tokens and attention beside that of frames"
    )
    background_weight: Weight = Field(1.0, description="weight of background classes (bgw)")
    null_weight: float = Field(
        -1.0, ge=-1, le=LARGEST, description="weight of the null class; -1: by tokens, segments"
    )
    balance: Share = Field(0.0, description="a class of n frames weighs n^-this, scaled to mean 1")
    segment_balance: Share = Field(
        0.0, description="the same for a segment of n frames within its video"
    )
    fact_weight: Weight = Field(0.5, description="head 'fact-clip': weight of the FACT loss")
    contrastive_weight: Weight = Field(
        0.5, description="head 'fact-clip': weight of the InfoNCE loss"
    )


class AugmentConfig(_Frozen):
    """Changes to the input while training."""

    channels: Part = Field(
        0.3, description="share of feature columns zeroed for a whole video (cmr)"
    )
    noise: float = Field(
        0.0, ge=0, le=100, description="deviation of the Gaussian noise that is added to each value"
    )
    swap: Annotated[tuple[Share, ...], _one_or_more] = Field(
        (0.0,),
        min_length=1,
        max_length=100,
        description="share of steps that swap named objects; or one per member",
    )
    speed: float = Field(
        0.0, ge=0, le=100, description="play each video up to (1 + this) times faster or slower"
    )
    time_spans: int = Field(
        5, ge=0, le=10_000, description="number of time spans that are zeroed, at most (0: none)"
    )
    time_length: int = Field(
        30, ge=1, le=1_000_000_000, description="a span is shorter than this many frames"
    )
    time_share: Share = Field(0.05, description="... and at most this share of the video")


class DecodeConfig(_Frozen):
    """From the model's scores to segments."""

    frame_weight: Share = Field(
        0.1, description="weight of the frame voter against the token voter (mwt)"
    )
    blocks: Literal["last", "all"] = Field(
        "last", description="frame voter: the last block or the mean of all"
    )
    switch_penalty: SwitchPenalty = Field(
        0.0, description="cost in nats of changing the action (0: each frame alone)"
    )
    order: Weight = Field(
        0.0, description="how far the penalty depends on how often one action followed the other"
    )
    window: int = Field(
        0, ge=0, le=MAX_FRAMES, description="frames per pass over a long video (0: one pass)"
    )
    overlap: int | None = Field(
        None, ge=0, le=MAX_FRAMES, description="frames two passes share; unset: layers' reach"
    )
    training_free: Part = Field(
        0.0, description="share of training-free scores (docs/protocol.md, 'Mixed scores')"
    )
    factor_weight: Weight = Field(
        0.0, description="weight of the words of frames around; docs/method.md, 'Decoding'"
    )
    factor_frames: float = Field(
        15.0, gt=0, le=1_000_000, description="... deviation in frames of their Gaussian"
    )
    prior_weight: Weight = Field(
        0.0, description="classes held out: share of log p(class) that is subtracted"
    )
    prior: Literal["factors", "frames", "posterior", "frames+posterior"] = Field(
        "factors", description="where p(class) comes from (docs/protocol.md)"
    )
    gamma_rule: Literal["none", "cost", "harmonic"] = Field(
        "cost", description="choice of gamma (docs/protocol.md)"
    )
    gamma_cost: Part = Field(
        0.15, description="rule 'cost': share of seen accuracy that may be lost"
    )


class TrainConfig(_Frozen):
    """Optimisation."""

    epochs: Count = Field(150, description="passes over the training videos")
    batch_size: int = Field(
        4, ge=1, le=100_000, description="videos per step, for each process of torchrun"
    )
    similar_lengths: bool = Field(
        False, description="batches of videos of similar length, so that less is padding"
    )
    workers: int | None = Field(
        None, ge=0, le=1_000, description="processes that read videos; unset: CUDA 4, else 0"
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="sgd has momentum 0.9")
    lr: float = Field(1e-4, gt=0, le=1_000, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, le=1_000, description="weight decay")
    schedule: Literal["step", "cosine", "constant"] = Field(
        "step", description="course of the learning rate"
    )
    lr_decay: Count = Field(
        80, description="'step': epochs until the learning rate falls to a tenth"
    )
    warmup: Natural = Field(0, description="epochs of linear warm-up")
    clip_norm: Weight = Field(10.0, description="largest gradient norm (0: no clipping)")
    average: Part = Field(
        0.0, description="decay per step of a moving average of the weights (0: none)"
    )
    members: int = Field(
        1, ge=1, le=100, description="models trained side by side, a seed each; scores are averaged"
    )
    member_parts: bool = Field(
        False, description="members validate on videos, and hide chosen classes, of their own"
    )
    init: str | None = Field(
        None, description="run folder whose weights the training starts from (docs/app.md)"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of all random numbers")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 or TF32 on GPUs"
    )
    compile: bool | None = Field(
        None, description="compile the temporal convolutions; unset: on CUDA"
    )
    checkpointing: bool = Field(
        False, description="compute activations again in the backward pass: less memory"
    )
    deterministic: bool = Field(
        False, description="deterministic operations wherever torch has them (docs/scaling.md)"
    )
    select: str = Field(
        "score", description="picks the checkpoint; score is the mean of accuracy, edit and F1@10"
    )
    validate_every: Count = Field(1, description="epochs between validations")
    validate_from: Part = Field(0.0, description="share of the epochs before the first validation")
    patience: Natural = Field(
        0, description="stop after this many validations without a better one (0: never)"
    )
    loggers: tuple[str, ...] = Field(
        (), description="tensorboard, wandb; CSV and JSONL are always written"
    )


class EvaluationConfig(_Frozen):
    """How predictions are scored."""

    profile: str = Field(
        "fact", description="whose rules: fact, mstcn, mstcn-legacy or ltcontext (docs/metrics.md)"
    )
    count_background: bool = Field(
        True, description="whether background counts in edit and F1 (eval_bg)"
    )

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
    @validated()
    def load(cls, recipe: str | Path, overrides: Sequence[str] = ()) -> Config:
        """Read a recipe, by name (``configs/NAME.yaml``) or path, and apply ``key=value`` overrides.

        ``base=NAME`` among them replaces the recipe that this one builds on. A relative ``data.root`` of a recipe file
        starts from the file's folder if the data is there, else from the current folder, and so does the file of
        ``data.holdout``; those of an override start from the current folder.
        """
        bases = [text.removeprefix("base=") for text in overrides if text.startswith("base=")]
        tree = read_recipe(recipe, base=bases[-1] if bases else None)
        return cls.overridden(
            tree, [text for text in overrides if not text.startswith("base=")], str(recipe)
        )

    @classmethod
    def overridden(cls, tree: dict[str, Any], overrides: Sequence[str], where: str) -> Config:
        """Check a nested mapping with ``key=value`` overrides on top; an error names the key that an override set."""
        before = copy.deepcopy(tree)
        tree = with_overrides(tree, overrides)
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            cls.from_tree(before, where)  # an error of the mapping itself comes first
            key, problem, fix = _first_fault(cls, error, tree)
            raise InputError(ConfigKey(key), problem, fix) from None

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], where: str) -> Config:
        """Check a nested mapping; ``where`` names it in errors."""
        return checked(cls, tree, where)

    def to_yaml(self) -> str:
        """Return the complete configuration, every key with its value."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


Model = TypeVar("Model", bound=BaseModel)


def with_values(config: Config, values: Mapping[str, Any], where: str = "") -> Config:
    """Return the configuration with some keys (with dots) set to other values, checked as those of a recipe are."""
    if not values:
        return config
    tree = config.model_dump(mode="json")
    for key, value in values.items():
        set_key(tree, key.split("."), value, key)
    return Config.from_tree(tree, where or ", ".join(values))


def checked(model: type[Model], tree: Any, where: Location) -> Model:
    """Return a tree as a model of pydantic; an InputError names the first value that does not fit."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        key, problem, fix = _first_fault(model, error, tree)
        raise InputError(where, f"{key}: {problem}" if key else problem, fix) from None


_PUBLISHED = (
    "dataset",
    "aux",
    "FACT",
    "Bi",
    "Bu",
    "BU",
    "Loss",
    "TM",
    "CLIP",
)  # groups of the published YAML files


def _first_fault(model: type[BaseModel], error: ValidationError, tree: Any) -> tuple[str, str, str]:
    """Return the key of the first value that does not fit, what is wrong with it, and what to do."""
    fault, keys, inner = error.errors()[0], list[str](), tree
    for part in fault[
        "loc"
    ]:  # where a value may be of several types, their names are among the parts
        if (
            part in inner
            if isinstance(inner, Mapping)
            else isinstance(inner, list | tuple) and isinstance(part, int)
        ):
            keys.append(str(part))
            inner = inner[part]
    key = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        nearest = {full.rpartition(".")[2]: full for full in _keys(model)} | {
            full: full for full in _keys(model)
        }
        (closest,) = difflib.get_close_matches(key[:100], nearest, n=1, cutoff=0.0)
        published = "published YAML files are read by scripts/train.py --cfg"
        return (
            key,
            "unknown key",
            published if key in _PUBLISHED else f"did you mean {nearest[closest]}?",
        )
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return key, f"{reprlib.repr(fault['input'])} is not {message}", ""


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the keys of a group with dots, those of its groups after them."""
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{key}" for key in _keys(field.annotation))
