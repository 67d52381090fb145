"""fact-clip share."""

from pathlib import Path
from typing import Annotated

from fact_clip.cli.options import argument, option


def share(
    run: Annotated[Path, argument("RUN", "Run folder, made by train or convert.")],
    repository: Annotated[
        str, argument("OWNER/NAME", "Repository, which is made if there is none.")
    ],
    private: Annotated[bool, option("Make it private, if it is new.", "--private")] = False,
    license: Annotated[
        str | None,
        option("License of the model, as the hub writes it: mit, apache-2.0, cc-by-4.0, ..."),
    ] = None,
) -> None:
    """Upload a run to the Hugging Face hub, with a model card.

    Anyone may then name it hf://OWNER/NAME wherever a run folder is named. Uploaded are the
    weights, settings, classes, calibrations and evaluation.json; no logs and no optimiser. Needs
    the extra 'hub' and a login. See docs/sharing.md.

    \b
    Example:
      fact-clip share runs/mine OWNER/NAME --private
      fact-clip segment my.mp4 --run hf://OWNER/NAME
    """
    from fact_clip.runs.hub import share as upload

    print(upload(run, repository, private=private, license=license))
