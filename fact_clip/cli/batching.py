"""What `extract` and `segment` share: options of a batch, lists on stdin, counts of outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fact_clip.cli.arguments import read_paths
from fact_clip.cli.errors import with_options
from fact_clip.cli.options import option
from fact_clip.core import InputError

if TYPE_CHECKING:
    from fact_clip.batch import BatchOptions, Outcome, RayResult

ShardOption = Annotated[
    str | None, option("Only part I of N of the inputs, for job arrays: 0/4 to 3/4.", "--shard")
]
Timeout = Annotated[float, option("Minutes that the decoding of a video may take.", "--timeout")]
Memory = Annotated[float, option("Gigabytes that the decoding of a video may take.", "--memory")]
RetryFailed = Annotated[bool, option("Try inputs again that failed three times.", "--retry-failed")]

Engine = Annotated[
    Literal["local", "ray"],
    option("ray: actors on the cluster of RAY_ADDRESS, or on this machine (docs/scaling.md)."),
]
Workers = Annotated[int, option("With --engine ray: number of actors.", min=1, max=100_000)]


@dataclass
class Tally:
    """Counts of the outcomes of a batch."""

    computed: int = 0
    done: int = 0
    set_aside: int = 0
    failed: int = 0
    written: list[Path] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        if outcome.set_aside:
            self.set_aside += 1
        elif outcome.done:
            self.done += 1
        elif outcome.error is None:
            self.computed += 1
        else:
            self.failed += 1
        if outcome.error is not None:
            self.errors.append(outcome.error)
        self.written += outcome.written
        if not outcome.done and outcome.name != outcome.item.id:
            self.renamed.append(f"{outcome.name} for {outcome.source.name}")

    def add_result(self, result: RayResult) -> None:
        """Count a result of Ray."""
        if result.state == "set aside":
            self.set_aside += 1
        elif result.state == "done":
            self.done += 1
        elif result.state == "computed":
            self.computed += 1
        else:
            self.failed += 1
            self.errors.append(InputError(result.id, result.message))

    @property
    def inputs(self) -> int:
        """Return the number of inputs."""
        return self.computed + self.done + self.set_aside + self.failed

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        """Add the counts of several processes."""
        total = cls()
        for tally in tallies:
            total.computed += tally.computed
            total.done += tally.done
            total.set_aside += tally.set_aside
            total.failed += tally.failed
            total.written += tally.written
            total.renamed += tally.renamed
            total.errors += tally.errors
        return total

    def lines(self, out: Path | str) -> list[str]:
        """Return the lines about failed inputs, for stderr."""
        lines = [f"fact-clip: {with_options(str(error))}" for error in self.errors]
        if self.set_aside:
            lines.append(
                f"fact-clip: {self.set_aside} set aside after three attempts "
                f"({out}/failures.jsonl); --retry-failed tries them again"
            )
        return lines


def batch_options(
    shard: str | None,
    timeout: float,
    memory: float,
    retry_failed: bool,
    overwrite: bool,
    world: int = 1,
    rank: int = 0,
) -> BatchOptions:
    """Return the options of a batch, in one of `world` processes of torchrun."""
    from fact_clip.batch import BatchOptions, Limits, Shard

    part = Shard() if shard is None else Shard.parse(shard)
    return BatchOptions(
        shard=part.split(rank, world),
        limits=Limits(60 * timeout, memory),
        retry_failed=retry_failed,
        overwrite=overwrite,
    )


def read_sources(inputs: Sequence[str]) -> list[str | list[Path]]:
    """Return the inputs, with "-" replaced by the list of paths on stdin."""
    sources: list[str | list[Path]] = []
    for path in inputs:
        sources.append(read_paths([Path(path)]) if path == "-" else path)
    return sources
