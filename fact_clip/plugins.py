"""The parts that programs register and that installed packages add, of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fact_clip.core import InputError
from fact_clip.core.plugins import Table

T = TypeVar("T")

KINDS = ("decoder", "encoder", "format", "head", "logger", "loss", "metric")


def tables(kind: str) -> list[Table[Any]]:
    """Return the tables of a kind of parts, which are of one group.

    Imports their packages only now, to keep start-up light.
    """
    match kind:
        case "decoder":
            from fact_clip.inference.decoder import DECODERS

            return [DECODERS]
        case "encoder":
            from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS

            return [FRAME_ENCODERS, TEXT_ENCODERS]
        case "format":
            from fact_clip.formats import FORMATS, READERS

            return [FORMATS, READERS]
        case "head":
            from fact_clip.models.heads import HEADS

            return [HEADS]
        case "logger":
            from fact_clip.training.callbacks import LOGGERS

            return [LOGGERS]
        case "loss":
            from fact_clip.losses.criterion import LOSSES

            return [LOSSES]
        case "metric":
            from fact_clip.metrics.report import METRICS

            return [METRICS]
    raise InputError("kind", f"no kind of parts {kind!r}", f"use one of {', '.join(KINDS)}")


def register(kind: str, name: str) -> Callable[[T], T]:
    """Return a decorator that adds a part of this program.

    Args:
        kind: decoder, encoder, format, head, logger, loss or metric.
        name: by which settings, commands and functions of this process refer to it. Registering the
            name again replaces the part.

    Returns:
        The decorator, which returns the part.

    Raises:
        InputError: no such kind; a part that cannot be used; the name of a built-in part.
    """
    kind_tables = tables(kind)

    def decorate(part: T) -> T:
        # A list, because every table must see the part: a generator would end at the first match.
        fits = [table.register(part, name) for table in kind_tables]
        if not any(fits):
            problem = f"{type(part).__name__} cannot be used as this kind of part"
            raise InputError(f"{kind} {name!r}", problem, "see docs/extending.md")
        return part

    return decorate
