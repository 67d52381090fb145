"""The command line. One file a command; each imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TextIO

import typer

from fact_clip.cli import (
    convert,
    data,
    data_holdout,
    demo,
    evaluate,
    extract,
    segment,
    train,
)
from fact_clip.core.errors import InputError

# "GROUP NAME" is a command inside a group.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "extract": extract.extract,
    "segment": segment.segment,
    "convert": convert.convert,
    "data check": data.check,
    "data convert": data.convert,
    "data holdout": data_holdout.holdout,
    "data summary": data.summary,
    "data init": data.init,
}

GROUPS = {"data": "Look after data sets."}


def make_app() -> typer.Typer:
    """The program with every command of the table."""
    app = typer.Typer(
        help="Cut untrimmed videos into actions: train, score and use FACT models.",
        epilog="Begin with: fact-clip demo",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    groups = {name: typer.Typer(help=text) for name, text in GROUPS.items()}
    for name, group in groups.items():
        app.add_typer(group, name=name)
    for name, command in COMMANDS.items():
        group_name, _, rest = name.rpartition(" ")
        (groups[group_name] if group_name else app).command(rest)(command)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give back the exit code: 0, 2 for bad input (one line on stderr), 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    return answered(lambda: make_app()(args=arguments, prog_name="fact-clip", standalone_mode=False))


def answered(command: Callable[[], object]) -> int:
    """Run something, with warnings and bad input as one line each on stderr, and give back the exit code."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # one line, without a line of source
        try:
            code = command()
        except InputError as error:
            return _refuse(str(error))
        except typer.TyperException as error:
            return _refuse(f"{error.format_message().rstrip('.')}; see {_command(error)} --help")
        except OSError as error:
            return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return code if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    print(f"fact-clip: {' '.join(message.splitlines())}", file=sys.stderr)
    return 2


def _command(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "fact-clip"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"fact-clip: warning: {' '.join(str(message).splitlines())}", file=sys.stderr)
