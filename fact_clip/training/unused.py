"""Settings that have no effect beside others: who types one means something by it, so they are told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from fact_clip.config import Config


def _has_objects(config: Config) -> bool:
    return config.data.objects.file is not None or config.data.objects.find is not False


def _reads_text(config: Config) -> bool:
    return config.model.head != "closed" and config.model.head != "verb-noun"


def _reads(block: str, key: str, config: Config) -> bool:
    """Whether a block reads one of the sizes that only some blocks have."""
    own = getattr(config.model, block)
    if key == "segment_layers":
        return "U" in config.model.blocks
    return bool(own.frame == "m") if key.startswith("frame") else bool(own.action != "gru_om")


# A setting or a group of them; whether it has an effect; what it needs.
NEEDS: tuple[tuple[str, Callable[[Config], bool], str], ...] = (
    ("text", _reads_text, "a head that reads text, as model.head=text"),
    ("model.alignment", lambda config: config.model.head == "fact-clip", "model.head=fact-clip"),
    ("model.similarity", lambda config: config.model.head == "similarity", "model.head=similarity"),
    ("model.objects", _has_objects, "data.objects.file or data.objects.find"),
    ("model.update", lambda config: "u" in config.model.blocks, "a block u in model.blocks"),
    ("model.pooled", lambda config: "U" in config.model.blocks, "a block U in model.blocks"),
    ("model.tokens", lambda config: not config.model.transcript, "model.transcript=false"),
    ("data.validation_unseen", lambda config: config.data.holdout is not None, "data.holdout"),
    *(
        (f"model.{block}.{key}", partial(_reads, block, key), needs)
        for block in ("input", "update", "pooled")
        for key, needs in (
            ("segment_layers", "a block U in model.blocks"),
            ("frame_groups", "frame m"),
            ("frame_norm", "frame m"),
            ("heads", "another action than gru_om"),
            ("feedforward", "another action than gru_om"),
        )
    ),
    ("data.interleave", lambda config: config.data.stride > 1, "data.stride above 1"),
    ("data.objects.blocks", lambda config: config.data.objects.file is not None, "data.objects.file"),
    ("data.objects.slot", _has_objects, "data.objects.file or data.objects.find"),
    ("data.objects.fixed", _has_objects, "data.objects.file or data.objects.find"),
    ("loss.fact_weight", lambda config: config.model.head == "fact-clip", "model.head=fact-clip"),
    ("loss.contrastive_weight", lambda config: config.model.head == "fact-clip", "model.head=fact-clip"),
    ("augment.time_length", lambda config: config.augment.time_spans > 0, "augment.time_spans"),
    ("augment.time_share", lambda config: config.augment.time_spans > 0, "augment.time_spans"),
    ("decode.overlap", lambda config: config.decode.window > 0, "decode.window"),
    ("decode.factor_frames", lambda config: config.decode.factor_weight > 0, "decode.factor_weight"),
    ("decode.prior_weight", lambda config: config.data.holdout is not None, "data.holdout"),
    ("decode.prior", lambda config: config.decode.prior_weight > 0, "decode.prior_weight"),
    ("decode.gamma_rule", lambda config: config.data.holdout is not None, "data.holdout"),
    ("decode.gamma_cost", lambda config: config.data.holdout is not None, "data.holdout"),
    ("decode.gamma_cost", lambda config: config.decode.gamma_rule == "cost", "decode.gamma_rule=cost"),
    ("train.lr_decay", lambda config: config.train.schedule == "step", "train.schedule=step"),
    ("train.warmup", lambda config: config.train.warmup < config.train.epochs, "more epochs than that"),
    ("train.member_parts", lambda config: config.train.members > 1, "train.members above 1"),
    ("train.member_parts", lambda config: config.data.validation > 0, "data.validation"),
    ("train.select", lambda config: config.data.validation > 0, "data.validation"),
    ("train.patience", lambda config: config.data.validation > 0, "data.validation"),
    ("train.validate_every", lambda config: config.data.validation > 0, "data.validation"),
    ("train.validate_from", lambda config: config.data.validation > 0, "data.validation"),
)


def warn_of_unused(configs: Sequence[Config], overrides: Iterable[str]) -> None:
    """Warn of each ``key=value`` setting that has no effect in any of these configurations, of which it is a part."""
    for override in overrides:
        key, _, value = override.partition("=")
        idle = (
            needs for own, works, needs in NEEDS if f"{key}.".startswith(f"{own}.") and not any(map(works, configs))
        )
        if value and (needs := next(idle, "")):
            warnings.warn(f"{override} has no effect without {needs}", stacklevel=2)
