"""Options and arguments that several commands share, as annotated types."""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Literal

import typer

from fact_clip.cli.errors import OPTIONS


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


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of its parameters that are groups of options.

    Args:
        command: the function of the command. A group is a dataclass with annotated fields and
            defaults, or the settings of decoding, whose descriptions are the help.

    Returns:
        The command, which is called with the fields.
    """
    own_signature = signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[Parameter] = []
    for name, parameter in own_signature.parameters.items():
        settings = getattr(parameter.annotation, "model_fields", {})
        if not settings and not is_dataclass(parameter.annotation):
            parameters.append(parameter)
            continue
        groups[name] = signature(parameter.annotation, eval_str=True)
        for key, member in groups[name].parameters.items():
            annotation = member.annotation
            if key in settings:
                annotation = Annotated[annotation, option(settings[key].description, OPTIONS[key])]
            parameters.append(member.replace(annotation=annotation))

    @wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            fields = {field: values.pop(field) for field in group.parameters}
            values[name] = own_signature.parameters[name].annotation(**fields)
        command(**values)

    vars(run)["__signature__"] = own_signature.replace(parameters=parameters)
    return run


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
