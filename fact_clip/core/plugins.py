"""Parts that programs register in a table by name, and parts that installed packages add.

Entry points are loaded when a table is first iterated or does not find a name. If a plug-in
fails, an InputError with the name of the package is raised where the plug-in is used.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from fact_clip.core.errors import InputError, library_errors

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def adopt_function(name: str, part: Any) -> Any:
    """Return a function unchanged, or raise a ValueError if a part is not callable."""
    if not callable(part):
        raise ValueError("not a function")
    return part


class Table(UserDict[str, T]):
    """The parts of one kind by name: built-in parts, and parts that this program registers.

    Args:
        group: Name of the table.
        rows: Built-in parts.
        adopt: Function `adopt(name, part)` that turns a part into a row of the table, or returns
            None if the part belongs to a different table of the group. It raises a ValueError for
            an unusable part. The default accepts any function.
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
        self._objects: dict[str, Any] = {}  # parts that were registered by their own names

    def find(self, name: str, where: str) -> T:
        """Return the row of a name that was given at `where`.

        If there is none, the InputError lists the names.
        """
        if name not in self:
            fix = f"use one of {', '.join(self)}"
            raise InputError(where, f"there is none named {name!r}", fix)
        return self[name]

    def register_by_own_name(self, part: Any) -> str:
        """Register an object by its own name, and return the name. A string is already a name.

        An object replaces its earlier definition, such as in a notebook cell that runs again.

        Raises:
            InputError: A different object has the same name, or the object cannot be used.
        """
        if isinstance(part, str):
            return part
        name = getattr(part, "__name__", type(part).__name__)
        registered = self._objects.get(name, part)
        if registered is not part and not _is_redefinition(registered, part):
            problem = f"a different object is already called {name!r}"
            raise InputError(self.group, problem, "define a function with a name of its own")
        self.register(part, name)
        self._objects[name] = part
        return name

    def register(self, part: Any, name: str) -> bool:
        """Add a part of this program, and return whether it belongs to this table."""
        where = f"{name!r}, a part of {self.group}"
        if name in self._built_in:
            raise InputError(where, "a built-in part has this name", "choose a different name")
        with library_errors(where, "it cannot be used", ValueError):
            row = self._adopt(name, part)
        if row is not None:
            self.data[name] = row
        return row is not None


class PluginTable(Table[T]):
    """A table to which installed packages add parts, through entry points of its group.

    Working plug-ins come last. A broken one raises an InputError when its name is looked up, so
    `in` is true for it.
    """

    @cached_property
    def plugins(self) -> dict[str, T | InputError]:
        """Load the entry points of this table by name.

        A broken plug-in is stored as its InputError.
        """
        from importlib.metadata import entry_points  # takes 20 ms, and most programs do not need it

        rows: dict[str, T | InputError] = {}
        for point in entry_points(group=self.group):
            where = f"plug-in {point.name!r} of {package_of(point)}"
            fix = "correct or uninstall the package"
            try:
                if point.name in self._built_in or point.name in rows:
                    raise InputError(where, "a different part has this name", fix)
                with library_errors(where, "it fails", BaseException, fix=fix):  # it may even exit
                    row = self._adopt(point.name, point.load())
            except InputError as error:
                rows[point.name] = error
            else:
                if row is not None:
                    rows[point.name] = row
        return rows

    def __missing__(self, name: str) -> T:
        row = self.plugins[name]
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


def _is_redefinition(registered: Any, part: Any) -> bool:
    """Return whether two objects were defined by the same name in the same place.

    All lambdas of a module have the same name, so this cannot be inferred for them.
    """
    origin = _origin(part)
    return origin is not None and origin == _origin(registered)


def _origin(part: Any) -> tuple[str, str] | None:
    """Return the module and the name of a definition, or None for a part without a name."""
    name = getattr(part, "__qualname__", "<none>")
    if name.endswith(">"):  # "<lambda>", "function.<locals>.<lambda>" or "<none>"
        return None
    return part.__module__, name


def package_of(point: EntryPoint) -> str:
    """Return the name and version of the package of an entry point: "fact-clip-example 0.1"."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
