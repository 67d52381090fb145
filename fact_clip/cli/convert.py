"""fact-clip convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fact_clip.cli.console import names


def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="Checkpoint of the published FACT code.")],
    *,
    config: Annotated[Path, typer.Option(help="The YAML file that it was trained with.")],
    mapping: Annotated[Path, typer.Option(help="mapping.txt of its classes.")],
    out: Annotated[Path, typer.Option(help="Run folder to write; a new one.")],
    background: Annotated[str, typer.Option(help='Background classes by name: "SIL".')] = "",
    layout: Annotated[
        Literal["TD", "DT"] | None,
        typer.Option(
            help="Orientation of feature files, time or channels first; unset: as published for its data set."
        ),
    ] = None,
) -> None:
    """Turn a published checkpoint into a run folder.

    Every parameter must fit: a missing or an unexpected one is an error.

    \b
    Example:
      fact-clip convert fact_breakfast.pth --config breakfast.yaml --mapping mapping.txt --out runs/bf
    """
    from fact_clip import compat

    written = compat.convert(checkpoint, config, out, mapping, background=names(background) or (), layout=layout)
    print(f"the run folder is {written}; use it with: fact-clip segment --run {written} FEATURES.npy")
