"""What `extract` and `segment` share: options of a batch, lists on stdin, counts of outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.arguments import read_paths
from fact_clip.cli.console import bars, note
from fact_clip.cli.errors import with_options
from fact_clip.cli.options import option
from fact_clip.cli.signals import InterruptedCommandError
from fact_clip.core import InputError
from fact_clip.core.messages import MAX_LISTED, printable

if TYPE_CHECKING:
    from fact_clip.core.distributed import Processes
    from fact_clip_batch.engine import BatchOptions, Outcome, Task
    from fact_clip_batch.inputs import Inputs
    from fact_clip_batch.stores import RemoteFile


@dataclass(frozen=True)
class BatchChoice:
    """The options that say how a batch goes through its inputs."""

    shard: Annotated[
        str | None, option("Only part I of N of the inputs, for job arrays: 0/4 to 3/4.")
    ] = None
    timeout: Annotated[float, option("Minutes that the decoding of a video may take.")] = 30.0
    memory: Annotated[float, option("Gigabytes that the decoding of a video may take.")] = 8.0
    retry_failed: Annotated[
        bool, option("Try inputs again that failed three times.", "--retry-failed")
    ] = False
    overwrite: Annotated[
        bool, option("Do all inputs anew, and replace what is there.", "--overwrite")
    ] = False
    engine: Annotated[
        Literal["local", "ray"],
        option("ray: actors on the cluster of RAY_ADDRESS, or on this machine (docs/scaling.md)."),
    ] = "local"
    workers: Annotated[int, option("With --engine ray: number of actors.", min=1, max=100_000)] = 1

    def options(self, **settings: Any) -> BatchOptions:
        """Return the options of the batch; `settings` are further fields of them."""
        from fact_clip_batch.engine import BatchOptions
        from fact_clip_batch.inputs import Shard
        from fact_clip_batch.isolated import Limits

        return BatchOptions(
            shard=Shard() if self.shard is None else Shard.parse(self.shard),
            limits=Limits(60 * self.timeout, self.memory),
            retry_failed=self.retry_failed,
            overwrite=self.overwrite,
            actors=self.workers if self.engine == "ray" else 0,
            **settings,
        )


@dataclass
class Tally:
    """Counts of outcomes, of which a batch may have millions, and the first things to report."""

    counts: Counter[str] = field(default_factory=Counter)  # "inputs", their states, "written", ...
    written: list[Path | RemoteFile] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        tally = Tally(Counter(["inputs", outcome.state]), list(outcome.written))
        tally.counts["written"] = len(outcome.written)
        if outcome.error is not None:
            tally.errors.append(outcome.error)
        if not outcome.done and outcome.name != outcome.item.id:
            tally.counts["renamed"] = 1
            tally.renamed.append(f"{outcome.name} for {outcome.source.name}")
        self.merge(tally)

    def merge(self, tally: Tally) -> None:
        """Add the counts of another process."""
        self.counts += tally.counts
        self.written = [*self.written, *tally.written][:MAX_LISTED]
        self.renamed = [*self.renamed, *tally.renamed][:MAX_LISTED]
        self.errors = [*self.errors, *tally.errors][:MAX_LISTED]

    def lines(self, out: Path | str) -> list[str]:
        """Return the lines about failed inputs, for stderr."""
        lines = [f"fact-clip: {with_options(str(error))}" for error in self.errors]
        surplus = self.counts["failed"] - len(self.errors)
        if surplus:
            lines.append(f"fact-clip: and {surplus:,} more ({out}/failures.jsonl)")
        set_aside = self.counts["set aside"]
        if set_aside:
            lines.append(
                f"fact-clip: {set_aside} set aside after three attempts "
                f"({out}/failures.jsonl); --retry-failed tries them again"
            )
        return lines


def read_sources(inputs: Sequence[str]) -> list[str | list[str]]:
    """Return the inputs, with "-" replaced by the list of paths on stdin."""
    return [read_paths() if path == "-" else path for path in inputs]


def run_tasks(
    tasks: Sequence[Task],
    make_task: Callable[[], Task],
    inputs: Inputs,
    processes: Processes,
) -> Tally:
    """Go through a batch with progress bars, and count the outcomes of all processes.

    Args:
        tasks: of this process.
        make_task: makes the task of an actor of Ray.
        inputs: of the batch. The error of a single one is raised.
        processes: of torchrun, which share the inputs.
    """
    from fact_clip_batch.engine import run_batch
    from fact_clip_batch.ray_engine import on_ray

    tally = Tally()
    try:
        with bars(f"{tasks[0].command}ing", "") as (overall, within):
            if tasks[0].options.actors:
                outcomes = on_ray(make_task, inputs)
            else:
                outcomes = run_batch(tasks, inputs, overall, within)
            for outcome in outcomes:
                tally.add(outcome)
    except KeyboardInterrupt:
        raise InterruptedCommandError("the same command goes on with what is left") from None
    total = Tally()
    for part in processes.gather([tally], processes.world):
        total.merge(part)
    if processes.is_main and len(inputs) == 1 and total.errors:
        raise total.errors[0]
    return total


def end(tally: Tally, lines: Sequence[str]) -> None:
    """Print lines on stderr, and exit with 1 if an input failed."""
    note(*map(printable, lines))
    if tally.errors:
        raise typer.Exit(1)
