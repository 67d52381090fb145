"""Warn about settings that have no effect."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from fact_clip.config import Config


def _has_objects(config: Config) -> bool:
    return config.data.objects.file is not None or config.data.objects.find is not False


def _reads_size(block: str, key: str, config: Config) -> bool:
    """Whether a block reads one of the sizes that only some blocks have."""
    sizes = getattr(config.model, block)
    if key == "segment_layers":
        return "U" in config.model.blocks
    return bool(sizes.frame == "m") if key.startswith("frame") else bool(sizes.action != "gru_om")


# A setting or a group of them; whether it has an effect; what it needs.
NEEDS: tuple[tuple[str, Callable[[Config], bool], str], ...] = (
    ("text", lambda config: config.model.reads_text, "a head that reads text, as model.head=text"),
    ("model.alignment", lambda config: config.model.head == "fact-clip", "model.head=fact-clip"),
    ("model.similarity", lambda config: config.model.head == "similarity", "model.head=similarity"),
    ("model.objects", _has_objects, "data.objects.file or data.objects.find"),
    ("model.update", lambda config: "u" in config.model.blocks, "a block u in model.blocks"),
    ("model.pooled", lambda config: "U" in config.model.blocks, "a block U in model.blocks"),
    ("model.tokens", lambda config: not config.model.transcript, "model.transcript=false"),
    ("data.validation_unseen", lambda config: config.data.holdout is not None, "data.holdout"),
    *(
        (f"model.{block}.{key}", partial(_reads_size, block, key), needs)
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
    *(
        (f"train.{key}", lambda config: config.data.validation > 0, "data.validation")
        for key in ("member_parts", "select", "patience", "validate_every", "validate_from")
    ),
)


def warn_of_unused(configs: Sequence[Config], overrides: Iterable[str]) -> None:
    """Warn of each ``key=value`` override that has no effect in any of these configurations."""
    for override in overrides:
        key, _, value = override.partition("=")
        unmet = (
            needs
            for setting, is_used, needs in NEEDS
            if f"{key}.".startswith(f"{setting}.") and not any(map(is_used, configs))
        )
        if value and (needs := next(unmet, "")):
            warnings.warn(f"{override} has no effect without {needs}", stacklevel=2)
