"""The configuration: frozen values, read from short YAML recipes and ``key=value`` overrides.

A recipe holds only what differs from the defaults below; ``base: NAME`` builds it on another recipe.
Unknown keys are refused with the nearest valid name. A configuration is never changed after it is made:
the resolved copy lies beside every checkpoint.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fact_clip.core.errors import InputError
from fact_clip.core.files import read_mapping

RECIPES = Path(__file__).parent / "configs"
_BRACES = re.compile(r"\{([^{}]*)\}")


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read_recipe(recipe: str | Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tree of a recipe on its base; ``above``: the files that are built on it."""
    by_name = not str(recipe).endswith((".yaml", ".yml"))
    path = RECIPES / f"{recipe}.yaml" if by_name else Path(recipe)
    if above and path.parent != RECIPES:
        path = above[-1].parent / path  # a base is named from the file that names it
    if path.resolve() in (file.resolve() for file in above):
        raise InputError(above[-1], f"base {recipe} is built on this file", "a base without a circle")
    if not path.is_file() and (by_name or path.parent == RECIPES):
        near = difflib.get_close_matches(str(recipe), recipes(), n=1, cutoff=0.4)
        todo = f"did you mean {near[0]!r}?" if near else "give one of them or the path of a YAML file"
        raise InputError(recipe, "no such recipe", f"one of {', '.join(recipes())}", todo)
    tree = read_mapping(path, "a YAML recipe", may_be_empty=True)
    base = tree.pop("base", None)
    return merged(read_recipe(str(base), (*above, path)), tree) if base else tree


def merged(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of `base` with what `top` says besides or instead, group by group; neither is changed."""
    result = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(dict(result[key]), value) if both else value
    return result


def put(tree: dict[str, Any], keys: list[str], value: Any, where: str) -> None:
    """Set the value of nested keys in a recipe's tree; an InputError where one of them is a value already."""
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise InputError(where, f"{key!r} is a value, not a group of keys")
    tree[keys[-1]] = value


def with_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The tree of a recipe with ``key=value`` settings put into it; an InputError where one is malformed."""
    for override in overrides:
        key, sep, value = override.partition("=")
        if not sep:
            raise InputError(override, "no '=' in the override", "key=value, as in train.epochs=20")
        try:
            put(tree, key.split("."), yaml.safe_load(value), override)
        except yaml.YAMLError:
            raise InputError(override, f"{value!r} is not YAML", "a value as in a recipe") from None
    return tree


def expand(pattern: str) -> list[str]:
    """Every name of a pattern, the last alternatives changing first: "a{0,1}" -> ["a0", "a1"]."""
    parts = _BRACES.split(pattern)  # text, alternatives, text, ...
    choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def several(pattern: str) -> list[list[str]]:
    """The alternatives of a pattern where there is more than one: "a{0,1}_{b}" -> [["0", "1"]]."""
    return [choice for choice in (part.split(",") for part in _BRACES.findall(pattern)) if len(choice) > 1]


__all__ = ["Config", "recipes"]

_Share = Annotated[float, Field(ge=0, le=1)]
_one_or_more = BeforeValidator(lambda value: value if isinstance(value, list | tuple) else [value])


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectData(_Frozen):
    """Which columns of a feature file belong to which named thing.

    The file names O things, one a line. The columns come in blocks: with ``blocks: [1, 2]`` column 0 to O-1 are the
    first value of each thing, and the next 2 O columns two values of each, thing by thing.
    """

    file: str | None = Field(None, description="names of the things, one a line, under data.root; unset: none")
    find: bool = Field(False, description="no file: find the things in the features, their names by the labels")
    blocks: tuple[int, ...] = Field((), description="values a thing in each block; unset: all in one block")
    slot: str = Field("object", description="slot of the vocabulary whose words are names of things")
    fixed: tuple[str, ...] = Field((), description="things that keep their identity, beside the words of other slots")


class DataConfig(_Frozen):
    """Which videos, and how their features are read."""

    name: str = Field("folder", description="entry of data/benchmarks.py; 'folder' is any own data set")
    root: str | None = Field(None, description="folder of the data; else $FACT_CLIP_DATA/NAME, else ./data/NAME")
    split: int | str = Field(1, description="number or name of the split; 'all' trains each in turn")
    layout: Literal["TD", "DT"] | None = Field(None, description="orientation of feature files; unset: the benchmark's")
    fps: float | None = Field(None, description="frames (feature rows) a second; unset: the benchmark's")
    background: tuple[str, ...] | None = Field(None, description="background classes by name; unset: the benchmark's")
    stride: int = Field(1, ge=1, description="temporal stride; labels by majority, predictions stretched back")
    interleave: bool = Field(False, description="with a stride: train from any first row, predict from each and merge")
    standardize: bool = Field(False, description="zero mean, unit variance a column, by the training videos")
    context: tuple[int, ...] = Field((), description="windows in frames whose mean and deviation join the columns")
    objects: ObjectData = ObjectData()
    holdout: str | tuple[str | int, ...] | None = Field(
        None, description="classes to hold out: JSON under data.root, its path, a name in configs/holdouts, a list"
    )
    holdout_mode: Literal["mask", "drop", "oracle"] | None = Field(
        None, description="unset: that of the JSON, else mask; oracle: nothing is hidden, the supervised bound"
    )
    validation: float = Field(0.15, ge=0, lt=1, description="share of the training videos that picks the checkpoint")
    validation_part: int = Field(0, ge=0, description="which of the disjoint parts of that size it is")
    tolerance: float = Field(0.01, ge=0, description="allowed length difference of features and labels, as a share")
    tolerance_frames: int = Field(10, ge=0, description="... or in frames, whichever is larger")


class BlockConfig(_Frozen):
    """Sizes of one kind of block (FACT.md, 'Blocks')."""

    hidden: int = Field(512, ge=1, description="H, width of what blocks pass on")
    dropout: float = Field(0.0, ge=0, lt=1)
    frame: Literal["m", "m2"] = Field("m2", description="temporal convolution: MS-TCN or MS-TCN++")
    frame_dim: int = Field(512, ge=1, description="F, width inside the frame branch")
    frame_layers: int = Field(10, ge=1)
    frame_norm: bool = Field(False, description="LayerNorm over channels after each layer of 'm'")
    frame_groups: int = Field(1, ge=1, description="groups of the dilated convolution of 'm'")
    action: Literal["sca", "sa", "gru_om"] = Field("sca", description="action branch")
    action_dim: int = Field(512, ge=1, description="A, width inside the action branch")
    action_layers: int = Field(6, ge=1)
    heads: int = Field(8, ge=1)
    feedforward: int = Field(512, ge=1)
    segment_layers: int = Field(1, ge=1, description="layers of the segment GRU in 'U'")


# What a later block does not inherit from the block before it.
_OWN_DEFAULTS: dict[str, Any] = {"action": "sa", "action_layers": 1, "frame_layers": 5, "segment_layers": 1}
_BLOCK_OF_LETTER = {"i": "input", "I": "input", "u": "update", "U": "pooled"}


def _plain(block: Any) -> dict[str, Any]:
    return block.model_dump() if isinstance(block, BaseModel) else dict(block or {})


class AlignmentConfig(_Frozen):
    """FACT-CLIP's alignment of frames to class texts (head 'fact-clip')."""

    temperature: float = Field(0.07, gt=0)
    projection_dim: int = Field(512, ge=1, description="hidden width of the projection")
    dropout: float = Field(0.1, ge=0, lt=1)


class ObjectConfig(_Frozen):
    """Object columns (models/channels.py); on where ``data.objects`` names a file."""

    hidden: int = Field(32, ge=1, description="width of the network that things share")
    width: int = Field(16, ge=1, description="width of a thing's evidence")
    words: bool = Field(True, description="a thing is named by its word's text beside its evidence")
    layers: int = Field(0, ge=0, description="dilated convolutions over the evidence of each thing, dilation 4^l")
    heads: int = Field(4, ge=1, description="attention heads that pool the evidence of unnamed things")
    dropout: float = Field(0.0, ge=0, lt=1)


class ModelConfig(_Frozen):
    """The FACT model. Missing keys of ``update`` and ``pooled`` come from the block before them."""

    blocks: str = Field("iuUU", pattern=r"^[iI][uU]*$", description="one letter a block, first the input block")
    tokens: int = Field(60, ge=0, description="M, action tokens (0 with a transcript)")
    head: str = Field("closed", description="entry of models/heads.py")
    frame_positions: bool = Field(False, description="sinusoidal frame positions")
    transcript: bool = Field(False, description="tokens are the classes of a given transcript")
    alignment: AlignmentConfig = AlignmentConfig()
    key_width: int = Field(64, ge=1, description="head 'text': width in which features and text are compared")
    objects: ObjectConfig = ObjectConfig()
    input: BlockConfig = BlockConfig()
    update: BlockConfig = BlockConfig(**_OWN_DEFAULTS)
    pooled: BlockConfig = BlockConfig(**_OWN_DEFAULTS)

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        base = _plain(values.get("input"))
        given = {}
        used = [_BLOCK_OF_LETTER.get(b, "input") for b in str(values.get("blocks", "iuUU"))]
        for name in dict.fromkeys([*used, "update", "pooled"]):
            if name != "input":
                # a block that does not occur has no sizes of its own, so that equal models are equal values
                own = _plain(values.get(name)) if name in used else {}
                base = {**base, **_OWN_DEFAULTS, **{key: value for key, value in own.items() if value is not None}}
                given[name] = base
        return {**values, **given}


class TextConfig(_Frozen):
    """The text of a class, for head 'text'."""

    encoder: str = Field("minilm", description="entry of text/encoders.py, as minilm, hash:64, open_clip:MODEL/WEIGHTS")
    parts: tuple[Literal["sentence", "factors"], ...] = Field(("sentence",), description="vectors of a class")
    templates: str = Field("plain", description="entry of TEMPLATES in text/prompts.py")
    phrase: str = Field("name", description="entry of PHRASES in text/prompts.py: how class names are read")
    cache: str | None = Field(None, description="folder that keeps embeddings")


class LossConfig(_Frozen):
    """Matching and loss (FACT.md, 'Matching and loss')."""

    match: Literal["o2o", "o2m", "seq"] = "o2o"
    class_cost: float = Field(0.2, description="weight of the class probability in the matching cost (pc)")
    overlap_cost: float = Field(1.0, description="weight of the attention overlap in the matching cost (a2fc)")
    smoothing: float = Field(5.0, ge=0, description="weight of the smoothing term (sw)")
    background_weight: float = Field(1.0, ge=0, description="weight of background classes (bgw)")
    null_weight: float = Field(-1.0, description="weight of the null class; -1: from token and transcript counts")
    balance: float = Field(0.0, ge=0, le=1, description="an action of n frames weighs n^-this, mean over frames 1")
    segment_balance: float = Field(0.0, ge=0, le=1, description="... and, in a video, an action segment of n frames")
    prior: float = Field(0.0, ge=0, description="share of log p(class) that is added to the scores in training alone")
    fact_weight: float = Field(0.5, ge=0, description="head 'fact-clip': weight of the FACT loss")
    contrastive_weight: float = Field(0.5, ge=0, description="head 'fact-clip': weight of the InfoNCE loss")


class AugmentConfig(_Frozen):
    """Masking of the input while training."""

    channels: float = Field(0.3, ge=0, lt=1, description="probability that a channel is dropped for a whole video")
    swap: Annotated[tuple[_Share, ...], _one_or_more] = Field(
        (0.0,), min_length=1, description="object columns: share of steps that exchange things; several: by member"
    )
    speed: float = Field(0.0, ge=0, description="play videos up to (1 + this) times faster or slower")
    time_spans: int = Field(5, ge=0, description="most spans set to zero (0: none)")
    time_length: int = Field(30, ge=1, description="a span is shorter than this many frames")
    time_share: float = Field(0.05, ge=0, le=1, description="... and at most this share of the video")


class DecodeConfig(_Frozen):
    """From frame scores to segments, after the fusion of the two voters."""

    frame_weight: float = Field(
        0.1, ge=0, le=1, description="share of the frame voter; the token voter has the rest (mwt)"
    )
    blocks: Literal["last", "all"] = Field("last", description="frame voter: the last block, or the mean of all")
    method: Literal["switching", "transport"] = Field("switching", description="entry of decoding/methods.py")
    switch_penalty: float = Field(0.0, ge=0, description="price in nats of a change of action (0: each frame alone)")
    window: int = Field(0, ge=0, description="frames of a pass over a long video (0: all in one); see windows.py")
    overlap: int | None = Field(None, ge=0, description="... that two passes share; unset: what convolutions see")
    prior_weight: float = Field(0.0, ge=0, description="classes held out: share of log p(class) taken off the scores")
    prior: Literal["factors", "frames", "posterior", "frames+posterior"] = Field(
        "factors", description="... and where p(class) comes from: entry of decoding/priors.py"
    )
    gamma_rule: Literal["none", "cost", "harmonic"] = Field("cost", description="how validation chooses gamma")
    gamma_cost: float = Field(0.15, ge=0, lt=1, description="rule 'cost': share of seen accuracy that gamma may cost")


class TrainConfig(_Frozen):
    """Optimisation."""

    epochs: int = Field(150, ge=1)
    batch_size: int = Field(4, ge=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["step", "cosine", "constant"] = "step"
    lr_decay: int = Field(80, ge=1, description="'step': epochs until the learning rate falls to a tenth")
    warmup: int = Field(0, ge=0, description="epochs of linear warm-up")
    clip_norm: float = Field(10.0, ge=0, description="largest gradient norm (0: no clipping)")
    average: float = Field(
        0.0, ge=0, lt=1, description="decay a step of the average of the weights, which is then kept"
    )
    members: int = Field(1, ge=1, description="trainings side by side, a seed each, whose scores are averaged")
    member_parts: bool = Field(False, description="each member validates on another part of the videos")
    seed: int = 0
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["float32", "bf16"] = "float32"
    select: str = Field(
        "score",
        description="validation metric that picks the best checkpoint; 'score': mean of accuracy, edit and F1@10",
    )
    validate_every: int = Field(1, ge=1, description="epochs between validations")
    validate_from: float = Field(0.0, ge=0, lt=1, description="share of the epochs before the first validation")
    patience: int = Field(0, ge=0, description="stop after this many validations without a better one (0: never)")
    loggers: tuple[str, ...] = Field((), description="beside CSV and JSONL: tensorboard, wandb")


class EvaluationConfig(_Frozen):
    """How predictions are scored."""

    profile: str = "fact"
    count_background: bool = Field(True, description="background counts in edit and F1 (eval_bg)")


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
    def load(cls, recipe: str | Path, overrides: Sequence[str] = ()) -> Config:
        """Read a recipe by name (``configs/NAME.yaml``) or path and apply ``key=value`` overrides.

        Raises:
            InputError: no such recipe, an unknown key, or a value of the wrong kind.
        """
        return cls.from_tree(with_overrides(read_recipe(recipe), overrides), str(recipe))

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], where: str) -> Config:
        """Check a nested mapping; ``where`` names it in errors."""
        _check_keys(cls, tree, where, "")
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            message = first["msg"][:1].lower() + first["msg"][1:]  # names and patterns keep their case
            raise InputError(where, f"{key} = {first['input']!r}", message) from None

    def to_yaml(self) -> str:
        """The resolved configuration, every key with its value."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _check_keys(model: type[BaseModel], tree: Mapping[str, Any], where: str, prefix: str) -> None:
    for key, value in tree.items():
        field = model.model_fields.get(str(key))
        if field is None:
            near = difflib.get_close_matches(str(key), list(model.model_fields), n=1, cutoff=0.0)
            expected = f"one of {', '.join(model.model_fields)}"
            raise InputError(where, f"unknown key {prefix}{key}", expected, f"did you mean {prefix}{near[0]}?")
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel) and isinstance(value, Mapping):
            _check_keys(nested, value, where, f"{prefix}{key}.")
