"""Bring the factors of class names, in whichever form they were given, into one tuple a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from fact_clip.core.errors import InputError

Factors: TypeAlias = tuple[str | None, ...]
OneClass: TypeAlias = Sequence[str | None] | Mapping[str, str | None]
FactorSource: TypeAlias = Mapping[str, OneClass] | Callable[[str], OneClass]

WHOLE_NAME = ("phrase",)
"""The slots of a vocabulary of which nothing is known but names."""


def _raw(name: str, source: FactorSource, is_background: bool) -> OneClass | None:
    if callable(source):
        return source(name)
    if name in source:
        return source[name]
    if is_background:
        return None
    raise InputError(f"class {name!r}", "no factors", "an entry in `factors` for each class that is not background")


def _slots_from(raw: Iterable[OneClass | None]) -> tuple[str, ...]:
    named: dict[str, None] = {}
    widths: set[int] = set()
    for entry in raw:
        if isinstance(entry, Mapping):
            named.update(dict.fromkeys(entry))
        elif entry is not None:
            widths.add(len(entry))
    if named:
        return tuple(named)
    if len(widths) != 1:
        raise InputError("factors", f"tuples of {sorted(widths)} entries", "tuples of one length, one entry a slot")
    width = widths.pop()
    return WHOLE_NAME if width == 1 else tuple(f"slot{place}" for place in range(1, width + 1))


def _tidy(name: str, entry: OneClass | None, slots: tuple[str, ...]) -> Factors:
    if entry is None:
        return (None,) * len(slots)
    if isinstance(entry, str):
        raise InputError(f"class {name!r}", f"factors {entry!r}", f"a tuple with one entry for each of {slots}")
    if not isinstance(entry, Mapping):
        return tuple(entry)
    unknown = [slot for slot in entry if slot not in slots]
    if unknown:
        raise InputError(f"class {name!r}", f"slot {unknown[0]!r}", f"slots among {slots}")
    return tuple(entry.get(slot) for slot in slots)


def resolve_factors(
    names: Sequence[str],
    background: Iterable[str],
    source: FactorSource | None,
    slots: Sequence[str] | None,
) -> tuple[tuple[str, ...], tuple[Factors, ...]]:
    """Slots and factors of `names`.

    Args:
        names: action names, length C.
        background: those of them that are background; they may be missing from a mapping.
        source: tuples or slot-to-factor mappings, by name or from a function of the name; None where a
            name is its own and only factor.
        slots: names of the slots; None reads them off the mappings, or numbers the places of the tuples.

    Returns:
        The slot names, and C tuples with one factor a slot (None where a class lacks it).

    Raises:
        InputError: a class without entry, an unknown slot, or slots that do not fit.
    """
    if source is None:
        chosen = WHOLE_NAME if slots is None else tuple(slots)
        if len(chosen) != 1:
            raise InputError("factors", "none", f"factors for the slots {chosen}", "pass `factors` along with `slots`")
        return chosen, tuple((name,) for name in names)
    left_out = set(background)
    raw = [_raw(name, source, name in left_out) for name in names]
    chosen = _slots_from(raw) if slots is None else tuple(slots)
    return chosen, tuple(_tidy(name, entry, chosen) for name, entry in zip(names, raw, strict=True))
