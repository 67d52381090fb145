"""fact-clip data init."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import names

if TYPE_CHECKING:
    from fact_clip.data.suggest import Suggestion


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data set in the common layout.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Recipe to write, a new file; else DIR/recipe.yaml.")] = None,
    background: Annotated[
        str | None, typer.Option(help='Classes that mean no action, "a, b"; unset: guessed by their names.')
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Feature rows a second.")] = None,
    layout: Annotated[
        Literal["TD", "DT"] | None, typer.Option(help="Time or channels first; unset: by the labels.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to train on; else the first.")] = "1",
) -> None:
    """Write a recipe for an own data set.

    Orientation, stride, tokens, width and epochs are measured; what is guessed is said.

    \b
    Example:
      fact-clip data init my_data --fps 15 --background "no action"
    """
    from fact_clip.config import DataConfig
    from fact_clip.core import InputError
    from fact_clip.data.suggest import suggest
    from fact_clip.export.formats import whole_file

    path = folder / "recipe.yaml" if out is None else out
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(path, f"the ending {path.suffix!r}", "a name that ends in .yaml")
    if path.exists():
        raise InputError(path, "already there", "a new file", "take it away, or name another with --out")
    known = None if background is None else tuple(names(background) or ())
    given = {"root": str(folder), "background": known, "fps": fps, "layout": layout, "split": split}
    found = suggest(DataConfig.model_validate(given))
    with whole_file(path) as unfinished:
        unfinished.write_text(recipe_text(folder, found), encoding="utf-8")
    print(f"{path}: {found.videos} videos, {found.classes} classes")
    for key, value, reason in found.settings:
        print(f"  {key} = {json.dumps(value)}" + (f"  ({reason})" if reason else ""))
    for note in found.notes:
        print(f"note: {note}")
    print(f"train it with: {shlex.join(['fact-clip', 'train', str(path), '--out', 'runs/mine'])}")


def recipe_text(folder: Path, found: Suggestion) -> str:
    """The recipe as YAML, each setting with its reason as a comment."""
    tree: dict[str, Any] = {}
    for key, value, reason in found.settings:
        *groups, last = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = (value, reason)
    lines = [
        f"# {folder.resolve().name}: {found.videos} videos, {found.classes} classes. Measured by fact-clip data init.",
        "base: folder",
        *_lines(tree, ""),
    ]
    return "\n".join(lines) + "\n"


def _lines(tree: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            shown, reason = value
            # JSON is YAML, and quotes what YAML would read as something else
            lines.append(
                f"{indent}{key}: {json.dumps(shown, ensure_ascii=False)}" + (f"  # {reason}" if reason else "")
            )
    return lines
