"""The command of this package: fact-clip convert."""

import shlex
from pathlib import Path
from typing import Annotated

from fact_clip.cli.arguments import read_names
from fact_clip.cli.options import Layout, argument, option


def convert(
    checkpoint: Annotated[Path, argument("CKPT", "Checkpoint of the published FACT code.")],
    *,
    config: Annotated[Path, option("The YAML file that it was trained with.")],
    mapping: Annotated[Path, option("mapping.txt of its classes.")],
    out: Annotated[Path, option("Run folder to write; a new one.")],
    background: Annotated[
        str | None,
        option('Background classes, such as "SIL"; unset: as published for its data set.'),
    ] = None,
    layout: Annotated[
        Layout,
        option(
            "Feature files with time first or channels first; unset: as published for its data set."
        ),
    ] = None,
) -> None:
    """Convert a published checkpoint to a run folder.

    Every parameter must fit: a missing or unexpected one is an error.

    \b
    Example:
      fact-clip convert fact_breakfast.pth --config breakfast.yaml \\
        --mapping mapping.txt --out runs/bf
    """
    from fact_clip_compat.weights import convert as convert_checkpoint

    run = convert_checkpoint(
        checkpoint,
        config,
        out,
        mapping,
        background=None if background is None else read_names(background, "--background"),
        layout=layout,
    )
    print(f"use it with: fact-clip segment --run {shlex.quote(str(run))} FEATURES.npy")
