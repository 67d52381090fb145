"""The command line. The module of a command is imported when it runs, so that --help is quick."""

import os
import sys
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from fact_clip.cli.commands import COMMANDS, GROUPS
from fact_clip.cli.errors import run_command
from fact_clip.core import InputError, Json
from fact_clip.core.launch import PARENT, end_with_parent
from fact_clip.core.version import __version__

__all__ = ["COMMANDS", "main"]


class _Group(TyperGroup):
    """List commands from the table, and import the one that is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name, the command and its arguments."""
        name, command, arguments = super().resolve_command(ctx, args)
        path = f"{self.name or ''} {name}".strip()
        if path in COMMANDS:
            from fact_clip.cli.options import with_groups

            loaded = typer.Typer(add_completion=False, rich_markup_mode=None)
            loaded.command(name, cls=_Command, context_settings={"max_content_width": 100})(
                with_groups(resolve_name(COMMANDS[path][0]))
            )
            command = get_command(loaded)
        return name, command, arguments


class _Command(TyperCommand):
    """Command whose help lists the options under their headings, without the library rich."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and then the options by heading, with "Options" at the end."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                if parameter.param_type_name == "argument":
                    heading = "Arguments"
                sections.setdefault(heading, []).append(record)
        sections["Options"] = sections.pop("Options")
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def make_app() -> typer.Typer:
    """Return the program with every command of the table."""
    look: Json = {"cls": _Group, "rich_markup_mode": None}
    app = typer.Typer(epilog="Start with: fact-clip demo", pretty_exceptions_enable=False, **look)
    app.callback()(_program)
    groups = {"": app}
    for name, line in GROUPS.items():
        groups[name] = typer.Typer(help=line, **look)
        app.add_typer(groups[name], name=name)
    for path, (_, line) in COMMANDS.items():
        group, _, name = path.rpartition(" ")
        # resolve_command replaces this placeholder.
        groups[group].command(name, help=line)(lambda: None)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments of the command line, or None for the arguments of the process.

    Returns:
        Exit code: 0, 2 for bad input (one line on stderr), or 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    # No command opens a window, and matplotlib fails on an unknown name in this variable.
    os.environ["MPLBACKEND"] = "agg"
    parent = os.environ.get(PARENT, "")
    if not parent and "TORCHELASTIC_RUN_ID" in os.environ:
        parent = str(os.getppid())
    if argv is None and parent.isdecimal():
        end_with_parent(int(parent))

    def command() -> object:
        _check_words(arguments)
        return make_app()(args=arguments, prog_name="fact-clip", standalone_mode=False)

    return run_command(command, leave=argv is None)


def _check_words(words: Sequence[str]) -> None:
    """Reject empty values, which result from unset variables, and a "~" that was not expanded.

    An empty path would be the current folder, and "--out=~/x" would be a folder named "~". An empty
    value of --background is allowed and means that there is no background.
    """
    previous = ""
    for word in words:
        option, equals, value = "", "", word
        if word.startswith("--"):
            option, equals, value = word.partition("=")
        where = option or (previous if previous.startswith("--") else "argument")
        if not value and (equals or not option) and where != "--background":
            raise InputError(where, "an empty value", "leave the option out if there is none")
        if value == "~" or value.startswith("~/"):
            raise InputError(where, f"the shell has not replaced {value!r}", "use $HOME")
        previous = word


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
    """Segment untrimmed videos into actions: train, evaluate and use FACT models."""
