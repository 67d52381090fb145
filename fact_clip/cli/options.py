"""Options and arguments that several commands share, as annotated types."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def option(help_text: str, *names: str, **settings: Any) -> Any:
    """Declare an option of a command.

    Args:
        help_text: its help.
        names: its names, where it is a flag or not named like its parameter.
        settings: further arguments of `typer.Option`.

    Returns:
        The annotation of the parameter.
    """
    return typer.Option(*names, help=help_text, **settings)


def argument(metavar: str, help_text: str, **settings: Any) -> Any:
    """Declare a positional argument of a command, as `option` does."""
    return typer.Argument(metavar=metavar, help=help_text, **settings)


def _recipe_names(prefix: str) -> list[str]:
    """Return the recipes that start with what was typed, for completion in the shell."""
    from fact_clip.config import recipes

    return [name for name in recipes() if name.startswith(prefix)]


Recipe = Annotated[
    str,
    argument(
        "CONFIG",
        "A recipe by name (docs/configuration.md lists them), or a YAML file.",
        autocompletion=_recipe_names,
    ),
]
DataSet = Annotated[
    str,
    argument("NAME|DIR", "A recipe or data set by name, a YAML file, or the folder of a data set."),
]
Overrides = Annotated[
    list[str] | None,
    argument("KEY=VALUE", "Settings, such as data.root=FOLDER train.epochs=20."),
]
AsJson = Annotated[bool, option("Print JSON instead of tables.", "--json")]
Device = Annotated[str, option("auto, cpu, cuda, cuda:N or mps.")]
Layout = Literal["TD", "DT"] | None
Split = Annotated[str, option("test, validation or train.")]
Precision = Annotated[
    Literal["auto", "float32", "bf16"],
    option(
        "auto: bf16 for an encoder of pictures where the device computes in it, "
        "float32 for the model."
    ),
]
KeepGoing = Annotated[
    bool, option("Take what decodes of a damaged video, with a warning.", "--keep-going")
]
TrustEncoder = Annotated[
    bool, option("Load an encoder that the run names by a path of this machine.", "--trust-encoder")
]

# The model of `segment` and `app`
RunFolder = Annotated[Path | None, option("Run folder of a trained model.")]
TrainingFree = Annotated[
    bool, option("No training: --encoder compares pictures with the --actions.", "--training-free")
]
Actions = Annotated[
    str | None,
    option('Only these: "pour milk, stir". A run whose head reads text takes any.'),
]
ActionsFile = Annotated[Path | None, option("As --actions, a name a line, or a mapping.txt.")]
Encoder = Annotated[
    str | None,
    option("Frame encoder for videos, as clip:ViT-B-32/openai or grid. Default: the run's."),
]
PicturesPerSecond = Annotated[
    float | None, option("Pictures a second of a video. Default: the run's, or 5.")
]
Prompts = Annotated[
    str | None,
    option("Training-free: wording of names, plain, person or ensemble. Default: ensemble."),
]
WindowSeconds = Annotated[
    float | None,
    option("Seconds that a run's model reads at once; longer videos are read in windows."),
]
