"""fact-clip data forecast."""

import json
from dataclasses import asdict
from typing import Annotated

from fact_clip.cli.arguments import data_config
from fact_clip.cli.console import progress, table
from fact_clip.cli.options import AsJson, DataSet, Overrides, option


def forecast(
    data: DataSet,
    overrides: Overrides = None,
    *,
    minutes: Annotated[
        float, option("How long all trainings may take on one core.", min=0.01)
    ] = 5.0,
    n_new: Annotated[
        int, option("How many more videos the forecast is for.", "--more", min=1)
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Say what more labelled videos would bring, or clicks instead of borders.

    Sets every fourth training video apart, trains on a quarter, half and all of the others, and
    draws a line through the three figures (mean of accuracy, edit and F1@50). The interval comes
    from draws of the videos that are measured. Test videos are not used. One more model is trained
    on all of the others, with one click in a random frame of each segment instead of borders.

    \b
    Example:
      fact-clip data forecast my_data --minutes 3
    """
    from fact_clip.advice.forecast import forecast as forecast_of

    config = data_config(data, overrides)
    with progress("training") as report:
        result = forecast_of(config, minutes, n_new, report)
    if as_json:
        print(json.dumps(asdict(result)))
        return
    rows = []
    for count, figure in zip(result.videos, result.figures, strict=True):
        rows.append({"training videos": count, "mean figure": f"{figure:.1f}"})
    print(table(rows))
    print(
        f"{result.n_new} more videos: {result.gain:+.1f} points "
        f"({result.low:+.1f} to {result.high:+.1f}, 90 % of draws of {result.measured} videos)"
    )
    below = result.figures[-1] - result.clicks
    print(f"clicks instead of borders: {result.clicks:.1f}, {below:.1f} below borders")
