"""Settings that have an effect only in combination with others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fact_clip.config.schema import TEXTLESS_HEADS, Config
from fact_clip.core import Names


@dataclass(frozen=True)
class Need:
    """A requirement of some settings.

    Attributes:
        settings: Keys, or groups of keys.
        is_met: Function that returns whether a configuration meets the requirement.
        requirement: Description of the requirement, for a message.
    """

    settings: Names
    is_met: Callable[[Config], bool]
    requirement: str


def _has_objects(config: Config) -> bool:
    return config.data.objects.file is not None


NEEDS = (
    Need(
        ("text",),
        lambda config: config.model.head not in TEXTLESS_HEADS,
        "a head that reads text, such as model.head=text",
    ),
    Need(
        ("model.alignment", "loss.fact_weight", "loss.contrastive_weight"),
        lambda config: config.model.head == "fact-clip",
        "model.head=fact-clip",
    ),
    Need(
        ("data.objects.fixed",),
        _has_objects,
        "data.objects.file",
    ),
    Need(
        ("model.update",),
        lambda config: "u" in config.model.blocks,
        "a block u in model.blocks",
    ),
    Need(
        ("model.pooled",),
        lambda config: "U" in config.model.blocks,
        "a block U in model.blocks",
    ),
    Need(
        ("model.tokens",),
        lambda config: not config.model.transcript,
        "model.transcript=false",
    ),
    Need(
        ("data.validation_unseen", "decode.prior_weight", "decode.gamma_cost"),
        lambda config: config.data.holdout is not None,
        "data.holdout",
    ),
    Need(
        ("data.interleave",),
        lambda config: config.data.stride > 1,
        "data.stride above 1",
    ),
    Need(
        ("data.objects.blocks",),
        lambda config: config.data.objects.names_file is not None,
        "a file in data.objects.file",
    ),
    Need(
        ("augment.time_length", "augment.time_share"),
        lambda config: config.augment.time_spans > 0,
        "augment.time_spans",
    ),
    Need(
        ("train.member_parts",),
        lambda config: config.train.members > 1,
        "train.members above 1",
    ),
    Need(
        ("train.lr_decay",),
        lambda config: config.train.schedule == "step",
        "train.schedule=step",
    ),
    Need(
        ("train.member_parts", "train.validate_every", "train.validate_from"),
        lambda config: config.data.validation > 0,
        "data.validation",
    ),
)


def warn_of_unused(configs: Sequence[Config], overrides: Iterable[str]) -> None:
    """Warn about each override that has no effect in any of the configurations.

    Args:
        configs: Configurations.
        overrides: Settings ``key=value``.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if not value:
            continue
        for need in NEEDS:
            prefixes = tuple(f"{setting}." for setting in need.settings)
            applies = f"{key}.".startswith(prefixes)
            if applies and not any(need.is_met(config) for config in configs):
                message = f"{override} has no effect without {need.requirement}"
                warnings.warn(message, stacklevel=2)
                break
