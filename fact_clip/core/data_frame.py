"""Tables of pandas, which is imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fact_clip.core.errors import library_errors

if TYPE_CHECKING:
    from pandas import DataFrame


def data_frame(data: Any, **options: Any) -> DataFrame:
    """Return a pandas.DataFrame of its arguments; without pandas an InputError is raised."""
    with library_errors(
        "to_dataframe", "pandas is not installed", ImportError, fix="pip install pandas"
    ):
        import pandas as pd

    return pd.DataFrame(data, **options)
