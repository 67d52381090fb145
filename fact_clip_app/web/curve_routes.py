"""Requests about the curves of a video."""

from typing import Annotated

import numpy as np
from fastapi import Query

from fact_clip.core import Singles
from fact_clip_app.api import answers, request_bodies
from fact_clip_app.web.access import Served, Stored
from fact_clip_app.web.route_options import api_router
from fact_clip_app.workspace.curves import (
    choose_curves,
    load_table,
    outlines,
    shown_curves,
    signals_of,
)

router = api_router()

Seconds = Annotated[float, Query(ge=-1e9, le=1e9, allow_inf_nan=False)]


@router.get("/videos/{video}/curves")
def curves(workspace: Served, video: Stored) -> answers.Curves:
    """Return the columns of a video, and the names of the curves that are shown."""
    names = [name for signals in signals_of(workspace, video) for name in signals.names]
    return {"columns": names, "drawn": shown_curves(workspace, video)}


@router.put("/videos/{video}/curves")
def change_curves(
    workspace: Served, video: Stored, body: request_bodies.ChosenCurves
) -> answers.Curves:
    """Choose the curves of a video, or take columns from an uploaded table."""
    if body.file is not None:
        upload = workspace.upload(body.file)
        workspace.quick.run(lambda: load_table(workspace, video, upload))
    if body.curves is not None:
        choose_curves(workspace, video, body.curves)
    return curves(workspace, video)


@router.get("/videos/{video}/curves/outlines")
def curve_outlines(
    workspace: Served,
    video: Stored,
    start: Seconds,
    stop: Seconds,
    bins: Annotated[int, Query(ge=1, le=8000)] = 1000,
) -> answers.CurveOutlines:
    """Return the extremes of the curves of a video in bins of time."""
    stop = max(start, stop)
    signals = signals_of(workspace, video)
    rows: list[answers.CurveOutline] = []
    for outline in outlines(signals, shown_curves(workspace, video), start, stop, bins):
        rows.append(
            {
                "name": outline.name,
                "low": _numbers(outline.low),
                "high": _numbers(outline.high),
                "least": outline.least,
                "most": outline.most,
            }
        )
    return {"start": start, "stop": stop, "curves": rows}


def _numbers(values: Singles) -> list[float | None]:
    """Return values as numbers of JSON, which has no NaN."""
    rounded = [float(f"{value:.6g}") for value in values.tolist()]
    return [None if np.isnan(value) else value for value in rounded]
