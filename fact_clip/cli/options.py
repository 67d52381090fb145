"""Options and arguments that several commands share, as annotated types and in groups.

A group is a dataclass whose annotated fields are options. A command has a parameter of its type.
"""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, Literal, get_type_hints

import typer


def option(help_text: str, *names: str, panel: str | None = None, **settings: Any) -> Any:
    """Declare an option of a command.

    Args:
        help_text: Help text of the option.
        names: Names of the option. They are needed for a flag, or if the name differs from the
            name of the parameter.
        panel: Heading above the option in the help of the command, or None for "Options".
        settings: Further arguments of `typer.Option`.

    Returns:
        The annotation of the parameter.
    """
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **settings)


def argument(metavar: str, help_text: str, **settings: Any) -> Any:
    """Declare a positional argument of a command, with the metavar before its help.

    Args:
        metavar: Name of the argument in the help, such as "DIR".
        help_text: Help text of the argument.
        settings: Further arguments of `typer.Argument`.

    Returns:
        The annotation of the parameter.
    """
    return typer.Argument(metavar=metavar, help=help_text, **settings)


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer that has the options of each group as parameters."""
    parameters = []
    groups: dict[str, Any] = {}
    for parameter in _parameters(command):
        if is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _parameters(parameter.annotation)
        else:
            parameters.append(parameter)

    @wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            options = {field.name: values.pop(field.name) for field in fields(group)}
            values[name] = group(**options)
        command(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _parameters(command_or_group: Any) -> list[inspect.Parameter]:
    """Return the parameters of a command or group as keyword parameters with resolved types."""
    types = get_type_hints(command_or_group, include_extras=True)
    parameters = []
    for name, parameter in inspect.signature(command_or_group).parameters.items():
        parameters.append(parameter.replace(annotation=types[name], kind=parameter.KEYWORD_ONLY))
    return parameters


def _recipe_names(prefix: str) -> list[str]:
    """Return the recipes whose names start with a prefix, for completion in the shell."""
    from fact_clip.config import recipes

    return [name for name in recipes() if name.startswith(prefix)]


Recipe = Annotated[
    str,
    argument(
        "CONFIG",
        "Name of a recipe (see docs/configuration.md), or a YAML file.",
        autocompletion=_recipe_names,
    ),
]
DataSet = Annotated[
    str,
    argument("NAME|DIR", "Name of a recipe or data set, a YAML file, or a data set folder."),
]
Overrides = Annotated[
    list[str] | None,
    argument("KEY=VALUE", "Settings, such as data.root=FOLDER train.epochs=20."),
]
AsJson = Annotated[bool, option("Print JSON instead of tables.", "--json")]
Device = Annotated[str, option("auto, cpu, cuda, cuda:N or mps.", panel="Model")]
Layout = Literal["TD", "DT"] | None
Split = Annotated[str, option("Split to use: test, validation or train.")]
Precision = Annotated[
    Literal["auto", "float32", "bf16"],
    option(
        "float32, bf16, or auto: bf16 for image encoders if possible.",
        metavar="<str>",
        panel="Model",
    ),
]
TrustEncoder = Annotated[
    bool,
    option(
        "Load the encoder of the run even if it is a local path.", "--trust-encoder", panel="Model"
    ),
]
