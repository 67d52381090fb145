"""What `extract` and `segment` share: batch options, lists on stdin, counts of outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fact_clip.cli.arguments import read_paths
from fact_clip.cli.console import bars, note
from fact_clip.cli.errors import with_options
from fact_clip.cli.options import option
from fact_clip.cli.signals import InterruptedCommandError
from fact_clip.core import InputError
from fact_clip.core.launch import place_in_launch
from fact_clip.core.messages import MAX_LISTED, printable

if TYPE_CHECKING:
    from fact_clip_batch.engine import BatchOptions, Outcome, Task
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.stores import RemoteFile


@dataclass(frozen=True)
class BatchChoice:
    """The options that control how a batch is processed."""

    shard: Annotated[
        str, option("Process part I of N of the inputs: 0/4 to 3/4.", panel="Many inputs")
    ] = "0/1"
    timeout: Annotated[
        float, option("Minutes that decoding a video may take.", panel="Many inputs")
    ] = 30.0
    memory: Annotated[
        float, option("Gigabytes that decoding a video may take.", panel="Many inputs")
    ] = 8.0
    retry_failed: Annotated[
        bool, option("Retry inputs that were set aside.", "--retry-failed", panel="Many inputs")
    ] = False
    overwrite: Annotated[
        bool, option("Process all inputs, and replace results.", "--overwrite", panel="Many inputs")
    ] = False
    engine: Annotated[
        Literal["local", "ray"], option("How inputs are processed.", panel="Many inputs")
    ] = "local"
    workers: Annotated[
        int,
        option("Number of Ray actors.", min=1, max=100_000, panel="Many inputs", metavar="<int>"),
    ] = 1

    def options(self, device: str) -> BatchOptions:
        """Return the batch options for actors that use a device."""
        from fact_clip_batch.engine import BatchOptions
        from fact_clip_batch.inputs import Shard
        from fact_clip_batch.isolated import Limits

        _, n_processes = place_in_launch()
        if n_processes > 1:
            fix = "start a job with --shard I/N for each"
            raise InputError("torchrun", "its processes do not share a batch", fix)
        return BatchOptions(
            shard=Shard.parse(self.shard),
            limits=Limits(60 * self.timeout, self.memory),
            retry_failed=self.retry_failed,
            overwrite=self.overwrite,
            actors=self.workers if self.engine == "ray" else 0,
            device=device,
        )


@dataclass
class Tally:
    """Counts of outcomes, of which a batch may have millions, and the first files and errors."""

    counts: Counter[str] = field(default_factory=Counter)  # "inputs", their states and "written"
    written: list[Path | RemoteFile] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts.update(["inputs", outcome.state])
        self.counts["written"] += len(outcome.written)
        self.written = [*self.written, *outcome.written][:MAX_LISTED]
        if outcome.error is not None and len(self.errors) < MAX_LISTED:
            self.errors.append(outcome.error)

    def report(self, out: str) -> None:
        """Print the failed inputs on stderr, and exit with code 1 if there are any."""
        lines = [f"fact-clip: {with_options(str(error))}" for error in self.errors]
        if self.counts["failed"] > len(self.errors):
            lines.append(f"fact-clip: and more in {out}/failures.jsonl")
        if self.counts["set aside"]:
            lines.append(f"fact-clip: {self.counts['set aside']} set aside; try --retry-failed")
        note(*map(printable, lines))
        if self.errors:
            raise typer.Exit(1)


def read_sources(inputs: Sequence[str]) -> list[str | list[str]]:
    """Return the inputs, with "-" replaced by the list of paths on stdin."""
    return [read_paths() if path == "-" else path for path in inputs]


def run_task(task: Task, make_task: Callable[[], Task], inputs: Inputs) -> Tally:
    """Process a batch with progress bars, and count the outcomes.

    Args:
        task: Task of this process.
        make_task: Function that creates the task of a Ray actor.
        inputs: Inputs of the batch.

    Returns:
        The counts, the first files and the first errors.

    Raises:
        InputError: The only input of the batch failed.
    """
    from fact_clip_batch.engine import run_batch
    from fact_clip_batch.ray_engine import on_ray

    tally = Tally()
    try:
        with bars(f"{task.command}ing", "") as (overall, within):
            if task.options.actors:
                outcomes = on_ray(make_task, inputs)
            else:
                outcomes = run_batch(task, inputs, overall, within)
            for outcome in outcomes:
                tally.add(outcome)
    except KeyboardInterrupt:
        raise InterruptedCommandError(
            "repeat the command to process the remaining inputs"
        ) from None
    if len(inputs) == 1 and tally.errors:
        raise tally.errors[0]
    return tally
