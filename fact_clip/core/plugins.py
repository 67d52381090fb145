"""Parts that installed packages add by entry points (docs/extending.md), in a table by name.

Entry points are searched when a table is first asked for a name that it lacks, or is iterated, and
a plug-in is imported when it is used. Its failure is one InputError that names the package.
"""

from __future__ import annotations

import functools
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from fact_clip.core.errors import InputError, library_errors

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Table(UserDict[str, T]):
    """The parts of a kind by name: built-in ones first, then working plug-ins.

    Args:
        group: the group of the entry points.
        rows: the built-in parts.
        adopt: `adopt(name, part)` turns an entry point into a table row, or returns None if it
            belongs to another table of the group. It raises a ValueError for an unusable part.

    A broken plug-in raises an InputError when it is looked up by name, so `in` is true for it.
    """

    def __init__(
        self, group: str, rows: Mapping[str, T], adopt: Callable[[str, Any], T | None]
    ) -> None:
        super().__init__(rows)
        self.group = group
        self._adopt = adopt

    def __missing__(self, name: str) -> T:
        row = self.plugin(name)
        if row is None:
            raise KeyError(name)
        return row

    def __contains__(self, name: object) -> bool:
        if name in self.data:
            return True
        try:
            return isinstance(name, str) and self.plugin(name) is not None
        except InputError:  # looking the name up raises it again, with its reason
            return True

    def __iter__(self) -> Iterator[str]:
        yield from list(self.data)
        for name in _entry_points(self.group).keys() - self.data.keys():
            with suppress(InputError):
                if self.plugin(name) is not None:
                    yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def package(self, name: str) -> str | None:
        """Return the package of a plug-in, as "fact-clip-example 0.1"; None for other parts."""
        if name in self.data:
            return None
        return _packages(_entry_points(self.group).get(name, [])) or None

    def plugin(self, name: str) -> T | None:
        """Return the row of a plug-in, or None if there is none for this table."""
        points = _entry_points(self.group).get(name, [])
        if not points:
            return None

        where = f"plug-in {name!r} of {_packages(points)}"
        fix = "correct or uninstall the package"
        if name in self.data or len(points) > 1:
            raise InputError(where, "another part has this name", fix)
        with library_errors(where, "it fails", BaseException, fix=fix):  # it may even exit
            return self._adopt(name, points[0].load())


@functools.cache
def _entry_points(group: str) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a group by name; several if packages share a name."""
    from importlib.metadata import entry_points  # 20 ms that most programs do not need

    points: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, _package(point))):
        points.setdefault(point.name, []).append(point)
    return points


def _package(point: EntryPoint) -> str:
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _packages(points: Sequence[EntryPoint]) -> str:
    return " and ".join(map(_package, points))


def flag(group: str, name: str, attribute: str) -> bool:
    """Return whether an attribute of a plug-in is true. A missing or broken plug-in has none."""
    with suppress(InputError), library_errors(name, "it fails", BaseException):
        points = _entry_points(group).get(name, [])
        return any(getattr(point.load(), attribute, False) for point in points)
    return False


def list_plugins(tables: Sequence[Table[Any]]) -> list[dict[str, str | None]]:
    """Load the plug-ins of some tables.

    Args:
        tables: the tables whose groups are searched.

    Returns:
        A row for each entry point: group, name, package, version and fault (None if it works).
    """
    rows: list[dict[str, str | None]] = []
    for group in dict.fromkeys(table.group for table in tables):
        group_tables = [table for table in tables if table.group == group]
        for name, points in _entry_points(group).items():
            fault = _fault(name, group_tables)
            for point in points:
                package, _, version = _package(point).partition(" ")
                row = {"group": group, "name": name, "package": package, "version": version}
                rows.append({**row, "fault": fault})
    return rows


def _fault(name: str, tables: Sequence[Table[Any]]) -> str | None:
    """Return why none of the tables of a group can use a plug-in, or None if one can."""
    try:
        if all(table.plugin(name) is None for table in tables):
            return "nothing that this group takes"
    except InputError as error:
        return error.problem
    return None
