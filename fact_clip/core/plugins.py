"""Parts that programs register in a table by name, and those that installed packages add.

Entry points are searched when a table is first asked for a name that it lacks, or is iterated. The
failure of a plug-in is one InputError that names the package, where it is used.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from fact_clip.core.errors import InputError, library_errors
from fact_clip.core.types import Json

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


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
            where = f"plug-in {point.name!r} of {package_of(point)}"
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


def package_of(point: EntryPoint) -> str:
    """Return the package of an entry point, as "fact-clip-example 0.1"."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
