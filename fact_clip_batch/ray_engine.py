"""Batches on Ray: each actor holds a model, and Ray Data hands it the inputs."""

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from fact_clip.core.extras import require
from fact_clip.encoders import Runtime, frame_encoder
from fact_clip.encoders.image import GridEncoder
from fact_clip.video.extract import Settings
from fact_clip_batch.engine import BatchOptions, Outcome, Task
from fact_clip_batch.extraction import ExtractTask
from fact_clip_batch.inputs import Inputs

_ITEMS_AT_ONCE = 8  # inputs that an actor gets together
_BLOCKS_A_WORKER = 8
_MAX_BLOCK = 64  # inputs of a block, which an actor gets as a whole

MakeTask = Callable[[BatchOptions], Task]
"""Makes the task of a batch, in each actor. It is pickled."""


def extract_on_ray(
    encoder: str,
    inputs: Inputs,
    out: str,
    settings: Settings | None = None,
    options: BatchOptions | None = None,
    *,
    workers: int = 1,
    runtime: Runtime | None = None,
) -> Iterator[Outcome]:
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
        The outcome of each input.
    """
    runtime = runtime or Runtime()

    def make_task(options: BatchOptions) -> Task:
        model = frame_encoder(encoder, runtime)
        return ExtractTask(model, out, settings or Settings(), options)

    options = options or BatchOptions()
    device = "cpu" if encoder == GridEncoder.name else runtime.device
    return on_ray(make_task, inputs, options, workers=workers, device=device)


def on_ray(
    make_task: MakeTask,
    inputs: Inputs,
    options: BatchOptions,
    *,
    workers: int = 1,
    device: str = "auto",
) -> Iterator[Outcome]:
    """Run a batch on the cluster of RAY_ADDRESS, or on this machine where it is not set.

    Outputs and records are those of `run_batch`, so that either continues what the other began.
    Ray gives inputs to the actors that are free, and starts lost actors again.

    Args:
        make_task: makes the task in each actor.
        inputs: the inputs.
        options: of the batch.
        workers: number of actors.
        device: of the actors. Each one gets a GPU where the cluster has some; cpu: none.

    Yields:
        The outcome of each input, in any order.

    Raises:
        InputError: Ray is not installed.
    """
    require("--engine", "ray", "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    import ray.data

    task = make_task(options)  # wrong options are reported before Ray starts
    task.begin(inputs)
    task.describe()
    task.close()
    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(
            address=os.environ.get("RAY_ADDRESS"), include_dashboard=False, log_to_driver=False
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = []
        for item in inputs:
            if options.shard.has(item.id):
                if item.address is None:  # for other machines
                    item = replace(item, path=item.path.absolute())
                rows.append({"item": pickle.dumps(item)})
        if not rows:  # a shard may be empty
            return
        n_blocks = max(workers * _BLOCKS_A_WORKER, len(rows) // _MAX_BLOCK)
        gpus = 0.0 if device == "cpu" else min(ray.cluster_resources().get("GPU", 0.0), 1.0)
        blocks = ray.data.from_items(rows, override_num_blocks=min(n_blocks, len(rows)))
        results = blocks.map_batches(
            _Actor,
            fn_constructor_args=[make_task, options],
            batch_size=_ITEMS_AT_ONCE,
            concurrency=workers,
            num_gpus=gpus,
            num_cpus=0 if gpus else 1,
        )
        for row in results.iter_rows():
            yield pickle.loads(row["outcome"])
    finally:
        if is_ours:
            ray.shutdown()


class _Actor:
    """Holds the task, and goes through the inputs that Ray hands it."""

    def __init__(self, make_task: MakeTask, options: BatchOptions) -> None:
        self._task = make_task(options)
        self._task.begin(None)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """Return the outcomes of some inputs, without segmentations and names of files."""
        items = map(pickle.loads, batch["item"])
        outcomes = []
        for pack in self._task.packed(items):
            for outcome in self._task.run(pack):
                outcomes.append(pickle.dumps(replace(outcome, segmentation=None, written=())))
        return {"outcome": outcomes}
