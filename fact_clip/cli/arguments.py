"""Arguments that several commands take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fact_clip.config import DataConfig

Recipe = Annotated[
    str, typer.Argument(metavar="CONFIG", help="Recipe that comes with the package, or the path of a YAML file.")
]
DataSet = Annotated[
    str, typer.Argument(metavar="NAME|DIR", help="Recipe or data set by name, a YAML file, or a data set's folder.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Single settings, as data.root=FOLDER train.epochs=20.")
]


def data_config(data: str, overrides: list[str] | None) -> DataConfig:
    """The data settings of a recipe, of an entry of data/benchmarks.py, or of a folder."""
    from fact_clip.config import Config, recipes
    from fact_clip.core import InputError
    from fact_clip.data.benchmarks import BENCHMARKS

    given = overrides or []
    if data not in recipes() and Path(data).is_dir():
        return Config.load("folder", [f"data.root={json.dumps(data)}", *given]).data
    if data not in recipes() and data in BENCHMARKS:
        return Config.load("folder", [f"data.name={data}", *given]).data
    if "/" in data and not data.endswith((".yaml", ".yml")):
        raise InputError(data, "no such folder", "a data set: mapping.txt, groundTruth, features, splits")
    return Config.load(data, given).data
