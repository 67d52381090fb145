"""Every key of the configuration with its default, bounds and meaning.

docs/configuration.md is generated from this file.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

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
)

from fact_clip.config.faults import first_fault, validate_tree
from fact_clip.config.recipes import (
    NOT_INHERITED,
    drop_inherited,
    inherit_blocks,
    read_recipe,
    set_key,
    split_base,
    with_overrides,
)
from fact_clip.config.rows import frames_per_row, penalty_of_rows
from fact_clip.core import MAX_FPS, MAX_FRAMES, MIN_FPS, Json, Names
from fact_clip.core.arguments import validated
from fact_clip.core.messages import printable
from fact_clip.core.paths import expanded

logger = logging.getLogger(__name__)

# Bounds far above any sensible value, and below values that would fill the memory.
WIDEST = 65_536  # values per row inside a model
LARGEST = 1e6  # weights and costs

Rate = Annotated[float, Field(ge=MIN_FPS, le=MAX_FPS)]  # of rows or video frames
Weight = Annotated[float, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Natural = Annotated[int, Field(ge=0, le=1_000_000)]

TEXTLESS_HEADS = ("closed", "verb-noun")
"""Built-in heads that do not read class names. For other heads, `models.heads` decides."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _check_unique(values: Any) -> Any:
    if isinstance(values, tuple) and len(set(values)) < len(values):
        raise ValueError("a list without duplicates")
    return values


def _check_block_letters(blocks: str) -> str:
    if blocks[:1] not in ("i", "I") or set(blocks[1:]) - {"u", "U"}:
        raise ValueError("one letter per block: i or I first, then u and U")
    return blocks


def _types(annotation: Any) -> set[Any]:
    """Return the types that a field accepts, directly or in a list."""
    types = {annotation}
    for part in get_args(annotation):
        types |= _types(part)
    return types


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_raw(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject names that YAML converts, such as no and on, and unprintable characters."""
        types = _types(cls.model_fields[str(info.field_name)].annotation)
        for item in _as_list(value):
            if isinstance(item, bool) and bool not in types:
                raise ValueError("a text or a number; names such as no and on need quotes")
            if isinstance(item, str) and (not item or printable(item) != item):
                raise ValueError("a text without control characters")
        return value


class ObjectData(_Frozen):
    """The feature columns that belong to each named object.

    The file lists O objects, one per line. The columns come in blocks: with ``blocks: [1, 2]``,
    columns 0 to O-1 are the first value of each object, and the next 2 O columns contain two values
    for each object in turn.
    """

    file: str | None = Field(
        None,
        description="file below data.root with one object name per line. find: search the features "
        "for objects; auto: only if there are any; unset: none",
    )
    blocks: tuple[Count, ...] = Field(
        (), max_length=100, description="values per object and block; unset: one block"
    )
    fixed: Names = Field(
        (),
        description="objects that keep their identity, in addition to the factors of other slots",
    )
    names: tuple[str | None, ...] = Field(
        (),
        description="names of found objects, null for an object without a name; an ensemble with "
        "train.member_parts stores them, so that all members have the same names",
    )
    columns: tuple[tuple[Natural, ...], ...] = Field(
        (), description="columns of each of these objects"
    )

    @property
    def names_file(self) -> str | None:
        """Return the file of the names, or None without one."""
        return None if self.file in ("find", "auto") else self.file


def _expanded(path: Any) -> Any:
    return str(expanded(path)) if isinstance(path, str) else path


class DataConfig(_Frozen):
    """Which videos are used, and how their features are read."""

    name: str = Field(
        "folder",
        description="entry of datasets/benchmarks.yaml; 'folder' is your own data set",
    )
    root: Annotated[str | None, AfterValidator(_expanded)] = Field(
        None,
        description="folder of the data set, or a folder that contains it; unset: below "
        "$FACT_CLIP_DATA or ./data",
    )
    split: int | str = Field(1, description="number or name of the split; 'all' trains every split")
    layout: Literal["TD", "DT"] | None = Field(
        None, description="time or channels first; unset: the layout of the benchmark"
    )
    fps: float | None = Field(
        None,
        ge=MIN_FPS,
        le=MAX_FPS,
        description="rows per second; unset: the rate of the benchmark or of the JSON files",
    )
    background: Names | None = Field(
        None,
        description="names of background classes; unset: names of the benchmark, or inferred from "
        "the names",
    )
    unlabelled: Names = Field(
        (), description="labels that are ignored, such as '?'; they are not classes"
    )
    grammar: str | None = Field(
        None, description="how names are divided: '{verb} {object} [with {tool}]', english or none"
    )
    stride: Count = Field(
        1, description="temporal stride; labels by majority, predictions stretched to all frames"
    )
    interleave: bool = Field(
        False,
        description="with a stride: training starts at any of the first rows, prediction merges "
        "all of them",
    )
    standardize: bool = Field(
        False, description="scale columns to mean 0 and variance 1 over the training videos"
    )
    context: Annotated[tuple[Count, ...], AfterValidator(_check_unique)] = Field(
        (),
        max_length=16,
        description="windows in frames; their mean and standard deviation become additional "
        "columns",
    )
    objects: ObjectData = ObjectData()
    holdout: str | tuple[str | int, ...] | None = Field(
        None, description="held-out classes: a JSON file, a name or a list"
    )
    holdout_mode: Literal["mask", "drop", "oracle"] | None = Field(
        None,
        description="mask frames, drop videos, or hide nothing (upper bound); unset: as in the "
        "file, or mask",
    )
    validation_unseen: Literal["auto"] | Names | None = Field(
        None,
        description="held-out classes on which the epoch and gamma are chosen; auto: chosen if the "
        "hold-out file names none",
    )
    drafts: Annotated[str | None, AfterValidator(_expanded)] = Field(
        None,
        description="folder of NAME.txt with labels of a model for unlabelled training frames; "
        "train.self_training writes it",
    )
    validation: float = Field(
        0.15, ge=0, le=0.5, description="share of the training videos on which the epoch is chosen"
    )
    validation_part: Natural = Field(
        0, description="which of the disjoint parts of this size is used"
    )
    validation_videos: Annotated[Names | None, AfterValidator(_check_unique)] = Field(
        None,
        description="names of the validation videos; unset: chosen by the related settings. An "
        "ensemble with train.member_parts stores the names for each member",
    )
    groups: str | None = Field(
        None,
        description="pattern whose parentheses find the subject; the videos of a subject are never "
        "divided",
    )

    @property
    def has_untrained_classes(self) -> bool:
        """Return whether training learns nothing of some classes: held out, without drafts."""
        return self.holdout is not None and self.drafts is None


class BlockConfig(_Frozen):
    """Sizes of one kind of block (docs/method.md, 'Blocks')."""

    hidden: Width = Field(512, description="H, width between blocks")
    dropout: Part = Field(0.0, description="dropout in both branches")
    frame: Literal["m", "m2"] = Field("m2", description="frame branch: MS-TCN (m) or MS-TCN++ (m2)")
    frame_dim: Width = Field(512, description="F, width inside the frame branch")
    frame_layers: int = Field(10, ge=1, le=16, description="layers of the frame branch")
    frame_norm: bool = Field(False, description="LayerNorm over channels after each layer of 'm'")
    frame_groups: Width = Field(1, description="groups of the dilated convolution of 'm'")
    action: Literal["sca", "sa", "gru_om"] = Field(
        "sca",
        description="action branch: self- and cross-attention, only self-attention, or a GRU over "
        "a transcript",
    )
    action_dim: Width = Field(512, description="A, width inside the action branch")
    action_layers: int = Field(6, ge=1, le=100, description="layers of the action branch")
    heads: int = Field(8, ge=1, le=1_000, description="attention heads of the action branch")
    feedforward: Width = Field(512, description="width of its feed-forward layers")
    segment_layers: int = Field(1, ge=1, le=100, description="layers of the segment GRU in 'U'")


class AlignmentConfig(_Frozen):
    """FACT-CLIP's alignment of frames to class texts (head 'fact-clip')."""

    temperature: float = Field(
        0.07, gt=0, le=1_000, description="temperature of the cosine similarities"
    )
    projection_dim: Width = Field(512, description="hidden width of the projection")
    dropout: Part = Field(0.1, description="dropout in the projection")


class ModelConfig(_Frozen):
    """The FACT model. Missing keys of ``update`` and ``pooled`` come from the block before them."""

    blocks: Annotated[str, AfterValidator(_check_block_letters)] = Field(
        "iuUU", max_length=32, description="one letter per block: i or I first, then u and U"
    )
    tokens: int = Field(
        60, ge=0, le=10_000, description="M, the number of action tokens (0 with a transcript)"
    )
    head: str = Field("closed", description="entry of models/heads.py")
    frame_positions: bool = Field(False, description="sinusoidal frame positions")
    transcript: bool = Field(False, description="tokens are the classes of a given transcript")
    alignment: AlignmentConfig = AlignmentConfig()
    input: BlockConfig = BlockConfig()
    update: BlockConfig = BlockConfig(**NOT_INHERITED)
    pooled: BlockConfig = BlockConfig(**NOT_INHERITED)


TextParts = Annotated[
    tuple[Literal["sentence", "factors"], ...],
    Field(min_length=1),
    AfterValidator(_check_unique),
]


class TextConfig(_Frozen):
    """How class names become vectors (heads 'text' and 'fact-clip')."""

    encoder: str = Field(
        "minilm",
        description="minilm, hash:64, open_clip:MODEL/WEIGHTS or file:PATH (docs/encoders.md)",
    )
    parts: Literal["auto"] | TextParts = Field(
        ("sentence",),
        description="vectors of a class; auto: the sentence, and factors if names have several "
        "slots",
    )
    phrase: str = Field(
        "name", description="how class names are read, an entry of PHRASES in encoders/vectors.py"
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
        1.0,
        description="weight of the token and attention terms; the weight of the frame terms is 1",
    )
    background_weight: Weight = Field(1.0, description="weight of background classes (bgw)")
    null_weight: float = Field(
        -1.0,
        ge=-1,
        le=LARGEST,
        description="weight of the null class; -1: computed from the numbers of tokens and "
        "segments",
    )
    balance: Share = Field(
        0.0, description="exponent b: a class of n frames has the weight n^-b, scaled to mean 1"
    )
    segment_balance: Share = Field(
        0.0,
        description="exponent b: a segment of n frames has the weight n^-b, scaled within its "
        "video",
    )
    fact_weight: Weight = Field(0.5, description="head 'fact-clip': weight of the FACT loss")
    contrastive_weight: Weight = Field(
        0.5, description="head 'fact-clip': weight of the InfoNCE loss"
    )
    terms: Names = Field(
        (), description="additional terms that a program registers (docs/extending.md)"
    )


class AugmentConfig(_Frozen):
    """Changes to the input while training."""

    channels: Part = Field(
        0.3, description="share of feature columns that are set to zero for a whole video (cmr)"
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=100,
        description="standard deviation of the Gaussian noise that is added to each value",
    )
    swap: Annotated[tuple[Share, ...], BeforeValidator(_as_list)] = Field(
        (0.0,),
        min_length=1,
        max_length=100,
        description="share of steps that swap named objects, or one share per member",
    )
    speed: float = Field(
        0.0, ge=0, le=100, description="s: each video is played up to 1 + s times faster or slower"
    )
    time_spans: int = Field(
        5,
        ge=0,
        le=10_000,
        description="largest number of time spans that are set to zero (0: none)",
    )
    time_length: int = Field(
        30, ge=1, le=1_000_000_000, description="a span is shorter than this many frames"
    )
    time_share: Share = Field(0.05, description="a span has at most this share of the video")


class DecodeConfig(_Frozen):
    """From the model's scores to segments."""

    frame_weight: Share = Field(
        0.1, description="weight of the frame branch compared with the token branch (mwt)"
    )
    blocks: Literal["last", "all"] = Field(
        "last", description="frame scores: the last block, or the mean of all"
    )
    switch_penalty: Weight = Field(
        0.0, description="cost of a change of action in nats (0: each frame is labelled separately)"
    )
    choose: bool = Field(
        False,
        description="switch_penalty and order are chosen on validation videos, starting from these "
        "values",
    )
    order: Weight = Field(
        0.0,
        description="how much the penalty depends on the order of actions in the training videos",
    )
    durations: Weight = Field(
        0.0, description="weight of the lengths of the training segments of each class"
    )
    always: bool = Field(
        False,
        description="adds actions that occur in nearly all training videos, including steps that a "
        "person left out",
    )
    returns: bool = Field(
        False, description="actions that rarely occur twice in a training video occur only once"
    )
    window: int = Field(
        0, ge=0, le=MAX_FRAMES, description="frames per pass over a long video (0: one pass)"
    )
    factor_weight: Weight = Field(
        0.0, description="weight of the factors of nearby frames; docs/method.md, 'Decoding'"
    )
    prior_weight: Weight = Field(
        0.0, description="with held-out classes: share of log p(action) that is subtracted"
    )
    gamma_cost: Part = Field(
        0.15,
        description="with held-out classes: share of the accuracy of seen classes that gamma may "
        "cost",
    )


class TrainConfig(_Frozen):
    """Optimisation."""

    epochs: Count = Field(150, description="passes over the training videos")
    batch_size: int = Field(
        4, ge=1, le=100_000, description="videos per step, for each process of torchrun"
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=1_000,
        description="processes that read videos; unset: 4 with CUDA, otherwise 0",
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="sgd has momentum 0.9")
    lr: float = Field(1e-4, gt=0, le=1_000, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, le=1_000, description="weight decay")
    schedule: Literal["step", "cosine", "constant"] = Field(
        "step", description="schedule of the learning rate"
    )
    lr_decay: Count = Field(80, description="'step': epochs until the rate falls to a tenth")
    clip_norm: Weight = Field(10.0, description="largest gradient norm (0: no clipping)")
    average: Part = Field(
        0.0, description="highest decay per step of a moving average of the weights (0: none)"
    )
    members: int = Field(
        1,
        ge=1,
        le=100,
        description="number of models, each with its own seed; their scores are averaged",
    )
    member_parts: bool = Field(
        False,
        description="each member has its own validation videos and validation-unseen classes",
    )
    init: str | None = Field(
        None, description="run folder whose weights training starts from (docs/sharing.md)"
    )
    self_training: bool | str = Field(
        False,
        description="a teacher labels unlabelled training frames (docs/protocol.md): true, its "
        "recipe, or a run folder",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of all random numbers")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 or TF32 on GPUs"
    )
    validate_every: Count = Field(1, description="epochs between validations")
    validate_from: Part = Field(0.0, description="share of the epochs before the first validation")
    loggers: Names = Field(
        (),
        description="tensorboard, wandb, mlflow or comet_ml; CSV and JSONL files are always "
        "written",
    )


class EvaluationConfig(_Frozen):
    """How predictions are scored."""

    profile: str = Field(
        "fact",
        description="scoring rules: fact, mstcn, mstcn-legacy or ltcontext (docs/metrics.md)",
    )
    count_background: bool = Field(
        True, description="whether background counts in edit and F1 (eval_bg)"
    )

    @property
    def rules(self) -> Json:
        """Return the settings as arguments of `metrics.evaluate`."""
        return {"profile": self.profile, "count_background": self.count_background}


class Config(_Frozen):
    """All settings of a run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    text: TextConfig = TextConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    decode: DecodeConfig = DecodeConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def __init__(self, /, **groups: Any) -> None:
        """Create a configuration. For a wrong value, an InputError names its key."""
        try:
            super().__init__(**groups)
        except ValidationError as error:
            raise first_fault(Config, error, groups) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # not in model_validate

    @classmethod
    @validated()
    def load(cls, recipe: str | Path, overrides: Sequence[str] = ()) -> Config:
        """Read a recipe and apply ``key=value`` overrides.

        In a recipe file, relative paths in ``data.root`` and ``data.holdout`` start from the file's
        folder if they exist there, and otherwise from the current folder. In an override, they
        start from the current folder.

        Args:
            recipe: Name (``configs/NAME.yaml``) or path of the recipe.
            overrides: Settings ``key=value``. ``base=NAME`` replaces the recipe that this recipe
                builds on.

        Returns:
            The configuration.

        Raises:
            InputError: A file cannot be read, or a key or a value is invalid.
        """
        base, settings = split_base(overrides)
        return cls.from_tree(read_recipe(recipe, base=base), str(recipe)).overridden(settings)

    def overridden(self, overrides: Sequence[str]) -> Config:
        """Return the configuration with ``key=value`` overrides. Errors name the key.

        If the sizes of two consecutive model blocks are equal, changing the first also changes the
        second. If a different stride changes the frames per row, the switching penalty is
        converted, unless an override sets it.
        """
        if not overrides:
            return self
        config = Config.from_tree(with_overrides(self._tree(), overrides), "")
        penalty = self.decode.switch_penalty
        if any(
            override.startswith(("decode.switch_penalty=", "decode=")) for override in overrides
        ):
            return config
        frames = [frames_per_row(data.stride, data.interleave) for data in (self.data, config.data)]
        if not penalty or frames[0] == frames[1]:
            return config
        converted = penalty_of_rows(penalty, *frames)
        logger.info(
            "decode.switch_penalty is %g instead of %g, since a row has %d frames instead of %d",
            *(converted, penalty, frames[1], frames[0]),
        )
        return with_values(config, {"decode.switch_penalty": converted})

    def _tree(self) -> Json:
        """Return the settings without sizes of model blocks that equal the previous block's."""
        tree = self.model_dump(mode="json")
        drop_inherited(tree["model"])
        return tree

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], where: str) -> Config:
        """Return a configuration from a nested mapping. `where` is the location for errors."""
        return validate_tree(cls, inherit_groups(tree), where)

    def to_yaml(self) -> str:
        """Return the complete configuration, with the value of every key."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def inherit_groups(tree: Mapping[str, Any]) -> Json:
    """Return the settings with the missing keys of model blocks inherited."""
    model = tree.get("model")
    if not isinstance(model, Mapping):
        return dict(tree)
    return {**tree, "model": inherit_blocks(model)}


def with_values(config: Config, values: Mapping[str, Any], where: str = "") -> Config:
    """Return the configuration with some keys set to other values.

    Args:
        config: Configuration to change; see `Config.overridden`.
        values: Values by dotted key.
        where: Location for errors, or "" to use the keys.

    Returns:
        A new configuration.

    Raises:
        InputError: A value is invalid.
    """
    tree = config._tree()
    for key, value in values.items():
        set_key(tree, key.split("."), value, key)
    return Config.from_tree(tree, where)
