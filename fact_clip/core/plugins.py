"""Parts that installed packages add by entry points (docs/extending.md): a table of parts has them under their names.

Packages are looked through when a table is first asked for a name that it lacks, or is listed, and a plug-in is
imported when it is used. What fails then is one InputError that names the package.
"""

from __future__ import annotations

import functools
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from fact_clip.core.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """An entry point of an installed package."""

    group: str
    name: str
    package: str
    version: str
    fault: str | None = None  # why it cannot be used


class Table(UserDict[str, T]):
    """The parts of a kind by name: built-in ones first, then those of entry points of a `group` that work.

    `adopt(name, part)` makes a row of what an entry point names; None where it belongs to another table of the group, a
    ValueError where it is no such part. A plug-in that does not work raises an InputError when it is asked for by name.
    """

    def __init__(self, group: str, rows: Mapping[str, T], adopt: Callable[[str, Any], T | None]) -> None:
        super().__init__(rows)
        self.group, self._adopt = group, adopt

    def __missing__(self, name: str) -> T:
        row = self.plugin(name)
        if row is None:
            raise KeyError(name)
        return row

    def __contains__(self, name: object) -> bool:
        if name in self.data or not isinstance(name, str):
            return name in self.data
        try:
            return self.plugin(name) is not None
        except InputError:  # raised again by asking for it
            return True

    def __iter__(self) -> Iterator[str]:
        yield from list(self.data)
        for name in _points(self.group).keys() - self.data.keys():
            with suppress(InputError):
                if self.plugin(name) is not None:
                    yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def package(self, name: str) -> str | None:
        """Return the package, with its version, that a part comes from; None for a built-in or an unknown one."""
        return None if name in self.data else providers(self.group, name)

    def plugin(self, name: str) -> T | None:
        """Return the row of a plug-in; None where there is none for this table, an InputError where it is broken."""
        points = _points(self.group).get(name, [])
        if not points:
            return None
        where = f"plug-in {name!r} of {' and '.join(f'package {package_of(point)}' for point in points)}"
        fix = "correct or uninstall the package"
        if name in self.data or len(points) > 1:
            problem = "the name is that of a built-in part" if name in self.data else "both have this name"
            raise InputError(where, problem, fix)
        try:
            return self._adopt(name, _load(points[0]))
        except Exception as error:  # noqa: BLE001 - whatever the code of a stranger raises
            raise InputError(where, f"{type(error).__name__}: {' '.join(str(error).split())}", fix) from None


@functools.cache
def _points(group: str) -> Mapping[str, list[EntryPoint]]:
    """Return the entry points of a group by name, sorted; several where packages share a name."""
    points: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, package_of(point))):
        points.setdefault(point.name, []).append(point)
    return points


@functools.cache
def _load(point: EntryPoint) -> Any:
    return point.load()


def package_of(point: EntryPoint) -> str:
    """Return the name and version of the package of an entry point, as "fact-clip-example 0.1"."""
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def providers(group: str, name: str) -> str | None:
    """Return the packages, with their versions, that have an entry point of this name; None where there is none."""
    return ", ".join(map(package_of, _points(group).get(name, []))) or None


def flag(group: str, name: str, attribute: str) -> bool:
    """Whether an attribute of a plug-in is true; false where there is no such plug-in, or it is broken."""
    with suppress(Exception):
        return any(getattr(_load(point), attribute, False) for point in _points(group).get(name, []))
    return False


def list_plugins(tables: Sequence[Table[Any]]) -> list[Plugin]:
    """Load all plug-ins of some tables, and say what they are and what is wrong with them."""
    plugins = []
    for group in dict.fromkeys(table.group for table in tables):
        for name, points in _points(group).items():
            try:
                rows = [table.plugin(name) for table in tables if table.group == group]
                fault = "nothing that this group takes" if rows.count(None) == len(rows) else None
            except InputError as error:
                fault = error.problem
            for point in points:
                package, _, version = package_of(point).partition(" ")
                plugins.append(Plugin(group, name, package, version, fault))
    return plugins
