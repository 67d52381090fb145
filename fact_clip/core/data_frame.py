"""Tables of pandas, which is imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fact_clip.core.extras import require

if TYPE_CHECKING:
    from pandas import DataFrame


def data_frame(data: Any, **options: Any) -> DataFrame:
    """Return a pandas.DataFrame of its arguments; without pandas an InputError is raised."""
    require("to_dataframe", "pandas", "tables")
    import pandas as pd

    return pd.DataFrame(data, **options)
