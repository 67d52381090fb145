"""fact-clip share."""

from pathlib import Path
from typing import Annotated

from fact_clip.cli.options import argument, option


def share(
    run: Annotated[Path, argument("RUN", "Run folder of train or convert.")],
    repository: Annotated[
        str, argument("OWNER/NAME", "Repository, which is created if it does not exist.")
    ],
    private: Annotated[
        bool, option("Make the repository private, if it is new.", "--private")
    ] = False,
    license: Annotated[
        str | None,
        option("License in the form of the hub: mit, apache-2.0, cc-by-4.0, ..."),
    ] = None,
) -> None:
    """Upload a run to the Hugging Face hub, with a model card.

    Anyone can then use hf://OWNER/NAME instead of a run folder. The command uploads the weights,
    settings, classes, calibrations and evaluation.json, but not the logs and the optimiser state.
    It needs the extra 'hub' and a login. See docs/sharing.md.

    \b
    Example:
      fact-clip share runs/mine OWNER/NAME --private
      fact-clip segment my.mp4 --run hf://OWNER/NAME
    """
    from fact_clip.runs.hub import share as upload

    print(upload(run, repository, private=private, license=license))
