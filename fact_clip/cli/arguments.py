"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Recipe = Annotated[
    str, typer.Argument(metavar="CONFIG", help="Recipe that comes with the package, or the path of a YAML file.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Single settings, as data.root=FOLDER train.epochs=20.")
]
