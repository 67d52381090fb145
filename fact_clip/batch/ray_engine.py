"""Batches on Ray: each actor holds a model, and Ray Data hands it the inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fact_clip.batch.engine import BatchOptions, Task, run_items
from fact_clip.batch.extraction import ExtractTask
from fact_clip.batch.inputs import Inputs, Item
from fact_clip.batch.stores import Mirror, is_remote
from fact_clip.core import Json
from fact_clip.core.extras import require
from fact_clip.encoders import Runtime, frame_encoder
from fact_clip.video.extract import Settings

_ITEMS_AT_ONCE = 8  # inputs that an actor gets together

MakeTask = Callable[[BatchOptions], Task]
"""Makes the task of a batch, in each actor. It is pickled."""


@dataclass(frozen=True)
class RayResult:
    """What happened to one input.

    Attributes:
        id: of the input.
        state: "computed", "done", "failed" or "set aside".
        message: of the error of a failed input, or "".
    """

    id: str
    state: str
    message: str


def extract_task(
    encoder: str, runtime: Runtime, out: str, settings: Settings, options: BatchOptions
) -> ExtractTask:
    """Return the task of `extract_batch` with an encoder by name.

    Args:
        encoder: the name of the frame encoder.
        runtime: how it runs.
        out: the folder of the feature files.
        settings: of the extraction.
        options: of the batch.

    Returns:
        The task.
    """
    return ExtractTask(frame_encoder(encoder, runtime), Path(out), settings, options)


def extract_on_ray(
    encoder: str,
    inputs: Inputs,
    out: str,
    settings: Settings | None = None,
    options: BatchOptions | None = None,
    *,
    workers: int = 1,
    runtime: Runtime | None = None,
) -> Iterator[RayResult]:
    """Extract features on Ray; see `extract_batch` and `on_ray`.

    Args:
        encoder: the name of the frame encoder.
        inputs: videos, with their ids.
        out: the folder of the feature files, which all machines of the cluster see.
        settings: of the extraction.
        options: of the batch.
        workers: number of actors.
        runtime: how the encoder runs.

    Yields:
        What happened to each input.
    """
    make_task = partial(extract_task, encoder, runtime or Runtime(), out, settings or Settings())
    options = replace(options or BatchOptions(), store=out)
    return on_ray(make_task, inputs, options, workers=workers)


def on_ray(
    make_task: MakeTask,
    inputs: Inputs,
    options: BatchOptions,
    *,
    workers: int = 1,
    gpus: float = 0.0,
) -> Iterator[RayResult]:
    """Run a batch on the cluster of RAY_ADDRESS, or on this machine where it is not set.

    Outputs and records are those of `run_batch`, so that either continues what the other began.
    Ray gives inputs to the actors that are free, and starts lost actors again.

    Args:
        make_task: makes the task in each actor.
        inputs: the inputs.
        options: of the batch.
        workers: number of actors.
        gpus: of each actor.

    Yields:
        What happened to each input, in any order.

    Raises:
        InputError: Ray is not installed.
    """
    require("--engine", "ray", "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    import ray.data

    _begin(make_task, inputs, options)
    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(
            address=os.environ.get("RAY_ADDRESS"), include_dashboard=False, log_to_driver=False
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [_row(item) for item in inputs if options.shard.has(item.id)]
        results = ray.data.from_items(rows).map_batches(
            _Actor,
            fn_constructor_args=[make_task, options],
            batch_size=_ITEMS_AT_ONCE,
            concurrency=workers,
            num_gpus=gpus,
            num_cpus=0 if gpus else 1,
        )
        for row in results.iter_rows():
            yield RayResult(row["id"], row["state"], row["message"])
    finally:
        if is_ours:
            ray.shutdown()


def _begin(make_task: MakeTask, inputs: Inputs, options: BatchOptions) -> None:
    """Write what the batch is. Errors of options come before Ray starts."""
    task = make_task(options)
    with _Outputs(task, options):
        task.begin(inputs)
        task.describe()
    task.close()


def _row(item: Item) -> Json:
    return {
        "id": item.id,
        "path": str(item.path.absolute() if item.address is None else item.path),
        "start": item.start,
        "stop": -1.0 if item.stop is None else item.stop,
        "address": item.address or "",
    }


def _item(row: Mapping[str, Any]) -> Item:
    return Item(
        id=str(row["id"]),
        path=Path(row["path"]),
        start=float(row["start"]),
        stop=None if row["stop"] < 0 else float(row["stop"]),
        address=str(row["address"]) or None,
    )


class _Outputs:
    """Sends the outputs of a task to another store, if the batch writes there."""

    def __init__(self, task: Task, options: BatchOptions) -> None:
        self.mirror: Mirror | None = None
        if is_remote(options.store):
            self.mirror = Mirror(str(options.store))
            task.folder = self.mirror.folder
            self.mirror.begin()

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        if self.mirror is not None:
            self.mirror.push()
            self.mirror.close()


class _Actor:
    """Holds the task, and goes through the inputs that Ray hands it."""

    def __init__(self, make_task: MakeTask, options: BatchOptions) -> None:
        self._options = options
        self._task = make_task(options)
        self._outputs = _Outputs(self._task, options)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the results of some inputs, column by column."""
        columns = batch.keys()
        items = []
        for values in zip(*batch.values(), strict=True):
            items.append(_item(dict(zip(columns, values, strict=True))))
        results: dict[str, list[str]] = {"id": [], "state": [], "message": []}
        outcomes = run_items(
            self._task, items, self._options, len(items), mirror=self._outputs.mirror
        )
        for outcome in outcomes:
            results["id"].append(outcome.item.id)
            results["state"].append(outcome.state)
            results["message"].append("" if outcome.error is None else str(outcome.error))
        return results
