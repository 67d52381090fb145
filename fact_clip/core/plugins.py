"""Parts that installed packages add by entry points (docs/extending.md): a table of parts has them under their names.

Packages are looked through when a table is first asked for a name that it lacks, or is listed, and a plug-in is
imported when it is used. What fails then is one InputError that names the package.
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
    """The parts of a kind by name: built-in ones first, then those of entry points of a `group` that work.

    `adopt(name, part)` makes a row of what an entry point names; None where it belongs to another table of the group, a
    ValueError where it is no such part. A plug-in that does not work raises an InputError when it is asked for by name.
    """

    def __init__(
        self, group: str, rows: Mapping[str, T], adopt: Callable[[str, Any], T | None]
    ) -> None:
        super().__init__(rows)
        self.group, self._adopt = group, adopt

    def __missing__(self, name: str) -> T:
        if (row := self.plugin(name)) is None:
            raise KeyError(name)
        return row

    def __contains__(self, name: object) -> bool:
        with suppress(InputError):  # raised again by asking for it
            return name in self.data or (isinstance(name, str) and self.plugin(name) is not None)
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
        """Return the package of a plug-in, as "fact-clip-example 0.1"; None for built-in and unknown parts."""
        points = [] if name in self.data else _points(self.group).get(name, [])
        return " and ".join(map(_package, points)) or None

    def plugin(self, name: str) -> T | None:
        """Return the row of a plug-in; None where there is none for this table, an InputError where it is broken."""
        points = _points(self.group).get(name, [])
        if not points:
            return None
        where, fix = (
            f"plug-in {name!r} of {' and '.join(map(_package, points))}",
            "correct or uninstall the package",
        )
        if name in self.data or len(points) > 1:
            raise InputError(where, "another part has this name", fix)
        with library_errors(
            where, "it fails", Exception, fix=fix
        ):  # whatever the code of a stranger raises
            return self._adopt(name, points[0].load())


@functools.cache
def _points(group: str) -> Mapping[str, list[EntryPoint]]:
    """Return the entry points of a group by name; several where packages share one."""
    from importlib.metadata import entry_points  # 20 ms that most programs do not need

    points: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, _package(point))):
        points.setdefault(point.name, []).append(point)
    return points


def _package(point: EntryPoint) -> str:
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def flag(group: str, name: str, attribute: str) -> bool:
    """Whether an attribute of a plug-in is true; false where there is no such plug-in, or it is broken."""
    with suppress(Exception):
        return any(
            getattr(point.load(), attribute, False) for point in _points(group).get(name, [])
        )
    return False


def list_plugins(tables: Sequence[Table[Any]]) -> list[dict[str, str | None]]:
    """Load the plug-ins of some tables; return group, name, package, version and fault (None: it works) of each."""
    rows: list[dict[str, str | None]] = []
    for group in dict.fromkeys(table.group for table in tables):
        for name, points in _points(group).items():
            fault: str | None = None
            try:
                if all(table.plugin(name) is None for table in tables if table.group == group):
                    fault = "nothing that this group takes"
            except InputError as error:
                fault = error.problem
            for point in points:
                package, _, version = _package(point).partition(" ")
                rows.append(
                    {
                        "group": group,
                        "name": name,
                        "package": package,
                        "version": version,
                        "fault": fault,
                    }
                )
    return rows
