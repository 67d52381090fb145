"""fact-clip batch status and gather."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from fact_clip.cli.console import print_result
from fact_clip.cli.options import AsJson, argument

Out = Annotated[str, argument("OUT", "The --out folder of extract or segment.")]


def status(out: Out, *, as_json: AsJson = False) -> None:
    """Count finished, missing, failed and abandoned inputs in an --out folder.

    \b
    Example:
      fact-clip batch status segments --json
    """
    from fact_clip_batch.tables import batch_status

    counts = batch_status(out)
    done = f"{counts.command}: {counts.done:,} of {counts.inputs:,} done"
    left = f"missing {counts.missing:,}, failed {counts.failed:,}, set aside {counts.set_aside:,}"
    print_result(asdict(counts), f"{done}\n{left}", as_json)


def gather(
    out: Out,
    table: Annotated[Path, argument("TABLE", "CSV file to write.")],
) -> None:
    """Write the segments of an --out folder to one table.

    The columns are video, start, stop, label and confidence. Times are in seconds of the video, or
    in frames if the rate is unknown.

    \b
    Example:
      fact-clip batch gather segments all.csv
    """
    from fact_clip_batch.tables import gather

    n_segments = gather(out, table)
    print(f"{n_segments:,} segments; {table}")
