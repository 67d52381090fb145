"""Batches on Ray: each actor has a model, and Ray Data sends inputs to it."""

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fact_clip.core.extras import require
from fact_clip_batch.engine import Outcome, Task
from fact_clip_batch.inputs import Inputs


def on_ray(make_task: Callable[[], Task], inputs: Inputs) -> Iterator[Outcome]:
    """Run a batch on the cluster of RAY_ADDRESS, or on this machine if it is not set.

    Outputs and records equal those of `run_batch`, so each can continue what the other began. Ray
    sends inputs to idle actors, and restarts lost actors.

    Args:
        make_task: Function that makes the task in each actor. It is pickled.
        inputs: Inputs of the batch.

    Yields:
        The outcome of each input, in any order.

    Raises:
        InputError: Ray is not installed.
    """
    require("--engine", "ray", "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    import ray.data

    task = make_task()  # wrong options are reported before Ray starts
    options = task.options
    n_actors = max(options.actors, 1)
    task.begin(inputs)
    task.describe()
    task.video_decoder.close()
    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(
            address=os.environ.get("RAY_ADDRESS"), include_dashboard=False, log_to_driver=False
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"item": pickle.dumps(item)} for item in options.shard.items(inputs)]
        if not rows:  # a shard may be empty
            return
        n_blocks = max(n_actors * 8, len(rows) // 64)  # one part for each idle actor
        gpus = 0.0 if options.device == "cpu" else min(ray.cluster_resources().get("GPU", 0.0), 1.0)
        blocks = ray.data.from_items(rows, override_num_blocks=min(n_blocks, len(rows)))
        results = blocks.map_batches(
            _Actor,
            fn_constructor_args=[make_task, Path.cwd()],
            batch_size=8,  # inputs that an actor gets together
            concurrency=n_actors,
            num_gpus=gpus,
            num_cpus=0 if gpus else 1,
        )
        for row in results.iter_rows():
            yield pickle.loads(row["outcome"])
    finally:
        if is_ours:
            ray.shutdown()


class _Actor:
    """An actor that runs the task on the inputs that Ray sends to it."""

    def __init__(self, make_task: Callable[[], Task], folder: Path) -> None:
        with suppress(OSError):  # a machine without this working folder needs absolute paths
            os.chdir(folder)
        self._task = make_task()
        self._task.begin(None)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """Return the outcomes of some inputs, without segmentations and names of files."""
        outcomes = []
        for item in self._task.in_blocks(map(pickle.loads, batch["item"])):
            outcome = replace(self._task.run(item), segmentation=None, written=())
            outcomes.append(pickle.dumps(outcome))
        return {"outcome": outcomes}
