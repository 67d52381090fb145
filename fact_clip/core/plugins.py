"""Parts that programs register in a table by name, and those that installed packages add.

Entry points are searched when a table is first asked for a name that it lacks, or is iterated. The
failure of a plug-in is one InputError that names the package, where it is used.
"""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeVar

from fact_clip.core.errors import InputError, library_errors
from fact_clip.core.types import Json

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

# The tables of each kind, whose rooms are imported when they are needed.
_TABLES: dict[str, list[str]] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))


def adopt_function(name: str, part: Any) -> Any:
    """Return a function as it is."""
    if not callable(part):
        raise ValueError("not a function")
    return part


class Table(UserDict[str, T]):
    """The parts of a kind by name: built-in ones, and those that this program registers.

    Args:
        group: the name of the table.
        rows: the built-in parts.
        adopt: `adopt(name, part)` turns a part into a table row, or returns None if it belongs to
            another table of the group. It raises a ValueError for an unusable part.
            Default: any function.
    """

    def __init__(
        self,
        group: str,
        rows: Mapping[str, T],
        adopt: Callable[[str, Any], T | None] = adopt_function,
    ) -> None:
        super().__init__(rows)
        self.group = group
        self._adopt = adopt
        self._built_in = set(rows)

    def find(self, name: str, where: str) -> T:
        """Return the row of a name that stands at `where`; an InputError lists the names."""
        if name not in self:
            fix = f"use one of {', '.join(self)}"
            raise InputError(where, f"there is none called {name!r}", fix)
        return self[name]

    def name_of(self, part: Any) -> str:
        """Return the name of a part, which registers an object by its own name."""
        if isinstance(part, str):
            return part
        name = getattr(part, "__name__", type(part).__name__)
        self.register(part, name)
        return name

    def register(self, part: Any, name: str) -> bool:
        """Add a part of this program, and return whether it belongs to this table."""
        where = f"{name!r}, a part of {self.group}"
        if name in self._built_in:
            raise InputError(where, "a built-in part has this name", "choose another name")
        with library_errors(where, "it cannot be used", ValueError):
            row = self._adopt(name, part)
        if row is not None:
            self.data[name] = row
        return row is not None


class PluginTable(Table[T]):
    """A table that installed packages add parts to, by entry points of its group.

    Working plug-ins come last. A broken one raises an InputError when it is looked up by name, so
    `in` is true for it.
    """

    @cached_property
    def plugins(self) -> Json:
        """Load the entry points of this table: name -> row, or the InputError of a broken one."""
        from importlib.metadata import entry_points  # 20 ms that most programs do not need

        rows: Json = {}
        for point in entry_points(group=self.group):
            where = f"plug-in {point.name!r} of {_package(point)}"
            fix = "correct or uninstall the package"
            try:
                if point.name in self._built_in or point.name in rows:
                    raise InputError(where, "another part has this name", fix)
                with library_errors(where, "it fails", BaseException, fix=fix):  # it may even exit
                    row = self._adopt(point.name, point.load())
            except InputError as error:
                rows[point.name] = error
            else:
                if row is not None:
                    rows[point.name] = row
        return rows

    def __missing__(self, name: str) -> T:
        row: T | InputError = self.plugins[name]
        if isinstance(row, InputError):
            raise row
        return row

    def __contains__(self, name: object) -> bool:
        return name in self.data or name in self.plugins

    def __iter__(self) -> Iterator[str]:
        plugins = self.plugins.items()
        working = [name for name, row in plugins if not isinstance(row, InputError)]
        return iter(dict.fromkeys([*self.data, *working]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def package(self, name: str) -> str | None:
        """Return the package of a plug-in, or None for other parts."""
        from importlib.metadata import entry_points

        if name not in self.data:
            for point in entry_points(group=self.group, name=name):
                return _package(point)
        return None


def tables(kind: str) -> list[Table[Any]]:
    """Return the tables of a kind of parts, which are of one group."""
    if kind not in _TABLES:
        raise InputError("kind", f"no kind of parts {kind!r}", f"use one of {', '.join(_TABLES)}")
    return [resolve_name(f"fact_clip.{path}") for path in _TABLES[kind]]


def register(kind: str, name: str) -> Callable[[T], T]:
    """Return a decorator that adds a part of this program.

    Args:
        kind: data source, decoder, encoder, format, head, logger, loss or metric.
        name: by which settings, commands and functions of this process refer to it. Registering the
            name again replaces the part.

    Returns:
        The decorator, which returns the part.

    Raises:
        InputError: no such kind; a part that cannot be used; the name of a built-in part.
    """
    kind_tables = tables(kind)

    def decorate(part: T) -> T:
        fits = [table.register(part, name) for table in kind_tables]
        if not any(fits):
            problem = f"{type(part).__name__} is nothing that this kind takes"
            raise InputError(f"{kind} {name!r}", problem, "see docs/extending.md")
        return part

    return decorate


def is_open(head: str) -> bool:
    """Return whether a head scores any names. A missing or broken plug-in does not."""
    with suppress(InputError):
        return bool(getattr(tables("head")[0].get(head), "is_open", False))
    return False


def list_plugins() -> list[dict[str, str | None]]:
    """Load all plug-ins.

    Returns:
        A row for each entry point: group, name, package, version and fault (None if it works).
    """
    from importlib.metadata import entry_points

    all_tables = []
    for table in chain.from_iterable(map(tables, _TABLES)):
        if isinstance(table, PluginTable):
            all_tables.append(table)
    groups = sorted({table.group for table in all_tables})
    rows: list[dict[str, str | None]] = []
    for group in sorted(entry_points().groups):
        if not group.startswith("fact_clip."):
            continue
        group_tables = [table for table in all_tables if table.group == group]
        for point in entry_points(group=group):
            package, _, version = _package(point).partition(" ")
            row = {"group": group, "name": point.name, "package": package, "version": version}
            rows.append({**row, "fault": _fault(point.name, group_tables, groups)})
    return rows


def _package(point: EntryPoint) -> str:
    """Return the package of an entry point, as "fact-clip-example 0.1"."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _fault(
    name: str, group_tables: Sequence[PluginTable[Any]], groups: Sequence[str]
) -> str | None:
    """Return why no table of a group can use an entry point, or None if one can."""
    if not group_tables:
        return f"no such group; use one of {', '.join(groups)}"
    problem = "nothing that this group takes"
    for table in group_tables:
        row = table.plugins.get(name)
        if isinstance(row, InputError):
            problem = row.problem
        elif row is not None:
            return None
    return problem
