"""fact-clip share and plugins: a run for others, and parts of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fact_clip.cli.console import print_result, table
from fact_clip.cli.options import AsJson, check_run, option

_RUN = "Run folder, made by train or convert."
_LICENCE = "Licence of the model, as the hub writes it: mit, apache-2.0, cc-by-4.0, ..."


def share(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=_RUN)],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Repository, which is made if there is none.")
    ],
    private: Annotated[bool, option("Make it private, if it is new.", "--private")] = False,
    message: Annotated[str | None, option("Message of the commit.")] = None,
    licence: Annotated[str, option(_LICENCE)] = "mit",
) -> None:
    """Upload a run to the Hugging Face hub, with a model card.

    Anyone may then name it hf://OWNER/NAME wherever a run folder is named. Uploaded are the weights, settings, classes,
    calibrations and evaluation.json; no logs and no optimiser. Needs the extra 'hub' and a login. See docs/sharing.md.

    \b
    Example:
      fact-clip share runs/mine OWNER/NAME --private
      fact-clip segment my.mp4 --run hf://OWNER/NAME
    """
    check_run(run)
    from fact_clip.run import share as upload

    print(upload(run, repository, private=private, message=message, licence=licence))


def plugins(as_json: AsJson = False) -> None:
    """List the parts that installed packages add: encoders, heads, formats and metrics.

    Each is loaded once, to say whether it works. See docs/extending.md.

    \b
    Example:
      fact-clip plugins --json
    """
    from fact_clip.core.plugins import list_plugins
    from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS
    from fact_clip.formats import FORMATS
    from fact_clip.metrics.report import METRICS
    from fact_clip.models.heads import HEADS

    rows = list_plugins([FRAME_ENCODERS, TEXT_ENCODERS, HEADS, FORMATS, METRICS])
    cells = [[value or "works" for value in row.values()] for row in rows]
    print_result(
        rows, table(["group", "name", "package", "version", "state"], cells) if rows else "no plug-ins", as_json
    )
