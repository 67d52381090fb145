"""Settings that have an effect only together with others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fact_clip.config.schema import Config


@dataclass(frozen=True)
class Need:
    """What a setting needs to have an effect.

    Attributes:
        setting: a key, or a group of keys.
        is_met: returns whether the need is met.
        requirement: what is needed, for a message.
    """

    setting: str
    is_met: Callable[[Config], bool]
    requirement: str


def _reads_text(config: Config) -> bool:
    return config.model.reads_text


def _aligns_text(config: Config) -> bool:
    return config.model.head == "fact-clip"


def _has_objects(config: Config) -> bool:
    return config.data.objects.file is not None or config.data.objects.find is not False


def _has_object_file(config: Config) -> bool:
    return config.data.objects.file is not None


def _has_update(config: Config) -> bool:
    return "u" in config.model.blocks


def _has_pooled(config: Config) -> bool:
    return "U" in config.model.blocks


def _has_tokens(config: Config) -> bool:
    return not config.model.transcript


def _has_holdout(config: Config) -> bool:
    return config.data.holdout is not None


def _has_stride(config: Config) -> bool:
    return config.data.stride > 1


def _has_time_spans(config: Config) -> bool:
    return config.augment.time_spans > 0


def _has_step_schedule(config: Config) -> bool:
    return config.train.schedule == "step"


def _has_members(config: Config) -> bool:
    return config.train.members > 1


def _has_validation(config: Config) -> bool:
    return config.data.validation > 0


_OBJECTS = "data.objects.file or data.objects.find"

NEEDS = (
    Need("text", _reads_text, "a head that reads text, as model.head=text"),
    Need("model.alignment", _aligns_text, "model.head=fact-clip"),
    Need("model.objects", _has_objects, _OBJECTS),
    Need("model.update", _has_update, "a block u in model.blocks"),
    Need("model.pooled", _has_pooled, "a block U in model.blocks"),
    Need("model.tokens", _has_tokens, "model.transcript=false"),
    Need("data.validation_unseen", _has_holdout, "data.holdout"),
    Need("data.interleave", _has_stride, "data.stride above 1"),
    Need("data.objects.blocks", _has_object_file, "data.objects.file"),
    Need("data.objects.fixed", _has_objects, _OBJECTS),
    Need("loss.fact_weight", _aligns_text, "model.head=fact-clip"),
    Need("loss.contrastive_weight", _aligns_text, "model.head=fact-clip"),
    Need("augment.time_length", _has_time_spans, "augment.time_spans"),
    Need("augment.time_share", _has_time_spans, "augment.time_spans"),
    Need("decode.prior_weight", _has_holdout, "data.holdout"),
    Need("decode.gamma_cost", _has_holdout, "data.holdout"),
    Need("decode.member_smoothing", _has_members, "train.members above 1"),
    Need("train.lr_decay", _has_step_schedule, "train.schedule=step"),
    Need("train.member_parts", _has_members, "train.members above 1"),
    Need("train.member_parts", _has_validation, "data.validation"),
    Need("train.validate_every", _has_validation, "data.validation"),
    Need("train.validate_from", _has_validation, "data.validation"),
)


def warn_of_unused(configs: Sequence[Config], overrides: Iterable[str]) -> None:
    """Warn of each override that has no effect in any of the configurations.

    Args:
        configs: the configurations.
        overrides: ``key=value`` settings.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if not value:
            continue
        for need in NEEDS:
            applies = f"{key}.".startswith(f"{need.setting}.")
            if applies and not any(need.is_met(config) for config in configs):
                message = f"{override} has no effect without {need.requirement}"
                warnings.warn(message, stacklevel=2)
                break
