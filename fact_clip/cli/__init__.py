"""The command line. A module is imported when its command runs, and what it needs then, so that --help is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from fact_clip import __version__
from fact_clip.cli.console import answered
from fact_clip.core.errors import InputError

# Command -> its module in this folder, and the first line of its help. The function has the name of the command.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "train",
        "Try everything on synthetic data: recognise actions without examples, from their names.",
    ),
    "train": ("train", "Train a model into a run folder."),
    "evaluate": ("evaluate", "Score a run on a split."),
    "report": (
        "evaluate",
        "Write the report of one or more runs: a page to look at, or plots for a paper.",
    ),
    "extract": ("segment", "Turn videos into feature files."),
    "segment": ("segment", "Cut videos into actions."),
    "share": ("train", "Upload a run to the Hugging Face hub, with a model card."),
    "plugins": (
        "train",
        "List the parts that installed packages add: encoders, heads, formats and metrics.",
    ),
    "app": (
        "app",
        "Open a page to label videos, train on the labels, and correct what a model predicts.",
    ),
    "summary": (
        "labels",
        "Say how long, how often and when each action is done, and how far two labellings agree.",
    ),
    "project import": ("app", "Add videos to a project of the page, and load label files."),
    "project export": ("app", "Write the labels of a project."),
    "convert": ("train", "Turn a published checkpoint into a run folder."),
    "data check": ("data", "Look for faults in a data set: one line each."),
    "data convert": ("labels", "Convert annotations and features to the common layout."),
    "data holdout": ("data", "Choose classes to hold out, or look at a choice."),
    "data summary": ("data", "Count what a data set holds."),
    "data split": ("labels", "Divide the videos into training and test."),
    "data sample": (
        "data",
        "Write a data set to try things on: synthetic videos, features, labels and splits.",
    ),
    "data init": ("data", "Write a recipe for your own data set."),
}


class _Group(TyperGroup):
    """Lists its commands from the table, and imports the one that is asked for."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The name, the command and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        if name and (path := f"{self.name or ''} {name}".strip()) in COMMANDS:
            function = getattr(import_module(f"fact_clip.cli.{COMMANDS[path][0]}"), name)
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(name, cls=_Command)(function)
            command = get_command(alone)
        return name, command, rest


class _Command(TyperCommand):
    """Takes an option once, where typer takes the last of several."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words that are left over."""
        _, _, parameters = self.make_parser(ctx).parse_args(list(args))
        for parameter in parameters:
            if parameters.count(parameter) > 1 and not getattr(parameter, "multiple", False):
                raise InputError(str(parameter.opts[0]), "given twice")
        return super().parse_args(ctx, args)


def make_app() -> typer.Typer:
    """The program with every command of the table."""
    look: dict[str, Any] = {"cls": _Group, "rich_markup_mode": None}
    app = typer.Typer(epilog="Start with: fact-clip demo", pretty_exceptions_enable=False, **look)
    app.callback()(_program)
    groups = {
        "data": "Make, check, convert and describe data sets.",
        "project": "Projects of the page.",
    }
    makers = {"": app} | {name: typer.Typer(help=line, **look) for name, line in groups.items()}
    for name in groups:
        app.add_typer(makers[name], name=name)
    for path, (_, line) in COMMANDS.items():
        group, _, name = path.rpartition(" ")
        makers[group].command(name, help=line)(lambda: None)  # stands in for one that is not loaded
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give back the exit code: 0, 2 for bad input (one line on stderr), 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    os.environ["MPLBACKEND"] = (
        "agg"  # no command opens a window, and matplotlib ends at a name that it does not know
    )
    # core.distributed.PARENT, which is imported only where it is asked for
    parent = os.environ.get(
        "FACT_CLIP_PARENT", str(os.getppid()) if "TORCHELASTIC_RUN_ID" in os.environ else ""
    )
    if argv is None and parent.isdecimal():
        import_module("fact_clip.core.distributed").end_with_parent(int(parent))

    def command() -> object:
        _check_words(arguments)
        return make_app()(args=arguments, prog_name="fact-clip", standalone_mode=False)

    return answered(command, leave=argv is None)


def _check_words(words: Sequence[str]) -> None:
    """An InputError for an empty value, which a variable that is not set leaves, and for a "~" that the shell left.

    An empty path would be the current folder, and "--out=~/x" a folder called "~". "--background ''" means none.
    """
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        where = option or (before if before.startswith("--") else "argument")
        if not value and (equals or not option) and where != "--background":
            raise InputError(where, "an empty value", "leave the option out if there is none")
        if value.startswith("~/") or value == "~":
            raise InputError(where, f"the shell has not replaced {value!r}", "use $HOME")


def _show_version(requested: bool) -> None:
    if requested:
        print(f"fact-clip {__version__}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Cut untrimmed videos into actions: train, score and use FACT models."""
