"""Extras: packages that only some functions need, and the commands that install them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fact_clip.core.errors import InputError, Location

if TYPE_CHECKING:
    from pandas import DataFrame

_CHECKOUT = Path(__file__).parents[2]


def install_command(*extras: str) -> str:
    """Return the command that installs extras, for a checkout or an installed package."""
    names = ",".join(extras)
    if (_CHECKOUT / "pyproject.toml").is_file():
        return f"run in the folder of FACT-CLIP: pip install -e '.[{names}]'"
    return f"run: pip install 'fact-clip[{names}]'"


def require(where: Location, module: str, extra: str) -> None:
    """Raise an InputError if a module of an extra is not installed."""
    if find_spec(module) is None:
        raise InputError(where, f"the package {module} is not installed", install_command(extra))


def data_frame(data: Any, **options: Any) -> DataFrame:
    """Return a pandas.DataFrame of the arguments. Without pandas, raise an InputError."""
    require("to_dataframe", "pandas", "tables")
    import pandas as pd

    return pd.DataFrame(data, **options)
